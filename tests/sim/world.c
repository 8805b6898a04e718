/* A run from its first draw to its last check: shards, turns, and time. */
#include <stdio.h>

#include "sim.h"

static const uint64_t wall_at_start = 1750000000000u;

/* --- the ports that are not worth a file --- */

static uint64_t mono_ms(void *self)
{
    return ((const struct world *)self)->now_ms;
}

static uint64_t wall_ms(void *self)
{
    return wall_at_start + ((const struct world *)self)->now_ms;
}

/* --- small helpers --- */

struct dm_shard *world_on(struct world *world, uint32_t shard)
{
    if (world->mail.here != SENDER_NONE && world->mail.here != shard)
        sim_fail(world, "shard %u runs inside shard %u", shard, world->mail.here);
    world->mail.here = shard;
    world->mail.depth++;
    world->dirty[shard] = true;
    return world->shard[shard];
}

void world_off(struct world *world)
{
    if (--world->mail.depth == 0)
        world->mail.here = SENDER_NONE;
}

struct dm_slice world_user(const struct world *world, uint32_t user)
{
    return dm_slice_of(world->users[user]);
}

uint32_t world_owner(const struct world *world, uint32_t user)
{
    return dm_shard_owner(world->shard[0], world_user(world, user));
}

uint64_t world_metric(const struct world *world, enum dm_metric id)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < world->shards; i++)
        sum += world->metrics[i].values[id];
    return sum;
}

void world_verify(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++)
        dm_shard_verify(world->shard[i]);
    if (world->mail.waiting)
        return;
    world->drained_seq = ++world->seq;
    world->store.failed_reads_told = world->store.failed_reads;
}

/* --- turns and time --- */

static void tick(struct world *world, uint32_t shard)
{
    world->wake_at[shard] = dm_shard_tick(world_on(world, shard));
    world_off(world);
}

void world_end_turn(struct world *world, uint32_t shard)
{
    if (world->plan.tick_before_input)
        tick(world, shard);
    sink_flush(world, shard);
    tick(world, shard);
    struct dm_shard *here = world_on(world, shard);
    (void)dm_shard_now(here); /* as a loop asks for its own timers */
    dm_shard_end_turn(here);
    world_off(world);
    world->dirty[shard] = false;
}

static bool end_a_turn(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++)
        if (world->dirty[i] || world->wake_at[i] <= world->now_ms) {
            world_end_turn(world, i);
            return true;
        }
    return false;
}

/* Until nothing is under way at this moment. */
void world_settle(struct world *world)
{
    for (uint32_t i = 0; i < 100000; i++) {
        world_verify(world);
        if (mail_deliver_one(world) || sink_pump(world) || end_a_turn(world) || store_step(world))
            continue;
        model_check_calm(world);
        return;
    }
    sim_fail(world, "it never comes to rest");
}

/* Lets time pass with nothing new, calling the shards only when they asked for it. */
void world_lull(struct world *world, uint64_t for_ms)
{
    bool was_quiet = world->quiet, was_failing = world->store.failing;
    uint64_t until = for_ms == UINT64_MAX ? UINT64_MAX : world->now_ms + for_ms;
    world->quiet = true;
    world->store.failing = false;
    world_settle(world);
    for (;;) {
        uint64_t next = UINT64_MAX;
        for (uint32_t i = 0; i < world->shards; i++)
            next = world->wake_at[i] < next ? world->wake_at[i] : next;
        if (next == UINT64_MAX || next > until)
            break;
        world->now_ms = next > world->now_ms ? next : world->now_ms;
        world_settle(world);
    }
    if (until != UINT64_MAX)
        world->now_ms = until;
    world_settle(world);
    world->quiet = was_quiet;
    world->store.failing = was_failing;
}

/* --- a run --- */

static void make_plan(struct world *world)
{
    static const uint64_t hibernations[] = {5, 50, 500};
    struct sim_rand *rand = &world->rand;
    struct plan *plan = &world->plan;
    plan->users = 1 + rand_below(rand, 1 + rand_below(rand, USERS_MAX));
    plan->max_awake = rand_chance(rand, 30) ? 1 + rand_below(rand, 4) : 1000;
    plan->max_connections_per_user = rand_chance(rand, 30) ? 1 + rand_below(rand, 4) : 100;
    plan->max_filters = rand_chance(rand, 30) ? 1 + rand_below(rand, 5) : 200;
    plan->hibernate_after_ms = hibernations[rand_below(rand, 3)];
    plan->longest_timeout_ms = rand_chance(rand, 50) ? 60 : 5000;
    plan->tick_before_input = rand_chance(rand, 20);
    plan->reentrant = rand_chance(rand, 50);
    /* Not drawn, so that runs without it are what they were before there was such a limit. */
    plan->rate_messages = world->progress->seed % 8 == 3 ? 1 + world->progress->seed / 8 % 4 : 0;
    /* Some ids stand in the user's record, some beside it. */
    for (uint32_t i = 0; i < USERS_MAX; i++)
        snprintf(world->users[i], sizeof world->users[i], "%s-%u-%llu",
                 i % 3 == 2 ? "a-userId-of-more-than-twenty-bytes-ü" : "u", i,
                 (unsigned long long)(world->progress->seed % 97));
}

static void make_shards(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++) {
        struct dm_shard_options options = {
            .number = i,
            .shards = world->shards,
            .hibernate_after_ms = world->plan.hibernate_after_ms,
            .limits = {.max_connections_per_user = world->plan.max_connections_per_user,
                       .max_filters_per_session = world->plan.max_filters,
                       .rate_messages = world->plan.rate_messages,
                       .max_awake = world->plan.max_awake},
        };
        struct dm_shard_ports ports = {
            .clock = {world, mono_ms, wall_ms},
            .rand = {&world->hub_rand, rand_fill},
            .store = store_port(world),
            .sink = sink_port(world),
            .post = mail_port(world),
            .edge = world,
        };
        world->shard[i] = dm_shard_create(&options, &ports, &world->metrics[i]);
    }
}

/* All that is open is closed, by its client or by a drain, and nothing may be left. */
static void close_all(struct world *world)
{
    world->quiet = true;
    world->store.failing = false;
    while (script_use_grant(world) || (world->mail.waiting && mail_deliver_one(world)))
        world_verify(world);
    for (struct fake_sock *sock; (sock = sink_pick(world)) != NULL;) {
        if (rand_chance(&world->rand, 10)) {
            uint32_t shard = sock->shard;
            dm_shard_close_sessions(world_on(world, shard), 1012, DM_SLICE("enough"));
            world_off(world);
        } else {
            sink_cut(world, sock);
        }
        world_verify(world);
    }
    world_lull(world, UINT64_MAX);
    model_check_empty(world);
}

void world_run(struct sim_progress *progress)
{
    struct world world = {.progress = progress,
                          .rand = {progress->seed * 0x2545f4914f6cdd1du + progress->shards},
                          .hub_rand = {~progress->seed},
                          .now_ms = 1000,
                          .shards = progress->shards};
    make_plan(&world);
    mail_init(&world);
    store_init(&world);
    sink_init(&world);
    make_shards(&world);
    driver_run(&world);
    if (rand_chance(&world.rand, 80))
        close_all(&world);
    else
        while (world.model.publishes_open || world.model.calls)
            world_lull(&world, 10);
    for (uint32_t i = 0; i < world.shards; i++)
        dm_shard_destroy(&world.shard[i]);
    sink_dispose(&world);
    store_dispose(&world);
    model_dispose(&world);
}
