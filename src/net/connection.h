/*
 * The clock on HTTP connections. h2o times only the arrival of a request; this
 * also ends connections that send nothing at first, that stay idle, and whose
 * client does not read its answer, nor notices when a client ends its TLS. It
 * works by shutting the socket down, which h2o then notices and cleans up after. Private to net/;
 * one loop's thread.
 */
#ifndef DM_NET_CONNECTION_H
#define DM_NET_CONNECTION_H

#include <h2o.h>

#include "base/list.h"
#include "base/metrics.h"
#include "net/server.h"

struct dm_connections {
    struct dm_list all;  /* struct connection */
    struct dm_list done; /* those whose client has ended TLS */
    const struct dm_server_options *options;
    struct dm_metrics *metrics;
    uint32_t count;
};

void dm_connections_init(struct dm_connections *connections,
                         const struct dm_server_options *options, struct dm_metrics *metrics);

/* After the loop has ended: forgets those that h2o still has open. */
void dm_connections_dispose(struct dm_connections *connections);

/* Watches a socket from its accept until h2o closes or exports it. Keeps a reference of `tls`: h2o
 * does not, and needs it when the first bytes come. NULL: the connection is bare. */
void dm_connection_watch(struct dm_connections *connections, h2o_socket_t *sock,
                         struct ssl_ctx_st *tls, uint64_t now);

/* From within OpenSSL: the handshake is over; the client has said that it sends nothing more. */
void dm_connection_secured(h2o_socket_t *sock, struct ssl_st *tls);
void dm_connection_peer_done(h2o_socket_t *sock);

/* h2o's own; NULL: bare. */
struct ssl_st *dm_connection_tls(const h2o_socket_t *sock);

/* A whole request has come: the clock begins anew. */
void dm_connection_requested(h2o_req_t *req);

/* At the end of a turn: ends those from which nothing more can come. */
void dm_connections_settle(struct dm_connections *connections);

/* Ends what is too slow; returns when to look again. */
uint64_t dm_connections_sweep(struct dm_connections *connections, uint64_t now);

/* For a drain: ends those that are idle. */
void dm_connections_end_idle(struct dm_connections *connections);

#endif
