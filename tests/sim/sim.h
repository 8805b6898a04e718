/*
 * The simulation's world: the hub's shards behind fakes of all their ports,
 * driven one event at a time by a seeded generator, on one thread and on a
 * clock of its own. A run is a pure function of its seed and its options.
 *
 *   sim.c        options, runs in a child process, what to print of a failure
 *   world.c      makes shards, ends turns, lets time pass, checks at rest
 *   driver.c     picks what happens next
 *   script.c     what clients and backends do in it
 *   fakes_*.c    mail, store and sockets, as ports/ and net/burrow.h promise
 *   model*.c     what ought to happen, told simply: no code of the hub
 */
#ifndef DM_TESTS_SIM_H
#define DM_TESTS_SIM_H

#include "fakes.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "hub/user.h"
#include "model.h"
#include "random.h"

enum { USERS_MAX = 8, RETRY_MS = 250, SECOND_MS = 1000 };

/* What a run is told by its command line, and where it says how far it is. */
struct sim_progress {
    uint64_t seed;
    uint32_t shards, steps, step;
    bool trace;
};

/* What a run draws for itself before it begins. */
struct plan {
    uint32_t users, max_awake, max_connections_per_user, max_filters, rate_messages;
    uint64_t hibernate_after_ms;
    uint32_t longest_timeout_ms;
    bool tick_before_input; /* which comes first at a turn's end */
    bool reentrant;         /* answers begin new calls */
};

struct world {
    struct sim_progress *progress;
    struct sim_rand rand, hub_rand;
    struct plan plan;
    uint64_t now_ms;
    uint64_t seq;         /* counts everything that happens */
    uint64_t drained_seq; /* when last no mail was under way */
    bool quiet;           /* nothing new begins */

    uint32_t shards;
    struct dm_shard *shard[SIM_SHARDS_MAX];
    struct dm_metrics metrics[SIM_SHARDS_MAX];
    uint64_t wake_at[SIM_SHARDS_MAX];
    bool dirty[SIM_SHARDS_MAX]; /* something ran since its last turn ended */

    char users[USERS_MAX][DM_USER_ID_MAX + 1];
    struct fake_mail mail;
    struct fake_store store;
    struct fake_sink sink;
    struct model model;
};

/* sim.c */
void sim_fail(struct world *world, const char *format, ...) __attribute__((noreturn))
DM_PRINTF(2, 3);
void sim_trace(struct world *world, const char *format, ...) DM_PRINTF(2, 3);

/* world.c */
void world_run(struct sim_progress *progress);
struct dm_shard *world_on(struct world *world, uint32_t shard); /* its thread runs from here */
void world_off(struct world *world);
struct dm_slice world_user(const struct world *world, uint32_t user);
uint32_t world_owner(const struct world *world, uint32_t user);
uint64_t world_metric(const struct world *world, enum dm_metric id);
void world_end_turn(struct world *world, uint32_t shard);
void world_settle(struct world *world);
void world_lull(struct world *world, uint64_t for_ms);
void world_verify(struct world *world);

/* driver.c */
void driver_run(struct world *world);

/* script.c: what clients and backends do */
void script_admit(struct world *world);
bool script_use_grant(struct world *world);
void script_withdraw(struct world *world, uint32_t user, uint32_t from_shard);
bool script_command(struct world *world);
bool script_ack(struct world *world);
bool script_chat(struct world *world);
bool script_end(struct world *world);
bool script_slow(struct world *world);
/* To `user` first; USERS_MAX: to any. */
void script_publish(struct world *world, uint32_t from_shard, uint32_t user, bool many);
void script_ask(struct world *world);

#endif
