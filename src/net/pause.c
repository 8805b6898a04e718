/* Stopping and going on. */
#include "net/pause.h"

#include "net/loop.h"

int dm_pause_begin(struct dm_request *request, dm_request_then *then, struct dm_pause *out)
{
    int err = dm_request_keep(request, DM_KEEP_FOR_HOOK, &out->handle);
    if (err)
        return err;
    out->loop = request->loop;
    out->then = then;
    out->request = dm_request_alloc(request, sizeof *request);
    *out->request = *request;
    return DM_OK;
}

struct dm_request *dm_pause_end(const struct dm_pause *pause)
{
    return dm_kept_answer(dm_loop_kept(pause->loop), pause->handle) ? pause->request : NULL;
}

void dm_request_go_on(struct dm_request *request, int err, dm_request_then *then)
{
    if (!err)
        err = then(request);
    if (err)
        dm_reply_error(request, err);
}
