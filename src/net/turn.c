/* Requests in wait of their turn; hides that h2o may dispose of one meanwhile. */
#include "net/turn.h"

#include <h2o.h>

enum { REQUESTS_A_TURN = 64 };

/* Lives in its request's pool. */
struct waiting_request {
    struct dm_list link;
    h2o_req_t *req;
};

static void forget(void *memory)
{
    dm_list_unlink(&((struct waiting_request *)memory)->link);
}

void dm_turn_init(struct dm_turn *turn)
{
    dm_list_init(&turn->waiting);
    turn->handled = 0;
}

void dm_turn_begin(struct dm_turn *turn)
{
    turn->handled = 0;
}

bool dm_turn_takes(struct dm_turn *turn, h2o_req_t *req)
{
    if (turn->handled < REQUESTS_A_TURN && dm_list_empty(&turn->waiting)) {
        turn->handled++;
        return true;
    }
    struct waiting_request *waiting = h2o_mem_alloc_shared(&req->pool, sizeof *waiting, forget);
    *waiting = (struct waiting_request){.req = req};
    dm_list_push(&turn->waiting, &waiting->link);
    return false;
}

h2o_req_t *dm_turn_next(struct dm_turn *turn)
{
    if (turn->handled >= REQUESTS_A_TURN || dm_list_empty(&turn->waiting))
        return NULL;
    turn->handled++;
    struct dm_list *link = dm_list_shift(&turn->waiting);
    return DM_CONTAINER(link, struct waiting_request, link)->req;
}

bool dm_turn_has_waiting(const struct dm_turn *turn)
{
    return !dm_list_empty(&turn->waiting);
}
