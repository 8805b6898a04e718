/*
 * The whole server: its options, its loops (one a shard, each on a thread of
 * its own), and the few things that they share. Created, started and ended by
 * the main thread.
 *
 *   dm_server_create ─► (open the store, with dm_server_post) ─► dm_server_start
 *   ─► serving ─► dm_server_drain ─► (close the store) ─► dm_server_destroy
 */
#ifndef DM_NET_SERVER_H
#define DM_NET_SERVER_H

#include <stdatomic.h>

#include "auth/auth.h"
#include "base/buf.h"
#include "hub/shard.h"
#include "model/limits.h"
#include "net/hook.h"

struct ssl_ctx_st;
struct dm_guard;
struct dm_route;
struct dm_server;
struct dm_loop;

struct dm_server_options {
    uint32_t shards;
    struct dm_limits limits;
    uint32_t max_pending_requests;
    uint64_t hibernate_after_ms, resume_window_ms, result_retention_ms;
    uint64_t ping_interval_ms, drain_timeout_ms;
    uint64_t handshake_timeout_ms, request_timeout_ms, write_timeout_ms, keepalive_ms;
    bool open_publish, guests, expire_sessions, metrics_public;
    struct dm_hook_options hooks; /* only read by dm_server_start */
    uint64_t auth_cache_ms;       /* 0: off */
    char *const *cors_origins;
    size_t cors_origin_count;
    char *const *trusted_proxies; /* what dm_network_read takes */
    size_t trusted_proxy_count;
    const struct dm_route *const *routes; /* tables, each ended by a route without a pattern */
    size_t route_tables;
    bool (*ready)(void *context); /* is the store taking writes? any thread */
    void *ready_context;
};

/* The options' arrays must live as long as the server. With `tls` that is what is spoken at the
 * listener; NULL: nothing but plain HTTP. */
struct dm_server *dm_server_create(const struct dm_server_options *options, struct dm_auth *auth,
                                   struct ssl_ctx_st *tls);
void dm_server_destroy(struct dm_server **server);

/* How to reach the shards: the store posts its completions through it. */
struct dm_post dm_server_post(struct dm_server *server);

/* Starts the loops and accepts from `listen_fd`, which it owns from here on. */
void dm_server_start(struct dm_server *server, const struct dm_store *store, int listen_fd);

/* New secrets: every loop changes over between two turns. */
void dm_server_set_auth(struct dm_server *server, struct dm_auth *auth);

/* A new secret to sign calls of hooks with. */
void dm_server_set_hook_secret(struct dm_server *server, const char *secret);

/* Another certificate, for what connects from then on. What speaks TLS at all stays as it is. */
void dm_server_set_tls(struct dm_server *server, struct ssl_ctx_st *tls);

/* Stops accepting, answers new requests with 503, lets open publishes finish (at most
 * drain_timeout), closes the sessions with 1012, and returns when the loops have ended and the
 * store owes nothing. From its return on nothing may be posted to a shard. */
void dm_server_drain(struct dm_server *server);

/* For every loop and for the admin routes; any thread. */
const struct dm_server_options *dm_server_options(const struct dm_server *server);

/* What is counted anywhere: the loops' and what was added (the store's threads). Any thread. */
void dm_server_add_metrics(struct dm_server *server, const struct dm_metrics *metrics);
size_t dm_server_metrics(const struct dm_server *server, const struct dm_metrics ***all);

/* One atomic count of the sessions of all shards, for max_connections. */
bool dm_server_take_connection(struct dm_server *server);
void dm_server_give_connection(struct dm_server *server);
uint32_t dm_server_connections(const struct dm_server *server);
struct dm_hooks *dm_server_hooks(const struct dm_server *server); /* NULL: there is none */
struct dm_guard *dm_server_guard(const struct dm_server *server); /* any thread */
bool dm_server_draining(const struct dm_server *server);

/* What each loop says once in a drain, and none takes back: it owes no answer; it has no HTTP
 * connection left, so it starts no WebSocket; nothing is left in it. */
enum dm_drain_step { DM_DRAIN_ANSWERED, DM_DRAIN_EDGE_ENDED, DM_DRAIN_EMPTY, DM_DRAIN_STEPS };
void dm_server_step_done(struct dm_server *server, enum dm_drain_step step);
bool dm_server_all_have(const struct dm_server *server, enum dm_drain_step step);

#endif
