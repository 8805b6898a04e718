/*
 * What the files of a loop share: loop.c (setting up, turns), accept.c (the
 * listener), sockets.c (between burrow and hub), drain.c (its end). Private to
 * them; the loop's own thread.
 */
#ifndef DM_NET_LOOP_PRIV_H
#define DM_NET_LOOP_PRIV_H

#include <h2o.h>

#include "net/connection.h"
#include "net/loop.h"

/*
 *   SERVING ──told to end──► FINISHING ──no publish is open, or too late──► CLOSING
 *
 * FINISHING: no connection is accepted, open publishes wait for their acks.
 * CLOSING: sessions are closed with 1012, those still on their way when they
 * arrive; the loop ends when nothing is left that could bring it another.
 */
enum dm_drain_state { DM_DRAIN_SERVING, DM_DRAIN_FINISHING, DM_DRAIN_CLOSING };

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
    enum dm_drain_state drain_state;
    uint64_t end_by; /* ms of the monotonic clock */
    bool edge_ended; /* none of its HTTP connections is left, and the server knows */
};

/* --- accept.c --- */

void dm_loop_start_accepting(struct dm_loop *loop, int listen_fd); /* which it owns from here on */

/* Accepts again where accepting had paused for want of descriptors. */
void dm_loop_resume_accepting(struct dm_loop *loop);

/* --- sockets.c --- */

void dm_loop_create_burrow(struct dm_loop *loop);
struct dm_sink dm_loop_sink(struct dm_loop *loop); /* how the hub reaches its sockets */

/* --- drain.c --- */

/* After each turn: moves the drain on; true when the loop is to end. */
bool dm_loop_has_drained(struct dm_loop *loop);

#endif
