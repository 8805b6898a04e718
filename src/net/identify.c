/* Credentials and the auth hook; hides which of them it was, and that asking takes time. */
#include "net/identify.h"

#include <stdlib.h>

#include <h2o.h>

#include "auth/claims.h"
#include "base/alloc.h"
#include "codec/json.h"
#include "hub/channel.h"
#include "model/name.h"
#include "net/auth_cache.h"
#include "net/guard.h"
#include "net/headers.h"
#include "net/hook.h"
#include "net/loop.h"
#include "net/origin.h"
#include "net/paging.h"
#include "net/pause.h"

static struct dm_guard *guard_of(const struct dm_request *request)
{
    return dm_server_guard(dm_loop_server(request->loop));
}

static void set_claims(struct dm_request *request, struct dm_slice claims)
{
    if (!claims.len)
        return;
    char *copy = dm_request_alloc(request, claims.len);
    memcpy(copy, claims.at, claims.len);
    request->claims = dm_slice(copy, claims.len);
}

/* It has been found out: goes on, or says why not. */
static int identified(struct dm_request *request, int err, dm_request_then *then)
{
    request->known = err == DM_OK;
    if (err == DM_ERR_UNAUTHORIZED)
        dm_guard_note_failure(guard_of(request), request);
    if (!err)
        err = dm_guard_count_request(guard_of(request), request);
    return err ? err : then(request);
}

/* --- credentials --- */

struct credential {
    struct dm_slice text; /* absent: none is presented */
    bool by_header;
    bool broken; /* it is presented, and cannot be read */
};

static struct credential find_credential(struct dm_request *request)
{
    struct credential found = {.by_header = true};
    found.text = dm_auth_credential(dm_request_header(request, DM_SLICE("authorization")));
    if (found.text.at)
        return found;
    found.by_header = false;
    struct dm_slice raw = dm_request_query(request, DM_SLICE("token"));
    if (raw.at)
        found.broken = !dm_request_decode(request, raw, &found.text);
    return found;
}

static int check_credential(struct dm_request *request, const struct credential *credential)
{
    uint64_t now = dm_shard_wall(dm_loop_shard(request->loop));
    struct dm_buf claims = DM_BUF_INIT;
    if (credential->broken || !credential->text.at)
        return DM_ERR_UNAUTHORIZED;
    int err = dm_auth_check(dm_loop_auth(request->loop), credential->text, credential->by_header,
                            now, &request->principal, &claims);
    if (!err)
        set_claims(request, dm_buf_slice(&claims));
    dm_buf_dispose(&claims);
    return err;
}

/* --- the auth hook --- */

struct asking {
    struct dm_hook_call call;
    struct dm_pause pause;
    struct dm_auth_cache_key key;
};

/* A cookie is sent with whatever page asks: one of a stranger may read nothing, but could change
 * something, or open a socket, which it may read. */
static bool is_strangers(const struct dm_request *request)
{
    struct dm_slice method =
        dm_slice(request->h2o->input.method.base, request->h2o->input.method.len);
    bool only_reads = dm_slice_eq(method, DM_SLICE("GET")) || dm_slice_eq(method, DM_SLICE("HEAD"));
    if (only_reads && request->route->who != DM_WHO_SOCKET)
        return false;
    struct dm_slice origin = dm_request_header(request, DM_SLICE("origin"));
    h2o_iovec_t host = request->h2o->input.authority;
    return origin.len && !dm_origin_is_own(origin, dm_slice(host.base, host.len)) &&
           !dm_origin_is_listed(dm_server_options(dm_loop_server(request->loop)), origin);
}

void dm_identify_question(const struct dm_request *request, struct dm_slice headers,
                          struct dm_buf *out)
{
    h2o_iovec_t method = request->h2o->input.method;
    dm_buf_lit(out, "{\"method\":");
    dm_headers_text(dm_slice(method.base, method.len), out);
    dm_buf_lit(out, ",\"path\":");
    dm_headers_text(request->path, out);
    dm_buf_lit(out, ",\"query\":");
    dm_headers_text(request->query, out);
    dm_buf_lit(out, ",\"headers\":");
    dm_buf_add_slice(out, headers);
    dm_buf_add_byte(out, '}');
}

int dm_identify_judge(int status, struct dm_slice body, uint64_t now_wall_ms,
                      struct dm_principal *who, struct dm_slice *claims)
{
    if (status / 100 == 4)
        return DM_ERR_UNAUTHORIZED;
    return status == 200 ? dm_claims_read_answer(body, now_wall_ms, who, claims)
                         : DM_ERR_HOOK_UNAVAILABLE;
}

static void answered(struct dm_hook_call *call, struct dm_loop *loop)
{
    struct asking *asking = DM_CONTAINER(call, struct asking, call);
    struct dm_shard *shard = dm_loop_shard(loop);
    struct dm_auth_cache *cache = dm_loop_auth_cache(loop);
    struct dm_principal who;
    struct dm_slice claims = DM_NO_SLICE;
    int err = dm_identify_judge(call->status, dm_buf_slice(&call->answer), dm_shard_wall(shard),
                                &who, &claims);
    if (err == DM_ERR_HOOK_UNAVAILABLE && call->status == 200)
        dm_hooks_complain(dm_server_hooks(dm_loop_server(loop)), DM_HOOK_AUTH,
                          "its answer is not what it should be");
    if (!err && cache)
        dm_auth_cache_put(cache, &asking->key, dm_shard_now(shard), &who, claims);
    struct dm_request *request = dm_pause_end(&asking->pause);
    if (request) {
        if (!err) {
            request->principal = who;
            set_claims(request, claims);
        }
        err = identified(request, err, asking->pause.then);
        if (err)
            dm_reply_error(request, err);
    }
    dm_hook_call_dispose(call);
    free(asking);
}

static int ask_hook(struct dm_request *request, dm_request_then *then,
                    const struct dm_auth_cache_key *key)
{
    struct asking *asking = DM_NEW(struct asking);
    struct dm_buf headers = DM_BUF_INIT;
    int err = dm_pause_begin(request, then, &asking->pause);
    if (!err) {
        dm_headers_json(request, DM_NO_SLICE, &headers);
        dm_identify_question(request, dm_buf_slice(&headers), &asking->call.body);
        asking->call.hook = DM_HOOK_AUTH;
        asking->key = *key;
        if (!dm_loop_call_hook(request->loop, &asking->call, answered)) {
            (void)dm_pause_end(&asking->pause);
            err = DM_ERR_HOOK_UNAVAILABLE;
        }
    }
    dm_buf_dispose(&headers);
    if (err) {
        dm_hook_call_dispose(&asking->call);
        free(asking);
    }
    return err;
}

/* All that the hook is shown, but what is new in each handshake. */
static void make_key(const struct dm_request *request, struct dm_auth_cache_key *key)
{
    struct dm_buf headers = DM_BUF_INIT, question = DM_BUF_INIT;
    dm_headers_json(request, DM_SLICE("sec-websocket-key"), &headers);
    dm_identify_question(request, dm_buf_slice(&headers), &question);
    dm_sha256(dm_buf_slice(&question), key->hash);
    dm_buf_dispose(&headers);
    dm_buf_dispose(&question);
}

static int ask_whoever_knows(struct dm_request *request, dm_request_then *then)
{
    struct dm_auth_cache *cache = dm_loop_auth_cache(request->loop);
    struct dm_shard *shard = dm_loop_shard(request->loop);
    struct dm_auth_cache_key key = {{0}};
    struct dm_slice claims;
    if (is_strangers(request))
        return DM_ERR_BAD_ORIGIN;
    if (!cache)
        return ask_hook(request, then, &key);
    make_key(request, &key);
    if (!dm_auth_cache_find(cache, &key, dm_shard_now(shard), dm_shard_wall(shard),
                            &request->principal, &claims))
        return ask_hook(request, then, &key);
    dm_metrics_add(dm_loop_metrics(request->loop), DM_METRIC_HOOK_CACHE_HITS, 1);
    set_claims(request, claims);
    return identified(request, DM_OK, then);
}

/* Where its address has failed too often, an API key still counts: what strangers behind the same
 * proxy do must not shut out a backend. */
static int identify_barred(struct dm_request *request, const struct credential *credential,
                           dm_request_then *then)
{
    bool has_key =
        credential->by_header &&
        dm_auth_check_key(dm_loop_auth(request->loop), credential->text, &request->principal);
    return identified(request, has_key ? DM_OK : DM_ERR_TOO_MANY_FAILURES, then);
}

int dm_request_identify(struct dm_request *request, dm_request_then *then)
{
    struct dm_hooks *hooks = dm_server_hooks(dm_loop_server(request->loop));
    bool barred = dm_guard_bars_try(guard_of(request), request);
    struct credential credential = find_credential(request);
    if (barred)
        return identify_barred(request, &credential, then);
    if (!credential.text.at && !credential.broken && dm_hooks_has(hooks, DM_HOOK_AUTH))
        return ask_whoever_knows(request, then);
    return identified(request, check_credential(request, &credential), then);
}

/* --- guests --- */

static int become_guest(struct dm_request *request)
{
    struct dm_principal *who = &request->principal;
    struct dm_buf id = DM_BUF_INIT;
    struct dm_slice name;
    if (!dm_query_text(request, "userId", &name))
        return DM_ERR_INVALID_NAME;
    dm_buf_add_slice(&id, dm_guest_prefix);
    if (name.len) {
        dm_buf_add_slice(&id, name);
    } else {
        struct dm_uuid random = dm_shard_mint(dm_loop_shard(request->loop));
        char text[DM_UUID_TEXT_LEN];
        dm_uuid_format(&random, text);
        dm_buf_add(&id, text, sizeof text);
    }
    bool valid = dm_user_id_valid(dm_buf_slice(&id));
    *who = (struct dm_principal){.kind = DM_PRINCIPAL_USER};
    if (valid) {
        who->id_len = (uint8_t)id.len;
        memcpy(who->id, id.bytes, id.len);
    }
    dm_buf_dispose(&id);
    return valid ? DM_OK : DM_ERR_INVALID_NAME;
}

/* Each counts as a failure of its address, so that none opens them by the thousand. */
int dm_request_identify_guest(struct dm_request *request, dm_request_then *then)
{
    const struct dm_server *server = dm_loop_server(request->loop);
    struct credential credential = find_credential(request);
    bool named = credential.text.at || credential.broken;
    bool asks = dm_hooks_has(dm_server_hooks(dm_loop_server(request->loop)), DM_HOOK_AUTH) &&
                dm_request_header(request, DM_SLICE("cookie")).at;
    if (!dm_server_options(server)->guests || named || asks)
        return dm_request_identify(request, then);
    if (dm_guard_bars_try(guard_of(request), request))
        return DM_ERR_TOO_MANY_FAILURES;
    dm_guard_note_failure(guard_of(request), request);
    int err = become_guest(request);
    request->known = err == DM_OK;
    return err ? err : then(request);
}
