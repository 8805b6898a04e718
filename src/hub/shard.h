/*
 * A shard: the users whose slot falls to it, their sessions, and the publishes
 * that it coordinates. It knows time, storage, sockets and the other shards
 * only as the structs of functions in ports/, so that the whole hub runs on a
 * fake clock as well as on h2o.
 *
 * Every function here is called on the shard's own thread. What may be asked
 * of any shard (hub/publish.h, hub/user.h) finds its way to the owner by mail.
 */
#ifndef DM_HUB_SHARD_H
#define DM_HUB_SHARD_H

#include "base/metrics.h"
#include "base/rand.h"
#include "base/uuid.h"
#include "model/limits.h"
#include "ports/authorize.h"
#include "ports/clock.h"
#include "ports/mail.h"
#include "ports/sink.h"
#include "ports/store.h"
#include "ports/verify.h"

struct dm_shard;

struct dm_shard_options {
    uint32_t number, shards; /* this one's, from 0, of how many */
    uint64_t hibernate_after_ms;
    uint64_t resume_window_ms; /* 0: no dialect resumes */
    uint64_t result_retention_ms;
    uint32_t max_publishes;  /* of its sessions, at once; 0: any number */
    bool expire_sessions;    /* those too whose dialect has no refresh */
    struct dm_limits limits; /* max_awake is the whole server's; a shard takes its share */
};

struct dm_shard_ports {
    struct dm_clock clock;
    struct dm_rand rand;
    struct dm_store store;
    struct dm_sink sink;
    struct dm_verify verify;
    struct dm_authorize authorize; /* dm_authorize_ask: it may be empty */
    struct dm_post post;
    void *edge; /* whoever runs the shard; dm_shard_edge gives it back */
};

struct dm_shard *dm_shard_create(const struct dm_shard_options *options,
                                 const struct dm_shard_ports *ports, struct dm_metrics *metrics);

/* Every call must have been answered and every store operation be back. */
void dm_shard_destroy(struct dm_shard **shard);

/* At the end of a loop's turn: answers what is due, puts idle objects to sleep. Returns the
 * monotonic time at which it wants to be called at the latest; UINT64_MAX: whenever. */
uint64_t dm_shard_tick(struct dm_shard *shard);

/* A turn's one reading of each clock: from its first use until dm_shard_end_turn, which whoever
 * runs the shard calls last, before it waits. */
void dm_shard_end_turn(struct dm_shard *shard);
uint64_t dm_shard_now(struct dm_shard *shard);
uint64_t dm_shard_wall(struct dm_shard *shard);

struct dm_uuid dm_shard_mint(struct dm_shard *shard);
uint32_t dm_shard_number(const struct dm_shard *shard);
uint32_t dm_shard_owner(const struct dm_shard *shard, struct dm_slice user_id);
struct dm_metrics *dm_shard_metrics(struct dm_shard *shard);
void *dm_shard_edge(const struct dm_shard *shard);

/* For a drain: ends every session with `code`, and says how many; answers the publishes that this
 * shard coordinates with what there is; and what still keeps it busy (open publishes, operations
 * at the store). */
uint32_t dm_shard_close_sessions(struct dm_shard *shard, int code, struct dm_slice reason);
void dm_shard_finish_publishes(struct dm_shard *shard);
uint32_t dm_shard_busy(const struct dm_shard *shard);
/* Do sessions await the answer to a publish that they have asked for, or to what they have asked of
 * a channel? */
bool dm_shard_has_asked(const struct dm_shard *shard);

/* Holds the shard to its own invariants; aborts where one is broken. For tests: walks everything.
 */
void dm_shard_verify(const struct dm_shard *shard);

#endif
