/* Grants first, then the hook. */
#include "net/authorize.h"

#include <stdlib.h>

#include "auth/grant.h"
#include "base/alloc.h"
#include "codec/json.h"
#include "net/headers.h"
#include "net/hook.h"
#include "net/loop.h"
#include "net/pause.h"

static struct dm_hooks *hooks_of(struct dm_loop *loop)
{
    return dm_server_hooks(dm_loop_server(loop));
}

/* False: only the hook can say. */
static bool settle(struct dm_loop *loop, struct dm_authorization *ask)
{
    if (!dm_name_needs_grant(ask->channel) || dm_grant_covers(ask->claims, ask->channel))
        ask->err = DM_OK;
    else if (!dm_hooks_has(hooks_of(loop), DM_HOOK_AUTHORIZE))
        ask->err = DM_ERR_FORBIDDEN;
    else
        return false;
    return true;
}

int dm_authorize_judge(int status, struct dm_slice body)
{
    if (status == 0 || status >= 500)
        return DM_ERR_HOOK_UNAVAILABLE;
    return status == 200 ? dm_grant_read_answer(body) : DM_ERR_FORBIDDEN;
}

/* --- the hook --- */

struct asking {
    struct dm_hook_call call;
    struct dm_authorization *ask;
};

static void answered(struct dm_hook_call *call, struct dm_loop *loop)
{
    struct asking *asking = DM_CONTAINER(call, struct asking, call);
    struct dm_authorization *ask = asking->ask;
    struct dm_shard *here = dm_loop_shard(loop);
    ask->err = dm_authorize_judge(call->status, dm_buf_slice(&call->answer));
    if (ask->err == DM_ERR_HOOK_UNAVAILABLE && call->status == 200)
        dm_hooks_complain(hooks_of(loop), DM_HOOK_AUTHORIZE, "its answer is not JSON");
    dm_hook_call_dispose(call);
    free(asking);
    if (ask->shard == dm_shard_number(here)) {
        ask->mail.run(&ask->mail, here);
        return;
    }
    struct dm_post post = dm_server_post(dm_loop_server(loop));
    post.send(post.self, ask->shard, &ask->mail);
}

static void write_question(const struct dm_authorization *ask, struct dm_buf *out)
{
    dm_buf_lit(out, "{\"userId\":");
    dm_json_encode(out, ask->user_id);
    dm_buf_lit(out, ",\"channel\":");
    dm_json_encode(out, ask->channel);
    dm_buf_lit(out, ",\"claims\":");
    dm_buf_add_slice(out, ask->claims.at ? ask->claims : DM_SLICE("{}"));
    dm_buf_lit(out, ",\"headers\":");
    dm_buf_add_slice(out, ask->headers.at ? ask->headers : DM_SLICE("{}"));
    dm_buf_add_byte(out, '}');
}

/* True: it cannot be asked, and that is the answer. */
static bool ask_hook(struct dm_loop *loop, struct dm_authorization *ask)
{
    struct asking *asking = DM_NEW(struct asking);
    asking->ask = ask;
    asking->call.hook = DM_HOOK_AUTHORIZE;
    write_question(ask, &asking->call.body);
    if (dm_loop_call_hook(loop, &asking->call, answered))
        return false;
    dm_hook_call_dispose(&asking->call);
    free(asking);
    ask->err = DM_ERR_HOOK_UNAVAILABLE;
    return true;
}

static bool ask_port(void *self, struct dm_authorization *ask)
{
    return settle(self, ask) || ask_hook(self, ask);
}

struct dm_authorize dm_loop_authorize(struct dm_loop *loop)
{
    return (struct dm_authorize){loop, ask_port};
}

/* --- for a request --- */

struct entering {
    struct dm_authorization ask;
    struct dm_pause pause;
    struct dm_buf headers;
};

static void put_away(struct entering *entering)
{
    dm_buf_dispose(&entering->headers);
    free(entering);
}

static void decided(struct dm_mail *mail, struct dm_shard *here)
{
    struct entering *entering = DM_CONTAINER(mail, struct entering, ask.mail);
    struct dm_request *request = dm_pause_end(&entering->pause);
    (void)here;
    if (request)
        dm_request_go_on(request, entering->ask.err, entering->pause.then);
    put_away(entering);
}

/* A request waits. Only what the hook is sent is needed of it, and that is written by now. */
static int enter_by_hook(struct dm_request *request, const struct dm_authorization *ask,
                         dm_request_then *then)
{
    struct entering *entering = DM_NEW(struct entering);
    int err = dm_pause_begin(request, then, &entering->pause);
    if (!err) {
        dm_headers_json(request, DM_SLICE("authorization"), &entering->headers);
        entering->ask = *ask;
        entering->ask.mail.run = decided;
        entering->ask.headers = dm_buf_slice(&entering->headers);
        if (ask_hook(request->loop, &entering->ask)) {
            (void)dm_pause_end(&entering->pause);
            err = entering->ask.err;
        }
    }
    if (err)
        put_away(entering);
    return err;
}

int dm_request_authorize_channel(struct dm_request *request, struct dm_slice channel,
                                 dm_request_then *then)
{
    struct dm_authorization ask = {
        .shard = dm_shard_number(dm_loop_shard(request->loop)),
        .user_id = dm_principal_id(&request->principal),
        .channel = channel,
        .claims = request->claims,
    };
    if (request->principal.kind == DM_PRINCIPAL_KEY)
        return then(request);
    if (!settle(request->loop, &ask))
        return enter_by_hook(request, &ask, then);
    return ask.err ? ask.err : then(request);
}

bool dm_loop_keeps_claims(struct dm_loop *loop, struct dm_slice claims)
{
    return claims.at && (dm_hooks_has(dm_server_hooks(dm_loop_server(loop)), DM_HOOK_AUTHORIZE) ||
                         dm_json_get(claims, DM_SLICE("channels")).at);
}
