/* The event loop of one shard: setting up, its turns, its end. */
#include <stdlib.h>
#include <unistd.h>

#include <h2o.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "net/authorize.h"
#include "net/guard.h"
#include "net/loop_priv.h"
#include "net/reply.h"
#include "net/route.h"
#include "net/tls.h"

/* --- mail --- */

void dm_loop_post(struct dm_loop *loop, struct dm_mail *const *mails, size_t count)
{
    dm_inbox_put(&loop->inbox, mails, count);
}

/* The inbox begins with its receiver: the way back from h2o's pointer to ours. */
static void on_mail(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct dm_loop *loop = DM_CONTAINER(receiver, struct dm_loop, inbox.receiver);
    dm_inbox_run(&loop->inbox, messages, loop->shard);
}

/* --- requests --- */

struct handler {
    h2o_handler_t super;
    struct dm_loop *loop;
};

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    struct dm_loop *loop = ((struct handler *)self)->loop;
    dm_connection_requested(req);
    if (dm_turn_takes(&loop->turn, req))
        dm_route(loop, req);
    return 0;
}

/* net/connection keeps the time. h2o goes by the wall clock: set forward, or standing near 1970, it
 * would end every connection. What waits in these is never looked at from here on. */
static void stop_timeouts(h2o_context_t *context)
{
    h2o_linklist_unlink(&context->handshake_timeout._link);
    h2o_linklist_unlink(&context->http1.req_timeout._link);
}

static void configure_h2o(struct dm_loop *loop)
{
    h2o_config_init(&loop->config);
    loop->config.server_name = h2o_iovec_init(H2O_STRLIT("dormouse"));
    loop->config.http1.upgrade_to_http2 = 0;
    loop->config.max_request_entity_size = loop->options->limits.max_body;
    h2o_hostconf_t *host =
        h2o_config_register_host(&loop->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct handler *handler = (struct handler *)h2o_create_handler(path, sizeof *handler);
    handler->super.on_req = on_request;
    handler->loop = loop;
    dm_reply_own_errors(host, loop->options, loop->metrics);
    h2o_context_init(&loop->context, loop->h2o, &loop->config);
    stop_timeouts(&loop->context);
    loop->accept.ctx = &loop->context;
    loop->accept.hosts = loop->config.hosts;
}

/* --- the thread --- */

struct dm_loop *dm_loop_create(struct dm_server *server, uint32_t number,
                               struct dm_metrics *metrics)
{
    struct dm_loop *loop = DM_NEW(struct dm_loop);
    loop->server = server;
    loop->number = number;
    loop->metrics = metrics;
    loop->options = dm_server_options(server);
    dm_connections_init(&loop->connections, loop->options, metrics);
    dm_inbox_init(&loop->inbox);
    dm_turn_init(&loop->turn);
    dm_list_init(&loop->lobby);
    loop->auth_cache = dm_auth_cache_create(loop->options->auth_cache_ms);
    return loop;
}

void dm_loop_destroy(struct dm_loop **loop)
{
    if (!*loop)
        return;
    /* What is h2o's stays: its contexts cannot be taken down while connections are open. */
    dm_connections_dispose(&(*loop)->connections);
    dm_inbox_dispose(&(*loop)->inbox);
    dm_burrow_destroy(&(*loop)->burrow);
    dm_shard_destroy(&(*loop)->shard);
    dm_kept_destroy(&(*loop)->kept);
    dm_auth_cache_destroy(&(*loop)->auth_cache);
    free((*loop)->places);
    free((*loop)->forwarded);
    dm_auth_release((*loop)->auth);
    dm_tls_release((*loop)->accept.ssl_ctx);
    free(*loop);
    *loop = NULL;
}

static uint64_t clock_mono(void *self)
{
    (void)self;
    return dm_clock_mono_ms();
}

static uint64_t clock_wall(void *self)
{
    (void)self;
    return dm_clock_wall_ms();
}

/* A token that a client brings on its socket, to stay longer. */
static int verify_token(void *self, uint32_t sock, struct dm_slice token, struct dm_slice user_id,
                        uint64_t *expires_ms, bool *may_publish, struct dm_buf *claims)
{
    struct dm_loop *loop = self;
    struct dm_guard *guard = dm_server_guard(loop->server);
    struct dm_address peer = dm_loop_peer_of(loop, sock);
    struct dm_principal who;
    uint64_t now = dm_shard_wall(loop->shard), mono = dm_shard_now(loop->shard);
    if (dm_guard_bars_peer(guard, &peer, mono)) {
        dm_metrics_refuse(loop->metrics, DM_ERR_TOO_MANY_FAILURES);
        return DM_ERR_TOO_MANY_FAILURES;
    }
    int err = dm_auth_check(loop->auth, token, false, now, &who, claims);
    if (err == DM_ERR_UNAUTHORIZED)
        dm_guard_note_peer(guard, &peer, mono);
    if (err)
        return err;
    if (who.kind != DM_PRINCIPAL_USER || !dm_slice_eq(dm_principal_id(&who), user_id))
        return DM_ERR_FORBIDDEN;
    if (claims && !dm_loop_keeps_claims(loop, dm_buf_slice(claims)))
        dm_buf_clear(claims);
    *expires_ms = dm_principal_session_end(&who, now);
    *may_publish = dm_principal_may_publish(&who);
    return DM_OK;
}

static void create_shard(struct dm_loop *loop, const struct dm_store *store)
{
    struct dm_shard_options options = {
        .number = loop->number,
        .shards = loop->options->shards,
        .hibernate_after_ms = loop->options->hibernate_after_ms,
        .max_publishes = loop->options->max_pending_requests / loop->options->shards + 1,
        .expire_sessions = loop->options->expire_sessions,
        .resume_window_ms = loop->options->resume_window_ms,
        .result_retention_ms = loop->options->result_retention_ms,
        .limits = loop->options->limits,
    };
    struct dm_shard_ports ports = {
        .clock = {NULL, clock_mono, clock_wall},
        .rand = dm_rand_system,
        .store = *store,
        .sink = dm_loop_sink(loop),
        .verify = {loop, verify_token},
        .authorize = dm_loop_authorize(loop),
        .post = dm_server_post(loop->server),
        .edge = loop,
    };
    loop->shard = dm_shard_create(&options, &ports, loop->metrics);
}

/* Things that are due by the clock; returns when the next is. */
static uint64_t run_timers(struct dm_loop *loop, uint64_t now)
{
    if (now >= loop->sweep_at)
        loop->sweep_at = dm_connections_sweep(&loop->connections, now);
    if (loop->options->ping_interval_ms && now >= loop->ping_at) {
        dm_burrow_ping_all(loop->burrow);
        loop->ping_at = now + loop->options->ping_interval_ms;
    }
    if (loop->accept_again_at && now >= loop->accept_again_at)
        dm_loop_resume_accepting(loop);
    uint64_t next = loop->sweep_at;
    if (loop->options->ping_interval_ms)
        next = dm_clock_earlier(next, loop->ping_at);
    if (loop->accept_again_at)
        next = dm_clock_earlier(next, loop->accept_again_at);
    return next;
}

/* Held input goes on before the hub's own work, and that before the last of the writing. */
static uint64_t end_turn(struct dm_loop *loop)
{
    dm_connections_settle(&loop->connections);
    dm_burrow_flush(loop->burrow);
    uint64_t next = dm_shard_tick(loop->shard);
    uint64_t now = dm_shard_now(loop->shard);
    next = dm_clock_earlier(next, run_timers(loop, now));
    next = dm_clock_earlier(next, dm_loop_hand_over(loop, now));
    dm_burrow_flush(loop->burrow);
    next = dm_clock_earlier(
        next, dm_burrow_tick(loop->burrow, now)); /* after it: it may start a linger */
    return next > now ? next - now : 0;
}

/* Says whether there was any, or still is. */
static bool handle_waiting(struct dm_loop *loop)
{
    bool any = dm_turn_has_waiting(&loop->turn);
    struct st_h2o_req_t *req;
    dm_turn_begin(&loop->turn);
    while ((req = dm_turn_next(&loop->turn)) != NULL)
        dm_route(loop, req);
    return any;
}

enum { DRAINING_TURN_MS = 20, LONGEST_TURN_MS = 60000 };

/* How long the next poll may wait. An answer that is written between two of h2o's turns leaves a
 * callback pending that h2o runs only after its next poll: until then the connection is not read.
 */
static int32_t end_turn_for(struct dm_loop *loop)
{
    uint64_t answered = dm_kept_answered(loop->kept);
    bool waited = handle_waiting(loop);
    uint64_t longest = loop->drain.state != DM_DRAIN_SERVING ? DRAINING_TURN_MS : LONGEST_TURN_MS;
    uint64_t wait = dm_clock_earlier(end_turn(loop), longest);
    return dm_kept_answered(loop->kept) == answered && !waited ? (int32_t)wait : 0;
}

enum { ANSWER_BYTES_MAX = 256 * 1024 * 1024 /* of the whole server, unsent, of large ones */ };

void dm_loop_run(struct dm_loop *loop, const struct dm_store *store, int listen_fd,
                 void (*set_up)(void *context), void *context)
{
    loop->h2o = h2o_evloop_create();
    configure_h2o(loop);
    dm_inbox_open(&loop->inbox, loop->context.queue, on_mail);
    uint32_t share = loop->options->max_pending_requests / loop->options->shards;
    loop->kept =
        dm_kept_create(share ? share : 1, ANSWER_BYTES_MAX / loop->options->shards, loop->metrics);
    create_shard(loop, store);
    dm_loop_create_burrow(loop);
    set_up(context); /* waits for the other loops */
    dm_loop_start_accepting(loop, listen_fd);
    while (!dm_loop_has_drained(loop)) {
        int32_t wait = end_turn_for(loop);
        dm_shard_end_turn(loop->shard); /* what the poll brings is of another time */
        h2o_evloop_run(loop->h2o, wait);
    }
}

/* --- what others ask --- */

struct dm_loop *dm_loop_of_shard(const struct dm_shard *shard)
{
    return dm_shard_edge(shard);
}

struct dm_shard *dm_loop_shard(struct dm_loop *loop)
{
    return loop->shard;
}

struct dm_server *dm_loop_server(struct dm_loop *loop)
{
    return loop->server;
}

struct dm_metrics *dm_loop_metrics(struct dm_loop *loop)
{
    return loop->metrics;
}

struct dm_kept *dm_loop_kept(struct dm_loop *loop)
{
    return loop->kept;
}

const struct dm_auth *dm_loop_auth(const struct dm_loop *loop)
{
    return loop->auth;
}

void dm_loop_set_auth(struct dm_loop *loop, struct dm_auth *auth)
{
    dm_auth_release(loop->auth);
    loop->auth = auth;
}

void dm_loop_set_tls(struct dm_loop *loop, struct ssl_ctx_st *tls)
{
    dm_tls_release(loop->accept.ssl_ctx);
    loop->accept.ssl_ctx = tls;
}
