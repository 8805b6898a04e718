/*
 * dm-sim-resume (options: cli.h)
 *
 * Runs seeds; a failure prints how to repeat it.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli.h"
#include "base/alloc.h"
#include "world.h"

enum { STEPS = 500 };

void fail(struct world *world, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim-resume: at %llu ms, step %u: ", (unsigned long long)world->now_ms,
            world->step);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nto repeat: dm-sim-resume --seed %llu --runs 1 --shards %u --trace\n",
            (unsigned long long)world->seed, world->shards);
    _exit(3);
}

void trace(struct world *world, const char *format, ...)
{
    if (!world->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%4u %6llu: ", world->step, (unsigned long long)world->now_ms);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

const char *user_name(uint32_t user)
{
    static const char *const names[USERS] = {"ann", "bob", "cleo", "dan"};
    return names[user];
}

static uint64_t clock_now(void *self)
{
    return ((struct world *)self)->now_ms;
}

static int no_tokens(void *self, uint32_t sock, struct dm_slice token, struct dm_slice user,
                     uint64_t *expires_ms, bool *may_publish, struct dm_buf *claims)
{
    (void)self, (void)sock, (void)token, (void)user, (void)expires_ms, (void)may_publish;
    (void)claims;
    return 1;
}

static void make_shards(struct world *world)
{
    uint64_t hibernate = rand_chance(&world->rand, 50) ? 20 : 1000;
    for (uint32_t i = 0; i < world->shards; i++) {
        struct dm_shard_options options = {
            .number = i,
            .shards = world->shards,
            .hibernate_after_ms = hibernate,
            .resume_window_ms = WINDOW_MS,
            .limits = {.max_connections_per_user = 100,
                       .max_awake = 1000,
                       .max_filters_per_session = 10,
                       .max_attachment = 100},
        };
        struct dm_shard_ports ports = {
            .clock = {world, clock_now, clock_now},
            .rand = {&world->hub_rand, rand_fill},
            .store = store_port(world),
            .sink = sink_port(world),
            .verify = {world, no_tokens},
            .post = post_port(world),
            .edge = world,
        };
        dm_list_init(&world->mail[i]);
        world->shard[i] = dm_shard_create(&options, &ports, &world->metrics[i]);
    }
}

static void verify(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++)
        dm_shard_verify(world->shard[i]);
}

static void turn(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++) {
        (void)dm_shard_tick(world->shard[i]);
        dm_shard_end_turn(world->shard[i]);
    }
}

static void happen(struct world *world)
{
    struct client *client = &world->clients[rand_below(&world->rand, CLIENTS)];
    uint32_t dice = rand_below(&world->rand, 100);
    if (dice < 18)
        client_connect(client);
    else if (dice < 36)
        (void)client_use_grant(world);
    else if (dice < 46)
        client_attach(client);
    else if (dice < 52 && client->sock)
        client_leave(client, false);
    else if (dice < 53 && client->sock)
        client_leave(client, true);
    else if (dice < 54)
        client_disconnect(world, client->user);
    else if (dice < 60)
        publish(world);
    else if (dice < 64)
        client_ack(client);
    else if (dice < 80)
        (void)store_step(world);
    else if (dice < 95)
        (void)mail_step(world);
    else {
        world->now_ms += 1 + rand_below(&world->rand, rand_chance(&world->rand, 10) ? 3000 : 60);
        turn(world);
    }
    (void)retry_held(world);
}

static void settle(struct world *world)
{
    for (uint32_t i = 0; i < 100000; i++) {
        if (mail_step(world) || retry_held(world) || store_step(world))
            continue;
        turn(world);
        if (!world->store.writes && !world->store.reads)
            return;
    }
    fail(world, "it never comes to rest");
}

/* Nothing fails any more: what had failed is made good. */
static void calm_down(struct world *world)
{
    world->quiet = true;
    settle(world);
    while (client_use_grant(world))
        settle(world);
    for (uint32_t i = 0; i < 10; i++) {
        world->now_ms += 500;
        settle(world);
        verify(world);
    }
    store_check(world);
}

/* Everybody leaves for good, the window passes, and nothing may be left anywhere. */
static void close_all(struct world *world)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (world->clients[i].sock)
            client_leave(&world->clients[i], true);
    for (uint32_t i = 0; i < 40; i++) {
        world->now_ms += 500;
        settle(world);
        verify(world);
    }
    if (world->calls || world->asked_open)
        fail(world, "a call is not answered");
    for (uint32_t i = 0; i < world->shards; i++)
        if (world->metrics[i].values[DM_METRIC_USERS_ASLEEP] ||
            world->metrics[i].values[DM_METRIC_USERS_AWAKE] ||
            world->metrics[i].values[DM_METRIC_SESSIONS] || dm_shard_busy(world->shard[i]))
            fail(world, "shard %u is not empty", i);
    if (world->store.row_count || world->store.pending_count)
        fail(world, "%u rows and %u pending acks are left", world->store.row_count,
             world->store.pending_count);
}

static const struct world *running;

/* A check of the hub's own, or a sanitizer, has ended it. */
static void on_abort(int signal_number)
{
    dprintf(
        2,
        "sim-resume: step %u; to repeat: dm-sim-resume --seed %llu --runs 1 --shards %u --trace\n",
        running->step, (unsigned long long)running->seed, running->shards);
    signal(signal_number, SIG_DFL);
}

static void run(const struct sim_options *options, uint64_t seed)
{
    struct world world = {.rand = {seed * 0x2545f4914f6cdd1du + options->shards},
                          .hub_rand = {~seed},
                          .seed = seed,
                          .now_ms = 1000000,
                          .shards = options->shards,
                          .trace = options->trace};
    running = &world;
    store_init(&world);
    make_shards(&world);
    for (uint32_t i = 0; i < CLIENTS; i++)
        world.clients[i] = (struct client){.world = &world, .number = i, .user = i % USERS};
    for (world.step = 0; world.step < options->steps; world.step++) {
        happen(&world);
        verify(&world);
    }
    calm_down(&world);
    close_all(&world);
    for (uint32_t i = 0; i < options->shards; i++)
        dm_shard_destroy(&world.shard[i]);
    free(world.socks);
    free(world.ended);
    store_dispose(&world);
}

static void run_next(void *context, uint64_t seed)
{
    run(context, seed);
}

int main(int argc, char **argv)
{
    struct sim_options options = sim_options_read(argv, SHARDS_MAX, STEPS);
    (void)argc;
    signal(SIGABRT, on_abort);
    sim_run_all(&options, DM_SIM_SEEDS, run_next, &options);
    return 0;
}
