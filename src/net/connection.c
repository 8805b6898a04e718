/* Watching HTTP connections; see the header for why. */
#include "net/connection.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/tls.h"

/*
 *   NEW ─ bytes ─► ARRIVING ─ whole ─► WAITING ─ answered ─► WRITING ─ taken ─► IDLE
 *                     ▲                                                          │
 *                     └──────────────────────── bytes ───────────────────────────┘
 *
 * What a connection is doing is read off its socket at each sweep, not tracked.
 */
enum {
    UNHANDLED_BYTES_MAX = 256 * 1024 * 1024, /* of the whole server */
    LARGE_BYTES = 16 * 1024,
    MANY = 64, /* connections, from which on the sweep comes more often */
    BUSY_SWEEP_MS = 100,
};

enum doing { NEW, ARRIVING, WAITING, WRITING, IDLE };

struct connection {
    struct dm_list link, done;
    struct dm_connections *connections;
    h2o_socket_t *sock;
    struct ssl_ctx_st *context; /* NULL: bare */
    struct ssl_st *tls;         /* from its handshake on */
    uint64_t since;             /* when it began to do what it does */
    enum doing doing;
    bool requested; /* since the last sweep */
    bool ended;
    bool peer_done; /* its client has ended TLS: it is in connections.done too */
    int unsent;     /* WRITING: in the kernel's queue at the last sweep */
    size_t own;     /* of its input, what may be the request that was handled last */
};

static void closed(void *data)
{
    struct connection *connection = data;
    dm_list_unlink(&connection->link);
    dm_list_unlink(&connection->done);
    dm_tls_release(connection->context);
    connection->connections->count--;
    dm_metrics_sub(connection->connections->metrics, DM_METRIC_HTTP_CONNECTIONS, 1);
    free(connection);
}

void dm_connections_init(struct dm_connections *connections,
                         const struct dm_server_options *options, struct dm_metrics *metrics)
{
    dm_list_init(&connections->all);
    dm_list_init(&connections->done);
    connections->options = options;
    connections->metrics = metrics;
    connections->count = 0;
}

void dm_connections_dispose(struct dm_connections *connections)
{
    struct dm_list *link;
    while ((link = dm_list_shift(&connections->all)) != NULL) {
        struct connection *connection = DM_CONTAINER(link, struct connection, link);
        dm_tls_release(connection->context);
        free(connection);
    }
}

void dm_connection_watch(struct dm_connections *connections, h2o_socket_t *sock,
                         struct ssl_ctx_st *tls, uint64_t now)
{
    struct connection *connection = DM_NEW(struct connection);
    connection->connections = connections;
    connection->sock = sock;
    connection->context = dm_tls_retain(tls);
    connection->since = now;
    sock->on_close.cb = closed;
    sock->on_close.data = connection;
    dm_list_push(&connections->all, &connection->link);
    connections->count++;
    dm_metrics_add(connections->metrics, DM_METRIC_HTTP_CONNECTIONS, 1);
}

/* Where it has no body h2o does not say how long it is: its head, at most. On a connection that was
 * ended h2o would go on with what it has of it, for it does not see that its writes fail. */
void dm_connection_requested(h2o_req_t *req)
{
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct connection *connection = sock->on_close.data;
    connection->requested = true;
    if (connection->ended)
        req->http1_is_persistent = 0;
    connection->own = connection->connections->options->limits.max_header;
    if (req->entity.base)
        connection->own = (size_t)(req->entity.base - sock->input->bytes) + req->entity.len;
}

void dm_connection_secured(h2o_socket_t *sock, struct ssl_st *tls)
{
    ((struct connection *)sock->on_close.data)->tls = tls;
}

/* h2o would read on, and keep what it reads, of which nothing can be a request any more. */
void dm_connection_peer_done(h2o_socket_t *sock)
{
    struct connection *connection = sock->on_close.data;
    if (connection->peer_done)
        return;
    connection->peer_done = true;
    dm_list_push(&connection->connections->done, &connection->done);
}

struct ssl_st *dm_connection_tls(const h2o_socket_t *sock)
{
    return sock->ssl ? ((struct connection *)sock->on_close.data)->tls : NULL;
}

static enum doing doing_now(const struct connection *connection)
{
    h2o_socket_t *sock = connection->sock;
    if (connection->context && !connection->tls)
        return NEW; /* shaking hands */
    if (h2o_socket_is_writing(sock))
        return WRITING;
    if (!h2o_socket_is_reading(sock))
        return WAITING;
    if (sock->input->size)
        return ARRIVING;
    return connection->doing == NEW && !connection->requested ? NEW : IDLE;
}

static uint64_t allowed(const struct dm_server_options *options, enum doing doing)
{
    switch (doing) {
    case NEW:
        return options->handshake_timeout_ms;
    case ARRIVING:
        return options->request_timeout_ms;
    case WRITING:
        return options->write_timeout_ms;
    case IDLE:
        return options->keepalive_ms;
    case WAITING:
        break; /* for our own answer, which has a timeout of its own */
    }
    return UINT64_MAX;
}

static void end(struct connection *connection)
{
    connection->ended = true;
    shutdown(h2o_socket_get_fd(connection->sock), SHUT_RDWR);
}

static void look_at(struct connection *connection, uint64_t now)
{
    const struct dm_server_options *options = connection->connections->options;
    enum doing doing = doing_now(connection);
    int unsent = 0;
    if (doing == WRITING)
        ioctl(h2o_socket_get_fd(connection->sock), SIOCOUTQ, &unsent);
    if (doing != connection->doing || connection->requested || unsent != connection->unsent)
        connection->since = now;
    connection->doing = doing;
    connection->requested = false;
    connection->unsent = unsent;
    uint64_t limit = allowed(options, doing);
    if (limit == UINT64_MAX || now - connection->since < limit || connection->ended)
        return;
    dm_metrics_add(connection->connections->metrics,
                   doing == IDLE ? DM_METRIC_HTTP_IDLE_CLOSES : DM_METRIC_HTTP_TIMEOUTS, 1);
    end(connection);
}

static uint64_t sweep_interval(const struct dm_server_options *options)
{
    uint64_t shortest = 4000;
    for (enum doing doing = NEW; doing <= IDLE; doing++)
        if (allowed(options, doing) < shortest)
            shortest = allowed(options, doing);
    return shortest / 4 ? shortest / 4 : 1;
}

/* Input that is of no request yet: what has not wholly arrived, and what comes behind a request
 * that is still being answered, of which h2o reads all that the kernel has. */
static size_t unhandled(const struct connection *connection)
{
    size_t size = connection->sock->input->size;
    if (connection->doing == ARRIVING)
        return size;
    return size > connection->own ? size - connection->own : 0;
}

/* It may take so much memory and no more: past it the oldest of those with much of it are ended. */
static void bound_memory(struct dm_connections *connections, size_t total)
{
    size_t most = UNHANDLED_BYTES_MAX / connections->options->shards;
    for (struct dm_list *at = connections->all.next; at != &connections->all && total > most;
         at = at->next) {
        struct connection *connection = DM_CONTAINER(at, struct connection, link);
        size_t size = unhandled(connection);
        if (connection->ended || size < LARGE_BYTES)
            continue;
        dm_metrics_refuse(connections->metrics, DM_ERR_OVERLOADED);
        end(connection);
        total -= size;
    }
}

uint64_t dm_connections_sweep(struct dm_connections *connections, uint64_t now)
{
    size_t total = 0;
    for (struct dm_list *at = connections->all.next; at != &connections->all; at = at->next) {
        struct connection *connection = DM_CONTAINER(at, struct connection, link);
        look_at(connection, now);
        if (!connection->ended)
            total += unhandled(connection);
    }
    bound_memory(connections, total);
    uint64_t interval = sweep_interval(connections->options);
    return now + (connections->count < MANY ? interval : dm_clock_earlier(interval, BUSY_SWEEP_MS));
}

/* What such a client has asked for is still answered: meanwhile h2o reads nothing. */
void dm_connections_settle(struct dm_connections *connections)
{
    for (struct dm_list *at = connections->done.next; at != &connections->done; at = at->next) {
        struct connection *connection = DM_CONTAINER(at, struct connection, done);
        enum doing doing = doing_now(connection);
        if (doing != WAITING && doing != WRITING && !connection->ended)
            end(connection);
    }
}

void dm_connections_end_idle(struct dm_connections *connections)
{
    for (struct dm_list *at = connections->all.next; at != &connections->all; at = at->next) {
        struct connection *connection = DM_CONTAINER(at, struct connection, link);
        enum doing doing = doing_now(connection);
        if ((doing == IDLE || doing == NEW) && !connection->ended)
            end(connection);
    }
}
