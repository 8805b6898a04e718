/*
 * One shard's event loop: h2o's loop and HTTP context, the mail that reaches
 * it, its burrow and its hub. All of it is made and used on one thread.
 *
 * A turn: h2o polls and runs what is ready (requests, mail, the burrow's epoll
 * set); then input that was held goes on, the hub does what is due, and all
 * that is ready for a socket is written at once.
 */
#ifndef DM_NET_LOOP_H
#define DM_NET_LOOP_H

#include "auth/auth.h"
#include "base/list.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "net/auth_cache.h"
#include "net/burrow.h"
#include "net/hook.h"
#include "net/kept.h"
#include "net/line.h"
#include "net/server.h"

struct st_h2o_context_t;
struct st_h2o_globalconf_t;

struct dm_loop *dm_loop_create(struct dm_server *server, uint32_t number,
                               struct dm_metrics *metrics); /* main thread */
void dm_loop_destroy(struct dm_loop **loop);                /* after its thread has ended */

/* The thread: sets up, tells the barrier, runs until told to end. */
void dm_loop_run(struct dm_loop *loop, const struct dm_store *store, int listen_fd,
                 void (*set_up)(void *context), void *context);

void dm_loop_post(struct dm_loop *loop, struct dm_mail *const *mails,
                  size_t count); /* any thread */

/* The rest on the loop's own thread. */
struct dm_loop *dm_loop_of_shard(const struct dm_shard *shard);
struct dm_shard *dm_loop_shard(struct dm_loop *loop);
struct dm_server *dm_loop_server(struct dm_loop *loop);
struct dm_metrics *dm_loop_metrics(struct dm_loop *loop);
struct dm_kept *dm_loop_kept(struct dm_loop *loop);
const struct dm_auth *dm_loop_auth(const struct dm_loop *loop);
void dm_loop_set_auth(struct dm_loop *loop, struct dm_auth *auth);
void dm_loop_set_tls(struct dm_loop *loop, struct ssl_ctx_st *tls); /* of what connects from now */

/* Calls a hook; `done` is run on this loop when that is over, and has the call again. False: it is
 * not called, and `done` is not run. */
bool dm_loop_call_hook(struct dm_loop *loop, struct dm_hook_call *call,
                       dm_hook_done *done) DM_MUST_CHECK;
struct dm_auth_cache *dm_loop_auth_cache(const struct dm_loop *loop); /* NULL: off */

/* Of a WebSocket's peer, as net/guard.h has it. */
struct dm_origin {
    uint32_t place; /* given back when the socket ends */
    struct dm_address forwarded;
};

/* An open WebSocket after its handshake, with what the client had sent behind it. */
void dm_loop_adopt(struct dm_loop *loop, struct dm_line line, const struct dm_admission *admission,
                   const struct dm_origin *origin, struct dm_slice early);

/* The steps of a drain, each asked by mail from the main thread. */
void dm_loop_stop_accepting(struct dm_loop *loop);
void dm_loop_end(struct dm_loop *loop, uint64_t deadline_mono_ms);

#endif
