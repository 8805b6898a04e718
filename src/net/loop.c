/* The event loop of one shard: setting up, its turns, its end. */
#include "net/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <h2o.h>
#include <h2o/http1.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/connection.h"
#include "net/reply.h"
#include "net/route.h"

enum {
    ACCEPTS_A_TURN = 64,
    ACCEPT_PAUSE_MS = 100, /* after the process ran out of descriptors */
    LINGER_MS = 3000,      /* for the peer's answer to our Close */
    KEEPALIVE_IDLE_S = 60, /* then probes: a dead peer goes after about two minutes */
    KEEPALIVE_EVERY_S = 20,
    KEEPALIVE_PROBES = 3,
    USER_TIMEOUT_MS = 30000, /* and what it was sent is not awaited for longer */
};

_Static_assert(sizeof(((struct dm_mail *)0)->links) == sizeof(h2o_multithread_message_t),
               "a mail's links hold h2o's");

struct dm_loop {
    struct dm_server *server;
    uint32_t number;
    struct dm_metrics *metrics;
    const struct dm_server_options *options;
    struct dm_auth *auth;

    h2o_loop_t *h2o;
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_multithread_receiver_t receiver;
    h2o_socket_t *listener, *burrow_socket;

    struct dm_shard *shard;
    struct dm_burrow *burrow;
    struct dm_connections connections;
    struct dm_pendings *pendings;

    uint64_t sweep_at, ping_at, accept_again_at;
    uint64_t end_by; /* 0: not ending */
    bool closed_sessions;
};

/* --- mail --- */

void dm_loop_post(struct dm_loop *loop, struct dm_mail *mail)
{
    h2o_multithread_message_t *message = (h2o_multithread_message_t *)mail->links;
    message->link = (h2o_linklist_t){NULL, NULL};
    h2o_multithread_send_message(&loop->receiver, message);
}

/* Our receiver stands first in the loop: the way back from h2o's pointer to ours. */
static void on_mail(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct dm_loop *loop = DM_CONTAINER(receiver, struct dm_loop, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        h2o_linklist_t *link = messages->next;
        h2o_linklist_unlink(link);
        struct dm_mail *mail = DM_CONTAINER(link, struct dm_mail, links);
        mail->run(mail, loop->shard);
    }
}

/* --- sockets --- */

static void tune(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S, probes = KEEPALIVE_PROBES;
    int timeout = USER_TIMEOUT_MS;
    /* None of these is there on a Unix socket, and none is worth a failure. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

void dm_loop_adopt(struct dm_loop *loop, int fd, struct dm_slice user_id,
                   enum dm_dialect_id dialect, struct dm_slice early)
{
    tune(fd);
    uint32_t sock = dm_burrow_adopt(loop->burrow, fd);
    uint32_t session = dm_session_open(loop->shard, user_id, dialect, sock);
    dm_burrow_start(loop->burrow, sock, session, early);
}

static enum dm_burrow_answer on_message(void *self, uint32_t session, enum dm_opcode opcode,
                                        struct dm_slice message)
{
    struct dm_loop *loop = self;
    return dm_session_message(loop->shard, session, opcode == DM_OP_BINARY, message) ==
                   DM_SESSION_HOLD
               ? DM_BURROW_HOLD
               : DM_BURROW_TAKEN;
}

static void on_closed(void *self, uint32_t session, enum dm_burrow_end how, int code)
{
    static const enum dm_metric metrics[] = {
        [DM_BURROW_BY_PEER] = DM_METRIC_CLOSED_BY_PEER,
        [DM_BURROW_DROPPED] = DM_METRIC_CLOSED_DROPPED,
        [DM_BURROW_PROTOCOL] = DM_METRIC_CLOSED_PROTOCOL,
        [DM_BURROW_SLOW] = DM_METRIC_CLOSED_SLOW,
    };
    struct dm_loop *loop = self;
    (void)code;
    dm_metrics_add(loop->metrics, metrics[how], 1);
    dm_server_give_connection(loop->server);
    dm_session_closed(loop->shard, session);
}

static void sink_send(void *self, uint32_t sock, struct dm_wire *wire)
{
    dm_burrow_send(((struct dm_loop *)self)->burrow, sock, wire);
}

static void sink_close(void *self, uint32_t sock, int code, struct dm_slice reason)
{
    struct dm_loop *loop = self;
    dm_server_give_connection(loop->server);
    dm_burrow_close(loop->burrow, sock, code, reason);
}

static void sink_resume(void *self, uint32_t sock)
{
    dm_burrow_resume(((struct dm_loop *)self)->burrow, sock);
}

static void on_burrow_ready(h2o_socket_t *sock, const char *err)
{
    struct dm_loop *loop = sock->data;
    DM_CHECK(err == NULL);
    dm_burrow_ready(loop->burrow);
}

/* --- accepting --- */

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct dm_loop *loop = listener->data;
    if (err)
        return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (!sock) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                h2o_socket_read_stop(listener);
                loop->accept_again_at = dm_shard_now(loop->shard) + ACCEPT_PAUSE_MS;
                dm_metrics_refuse(loop->metrics, DM_ERR_MAX_CONNECTIONS);
                dm_log(DM_LOG_WARN, "accept_paused", "why", strerror(errno), NULL);
            }
            return;
        }
        struct timeval now = *h2o_get_timestamp(&loop->context, NULL, NULL);
        dm_connection_watch(&loop->connections, sock, dm_shard_now(loop->shard));
        h2o_http1_accept(&loop->accept, sock, now);
    }
}

static void start_accepting(struct dm_loop *loop, int listen_fd)
{
    loop->listener = h2o_evloop_socket_create(loop->h2o, listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->listener->data = loop;
    h2o_socket_read_start(loop->listener, on_accept);
}

void dm_loop_stop_accepting(struct dm_loop *loop)
{
    if (!loop->listener)
        return;
    h2o_socket_read_stop(loop->listener);
    h2o_socket_close(loop->listener);
    loop->listener = NULL;
    loop->context.shutdown_requested = 1; /* h2o: no keep-alive from here on */
}

/* --- requests --- */

struct handler {
    h2o_handler_t super;
    struct dm_loop *loop;
};

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    dm_connection_requested(req);
    dm_route(((struct handler *)self)->loop, req);
    return 0;
}

static void configure_h2o(struct dm_loop *loop)
{
    h2o_config_init(&loop->config);
    loop->config.server_name = h2o_iovec_init(H2O_STRLIT("dormouse"));
    loop->config.http1.upgrade_to_http2 = 0;
    loop->config.http1.req_timeout = 24 * 3600 * 1000; /* net/connection keeps the time */
    loop->config.max_request_entity_size = loop->options->limits.max_body;
    h2o_hostconf_t *host =
        h2o_config_register_host(&loop->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct handler *handler = (struct handler *)h2o_create_handler(path, sizeof *handler);
    handler->super.on_req = on_request;
    handler->loop = loop;
    dm_reply_own_errors(host, loop->options);
    h2o_context_init(&loop->context, loop->h2o, &loop->config);
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
    return loop;
}

void dm_loop_destroy(struct dm_loop **loop)
{
    if (!*loop)
        return;
    /* What is h2o's stays: its contexts cannot be taken down while connections are open. */
    dm_connections_dispose(&(*loop)->connections);
    dm_burrow_destroy(&(*loop)->burrow);
    dm_shard_destroy(&(*loop)->shard);
    dm_pendings_destroy(&(*loop)->pendings);
    dm_auth_release((*loop)->auth);
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

static void create_shard(struct dm_loop *loop, const struct dm_store *store)
{
    struct dm_shard_options options = {
        .number = loop->number,
        .shards = loop->options->shards,
        .hibernate_after_ms = loop->options->hibernate_after_ms,
        .limits = loop->options->limits,
    };
    struct dm_shard_ports ports = {
        .clock = {NULL, clock_mono, clock_wall},
        .rand = dm_rand_system,
        .store = *store,
        .sink = {loop, sink_send, sink_close, sink_resume},
        .post = dm_server_post(loop->server),
        .edge = loop,
    };
    loop->shard = dm_shard_create(&options, &ports, loop->metrics);
}

static void create_burrow(struct dm_loop *loop)
{
    struct dm_burrow_options options = {
        .max_message = loop->options->limits.max_message,
        .max_unsent = loop->options->limits.max_unsent,
        .linger_ms = LINGER_MS,
        .from_clients = true,
    };
    struct dm_burrow_events events = {loop, on_message, on_closed};
    loop->burrow = dm_burrow_create(&options, &events, loop->metrics);
    int fd = dup(dm_burrow_fd(loop->burrow)); /* h2o closes what it was given */
    DM_CHECK(fd >= 0);
    loop->burrow_socket = h2o_evloop_socket_create(loop->h2o, fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->burrow_socket->data = loop;
    h2o_socket_read_start(loop->burrow_socket, on_burrow_ready);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
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
    if (loop->accept_again_at && now >= loop->accept_again_at) {
        loop->accept_again_at = 0;
        if (loop->listener)
            h2o_socket_read_start(loop->listener, on_accept);
    }
    uint64_t next = loop->sweep_at;
    if (loop->options->ping_interval_ms)
        next = earlier(next, loop->ping_at);
    if (loop->accept_again_at)
        next = earlier(next, loop->accept_again_at);
    return next;
}

/* Held input goes on before the hub's own work, and that before the last of the writing. */
static uint64_t end_turn(struct dm_loop *loop)
{
    dm_burrow_flush(loop->burrow);
    uint64_t next = dm_shard_tick(loop->shard);
    uint64_t now = dm_shard_now(loop->shard);
    next = earlier(next, run_timers(loop, now));
    dm_burrow_flush(loop->burrow);
    next = earlier(next, dm_burrow_tick(loop->burrow, now)); /* after it: it may start a linger */
    return next > now ? next - now : 0;
}

/* Ending: the publishes finish, then the sessions are closed, then all is flushed; past end_by only
 * the store is still waited for, because what it owes points into this shard. */
static bool has_ended(struct dm_loop *loop)
{
    if (!loop->end_by)
        return false;
    uint64_t now = dm_shard_now(loop->shard);
    bool late = now >= loop->end_by;
    if (!loop->closed_sessions && (late || !dm_shard_open_publishes(loop->shard))) {
        loop->closed_sessions = true;
        uint32_t before = (uint32_t)atomic_load(&loop->metrics->values[DM_METRIC_SESSIONS]);
        dm_shard_close_sessions(loop->shard, 1012, DM_SLICE("The server is restarting"));
        dm_metrics_add(loop->metrics, DM_METRIC_CLOSED_DRAIN, before);
        dm_burrow_flush(loop->burrow);
    }
    dm_connections_end_idle(&loop->connections);
    if (!loop->closed_sessions || dm_shard_busy(loop->shard))
        return false;
    return late || (loop->connections.count == 0 && dm_burrow_count(loop->burrow) == 0);
}

enum { ENDING_TURN_MS = 20, LONGEST_TURN_MS = 60000 };

void dm_loop_run(struct dm_loop *loop, const struct dm_store *store, int listen_fd,
                 void (*set_up)(void *context), void *context)
{
    loop->h2o = h2o_evloop_create();
    configure_h2o(loop);
    h2o_multithread_register_receiver(loop->context.queue, &loop->receiver, on_mail);
    uint32_t share = loop->options->max_pending_requests / loop->options->shards;
    loop->pendings = dm_pendings_create(share ? share : 1, loop->metrics);
    create_shard(loop, store);
    create_burrow(loop);
    set_up(context); /* waits for the other loops */
    start_accepting(loop, listen_fd);
    while (!has_ended(loop)) {
        uint64_t wait = earlier(end_turn(loop), loop->end_by ? ENDING_TURN_MS : LONGEST_TURN_MS);
        h2o_evloop_run(loop->h2o, (int32_t)wait);
    }
}

void dm_loop_end(struct dm_loop *loop, uint64_t deadline_mono_ms)
{
    loop->end_by = deadline_mono_ms;
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

struct dm_pendings *dm_loop_pendings(struct dm_loop *loop)
{
    return loop->pendings;
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
