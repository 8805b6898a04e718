/*
 * What the files of a loop share: loop.c (setting up, turns), accept.c (the
 * listener), sockets.c (between burrow and hub), drain.c (its end). Private to
 * them; the loop's own thread.
 */
#ifndef DM_NET_LOOP_PRIV_H
#define DM_NET_LOOP_PRIV_H

#include <h2o.h>

#include "net/connection.h"
#include "net/inbox.h"
#include "net/loop.h"
#include "net/turn.h"

/*
 *   SERVING ─told to end─► FINISHING ─all answered, or late─► CLOSING ─all empty─► LAST_TURN
 *
 * FINISHING: no connection is accepted and no new request taken; what is open
 * is answered, and because a publish of one loop may await sessions of another,
 * none goes on before all have answered.
 * CLOSING: sessions are closed with 1012, those still on their way when they
 * arrive; then what is written is waited for. Nobody leaves while another loop
 * could still send it mail.
 * LAST_TURN: runs the mail that was sent before the last loop had become empty.
 */
enum dm_drain_state { DM_DRAIN_SERVING, DM_DRAIN_FINISHING, DM_DRAIN_CLOSING, DM_DRAIN_LAST_TURN };

struct dm_drain {
    enum dm_drain_state state;
    unsigned said;   /* bits of enum dm_drain_step: told to the server */
    uint64_t end_by; /* ms of the monotonic clock: then it is late */
};

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
    struct dm_inbox inbox;
    h2o_socket_t *listener, *burrow_socket;

    struct dm_shard *shard;
    struct dm_burrow *burrow;
    struct dm_connections connections;
    struct dm_turn turn;
    struct dm_kept *kept;
    uint32_t *places; /* the guard's, by number of the socket; none at all where that is off */
    struct dm_address *forwarded; /* by number too; none before one came through a proxy */
    uint32_t places_room, forwarded_room;

    struct dm_auth_cache *auth_cache; /* NULL: off */
    uint32_t hook_calls;              /* that are not back yet */

    struct dm_list lobby; /* accepted, and not h2o's yet, in order */

    uint64_t sweep_at, ping_at;
    uint64_t accept_again_at, accept_told_at; /* after a want of descriptors; 0: none */
    struct dm_drain drain;
};

/* --- accept.c --- */

void dm_loop_start_accepting(struct dm_loop *loop, int listen_fd); /* which it owns from here on */

/* After each turn: gives h2o some of the connections in the lobby; when to ask again, by the
 * monotonic clock. */
uint64_t dm_loop_hand_over(struct dm_loop *loop, uint64_t now);

/* Accepts again where accepting had paused for want of descriptors. */
void dm_loop_resume_accepting(struct dm_loop *loop);

/* --- sockets.c --- */

void dm_loop_create_burrow(struct dm_loop *loop);
struct dm_sink dm_loop_sink(struct dm_loop *loop); /* how the hub reaches its sockets */
struct dm_address dm_loop_peer_of(const struct dm_loop *loop, uint32_t sock);

/* --- drain.c --- */

/* After each turn: moves the drain on; true when the loop is to end. */
bool dm_loop_has_drained(struct dm_loop *loop);

#endif
