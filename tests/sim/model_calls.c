/* Places for sessions, presence and disconnect: between which bounds each answer lies. */
#include <stdlib.h>

#include "base/alloc.h"
#include "model.h"
#include "sim.h"

/* What the owner may count at most: with what is still on its way to it. */
static uint32_t counted_at_most(const struct m_user *user)
{
    return user->open + user->granted + user->admitting + user->withdrawing;
}

void model_user_changed(struct world *world, uint32_t number)
{
    const struct m_user *user = &world->model.users[number];
    if (user->open + user->granted > world->plan.max_connections_per_user)
        sim_fail(world, "user %u has %u sessions and %u places", number, user->open, user->granted);
    for (struct m_admission *i = world->model.admissions; i; i = i->next)
        if (i->user == number && i->most < counted_at_most(user))
            i->most = counted_at_most(user);
    for (struct m_call *i = world->model.calls; i; i = i->next) {
        if (i->user != number)
            continue;
        i->least = user->open < i->least ? user->open : i->least;
        i->most = user->open > i->most ? user->open : i->most;
    }
}

/* --- places --- */

void model_admission_begins(struct world *world, struct m_admission *admission)
{
    admission->world = world;
    admission->next = world->model.admissions;
    world->model.admissions = admission;
    world->model.users[admission->user].admitting++;
    model_user_changed(world, admission->user);
}

void model_admission_done(struct dm_admission *answered, struct dm_shard *here)
{
    struct m_admission *admission = DM_CONTAINER(answered, struct m_admission, admission);
    struct world *world = admission->world;
    struct m_admission **at = &world->model.admissions;
    while (*at && *at != admission)
        at = &(*at)->next;
    if (!*at)
        sim_fail(world, "an admission is answered twice");
    *at = admission->next;
    struct m_user *user = &world->model.users[admission->user];
    user->admitting--;
    sim_trace(world, "admission of user %u: err %d", admission->user, answered->err);
    if (dm_shard_number(here) != world->mail.here || answered->origin != world->mail.here)
        sim_fail(world, "an admission is answered on the wrong shard");
    if (answered->err != DM_OK && (answered->err != DM_ERR_MAX_CONNECTIONS ||
                                   admission->most <= world->plan.max_connections_per_user))
        sim_fail(world, "user %u is refused with %d", admission->user, answered->err);
    bool granted = answered->err == DM_OK;
    uint32_t number = admission->user, shard = answered->origin;
    free(admission);
    if (!granted)
        return;
    user->granted++;
    model_user_changed(world, number);
    if (world->plan.reentrant && rand_chance(&world->rand, 20))
        script_withdraw(world, number, shard);
}

/* --- presence and disconnect --- */

void model_call_begins(struct world *world, struct m_call *call)
{
    call->world = world;
    call->began = ++world->seq;
    call->least = call->most = world->model.users[call->user].open;
    call->next = world->model.calls;
    world->model.calls = call;
}

void model_call_done(struct dm_user_call *answered, struct dm_shard *here)
{
    struct m_call *call = DM_CONTAINER(answered, struct m_call, call);
    struct world *world = call->world;
    struct m_call **at = &world->model.calls;
    while (*at && *at != call)
        at = &(*at)->next;
    if (!*at)
        sim_fail(world, "a call is answered twice");
    *at = call->next;
    if (dm_shard_number(here) != world->mail.here || answered->origin != world->mail.here)
        sim_fail(world, "a call is answered on the wrong shard");
    if (answered->connections > call->most ||
        (answered->question == DM_USER_PRESENCE && answered->connections < call->least))
        sim_fail(world, "user %u is said to have %u sockets, not %u to %u", call->user,
                 answered->connections, call->least, call->most);
    if (answered->question == DM_USER_DISCONNECT) {
        world->model.disconnected += answered->connections;
        for (uint32_t i = 1; i < world->model.session_count; i++) {
            const struct m_session *session = &world->model.sessions[i];
            if (session->user == call->user && session->opened < call->began && !session->closed)
                sim_fail(world, "session %u outlives a disconnect", i);
        }
    }
    free(call);
}
