/* Between the burrow's sockets and the hub's sessions. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/guard.h"
#include "net/loop_priv.h"

enum {
    LINGER_MS = 3000,      /* for the peer's answer to our Close */
    KEEPALIVE_IDLE_S = 60, /* then probes: a dead peer goes after about two minutes */
    KEEPALIVE_EVERY_S = 20,
    KEEPALIVE_PROBES = 3,
    USER_TIMEOUT_MS = 30000, /* and what it was sent is not awaited for longer */
};

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

static void uncork(int fd)
{
    int off = 0;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
}

/* Room for what is kept of a socket of that number; what is new is zero. */
static void *make_room(void *kept, uint32_t *room, uint32_t sock, size_t size)
{
    if (sock < *room)
        return kept;
    uint32_t more = sock < 64 ? 64 : 2 * sock;
    kept = dm_realloc(kept, more * size);
    memset((char *)kept + *room * size, 0, (more - *room) * size);
    *room = more;
    return kept;
}

static void keep(struct dm_loop *loop, uint32_t sock, const struct dm_origin *origin)
{
    if (origin->place) {
        loop->places = make_room(loop->places, &loop->places_room, sock, sizeof *loop->places);
        loop->places[sock] = origin->place;
    }
    if (origin->forwarded.kind != DM_ADDRESS_UNKNOWN)
        loop->forwarded =
            make_room(loop->forwarded, &loop->forwarded_room, sock, sizeof *loop->forwarded);
    if (sock < loop->forwarded_room) /* of the number's last socket it may have another */
        loop->forwarded[sock] = origin->forwarded;
}

struct dm_address dm_loop_peer_of(const struct dm_loop *loop, uint32_t sock)
{
    if (sock < loop->forwarded_room && loop->forwarded[sock].kind != DM_ADDRESS_UNKNOWN)
        return loop->forwarded[sock];
    return dm_burrow_peer(loop->burrow, sock);
}

/* A socket has ended: others may come in its stead. */
static void give_places_back(struct dm_loop *loop, uint32_t sock)
{
    dm_server_give_connection(loop->server);
    if (sock >= loop->places_room)
        return;
    dm_guard_give_place(dm_server_guard(loop->server), loop->places[sock]);
    loop->places[sock] = 0;
}

void dm_loop_adopt(struct dm_loop *loop, struct dm_line line, const struct dm_admission *admission,
                   const struct dm_origin *origin, struct dm_slice early)
{
    tune(line.fd);
    uint32_t sock = dm_burrow_adopt(loop->burrow, line.fd);
    if (line.tls)
        dm_burrow_speak_tls(loop->burrow, sock, line.tls);
    keep(loop, sock, origin);
    uint32_t session = dm_session_open(loop->shard, admission, sock);
    uncork(line.fd); /* here the client learns that it is connected */
    dm_burrow_start(loop->burrow, sock, session, early);
}

static enum dm_burrow_answer on_message(void *self, uint32_t session, enum dm_opcode opcode,
                                        struct dm_slice message)
{
    struct dm_loop *loop = self;
    return dm_session_message(loop->shard, session, opcode == DM_OP_BINARY, message) ==
                   DM_SESSION_TAKEN
               ? DM_BURROW_TAKEN
               : DM_BURROW_HOLD;
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
    /* 0: a Close without a code, as close() without arguments sends it. */
    bool goodbye = how == DM_BURROW_BY_PEER && (code == 1000 || code == 1001 || code == 0);
    dm_metrics_add(loop->metrics, metrics[how], 1);
    give_places_back(loop, dm_session_sock(loop->shard, session));
    dm_session_closed(loop->shard, session, goodbye);
}

static void sink_send(void *self, uint32_t sock, struct dm_wire *wire)
{
    dm_burrow_send(((struct dm_loop *)self)->burrow, sock, wire);
}

static void sink_close(void *self, uint32_t sock, int code, struct dm_slice reason)
{
    struct dm_loop *loop = self;
    give_places_back(loop, sock);
    dm_burrow_close(loop->burrow, sock, code, reason);
}

static uint64_t sink_unsent(void *self, uint32_t sock)
{
    return dm_burrow_unsent(((struct dm_loop *)self)->burrow, sock);
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

void dm_loop_create_burrow(struct dm_loop *loop)
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

struct dm_sink dm_loop_sink(struct dm_loop *loop)
{
    return (struct dm_sink){loop, sink_send, sink_close, sink_unsent, sink_resume};
}
