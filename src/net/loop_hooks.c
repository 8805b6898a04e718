/* A loop's calls of hooks: it does not end while one of its own is away. */
#include "net/loop_priv.h"

static void on_answer(struct dm_mail *mail, struct dm_shard *here)
{
    struct dm_hook_call *call = DM_CONTAINER(mail, struct dm_hook_call, mail);
    struct dm_loop *loop = dm_loop_of_shard(here);
    loop->hook_calls--;
    call->done(call, loop);
}

bool dm_loop_call_hook(struct dm_loop *loop, struct dm_hook_call *call, dm_hook_done *done)
{
    call->mail.run = on_answer;
    call->done = done;
    call->shard = loop->number;
    if (!dm_hooks_call(dm_server_hooks(loop->server), call)) {
        dm_metrics_add(loop->metrics, DM_METRIC_HOOK_QUEUE_FULL, 1);
        return false;
    }
    loop->hook_calls++;
    return true;
}

struct dm_auth_cache *dm_loop_auth_cache(const struct dm_loop *loop)
{
    return loop->auth_cache;
}
