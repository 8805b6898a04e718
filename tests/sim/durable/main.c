/*
 * dm-sim-durable (options: cli.h)
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

enum {
    WINDOW_MS = 100000,
    LATE_MS = 5000, /* no mail, and no operation, takes longer */
};

void fail(struct world *world, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim-durable: at %llu ms, step %u: ", (unsigned long long)world->now_ms,
            world->step);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nto repeat: dm-sim-durable --seed %llu --runs 1 --shards %u --trace\n",
            (unsigned long long)world->seed, world->shards);
    _exit(3);
}

void trace(struct world *world, const char *format, ...)
{
    if (!world->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%4u %7llu%s: ", world->step, (unsigned long long)world->now_ms,
            world->dead ? " dead" : "");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

const char *user_name(uint32_t user)
{
    static const char *const names[USERS] = {"ann", "bob", "cleo"};
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

/* --- a process --- */

static void start(struct world *world)
{
    uint64_t hibernate = rand_chance(&world->rand, 50) ? 20 : 1000;
    for (uint32_t i = 0; i < world->shards; i++) {
        struct dm_shard_options options = {
            .number = i,
            .shards = world->shards,
            .hibernate_after_ms = hibernate,
            .resume_window_ms = WINDOW_MS,
            .result_retention_ms = WINDOW_MS,
            .limits = {.max_connections_per_user = 100,
                       .max_awake = 1000,
                       .max_filters_per_session = 10,
                       .max_owed_per_user = 1000,
                       .max_unsent = 1 << 20},
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
        memset(&world->metrics[i], 0, sizeof world->metrics[i]);
        world->shard[i] = dm_shard_create(&options, &ports, &world->metrics[i]);
    }
}

static void turn(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++) {
        (void)dm_shard_tick(world->shard[i]);
        dm_shard_end_turn(world->shard[i]);
    }
}

static void settle(struct world *world)
{
    for (uint32_t i = 0; i < 100000; i++) {
        if (mail_step(world) || retry_held(world) || store_step(world) ||
            (world->dead && client_use_grant(world)))
            continue;
        turn(world);
        world->settled_ms = world->now_ms;
        if (store_idle(world))
            return;
    }
    fail(world, "it never comes to rest");
}

static void pass(struct world *world, uint64_t ms, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        settle(world);
        world->now_ms += ms;
        turn(world);
    }
    settle(world);
}

/* Lets all go that waits for something, and frees it. */
static void stop(struct world *world)
{
    settle(world);
    for (uint32_t i = 0; i < world->shards; i++)
        (void)dm_shard_close_sessions(world->shard[i], 1012, DM_NO_SLICE);
    for (uint32_t i = 0; i < world->shards; i++)
        dm_shard_finish_publishes(world->shard[i]);
    pass(world, 500, 12);
    if (world->open_calls)
        fail(world, "%u calls are not answered", world->open_calls);
    for (uint32_t i = 0; i < world->shards; i++)
        dm_shard_destroy(&world->shard[i]);
}

/* From here on it writes nothing, and nobody hears what it says. */
static void crash(struct world *world)
{
    trace(world, "crash");
    world->dead = true;
    stop(world);
    world->dead = false;
    world->life++;
    world->now_ms += rand_below(&world->rand, 2000);
    store_restart(world);
    start(world);
}

/* --- a run --- */

static void happen(struct world *world)
{
    struct client *client = &world->clients[rand_below(&world->rand, CLIENTS)];
    uint32_t dice = rand_below(&world->rand, 1000);
    world->now_ms++; /* what an envelope's time tells apart */
    if (dice < 90)
        client_connect(client);
    else if (dice < 190)
        (void)client_use_grant(world);
    else if (dice < 250)
        client_subscribe(client);
    else if (dice < 280 && client->sock)
        client_leave(client, rand_chance(&world->rand, 20));
    else if (dice < 400)
        publisher_publish(world);
    else if (dice < 440)
        publisher_repeat(world);
    else if (dice < 450)
        publisher_look(world);
    else if (dice < 560)
        client_ack(client);
    else if (dice < 740)
        (void)store_step(world);
    else if (dice < 900)
        (void)mail_step(world);
    else if (dice < 996) {
        world->now_ms += 1 + rand_below(&world->rand, rand_chance(&world->rand, 10) ? 900 : 40);
        turn(world);
        if (world->now_ms - world->settled_ms > LATE_MS)
            settle(world);
    } else
        crash(world);
    (void)retry_held(world);
    for (uint32_t i = 0; i < world->shards; i++)
        dm_shard_end_turn(world->shard[i]);
}

/* Who was there all the time has got all that was answered: where the store has failed, what is
 * durable. */
static void check_live(struct world *world)
{
    for (uint32_t c = 0; c < CLIENTS; c++) {
        const struct client *client = &world->clients[c];
        for (uint32_t i = 0; client->sock && client->native && i < world->published_count; i++) {
            const struct published *it = &world->published[i];
            if (world->store.failures && !it->durable)
                continue;
            if (it->answered_at && it->asked_at > client->opened_at &&
                (it->users & (1u << client->user)) && !client->got[i])
                fail(world, "client %u was there, and did not get %u", c, i);
        }
    }
}

/* A session that is new gets what is owed, and nothing else. */
static void check_owed(struct world *world, uint32_t user)
{
    struct client *client = &world->clients[user]; /* a native one of that user */
    if (client->sock)
        client_leave(client, true);
    client->has_secret = false;
    while (!client->sock) {
        client_connect(client);
        settle(world);
        (void)client_use_grant(world);
    }
    pass(world, 50, 20);
    for (uint32_t i = 0; i < world->published_count; i++) {
        const struct published *it = &world->published[i];
        bool mine = it->users & (1u << user), maybe = it->maybe_acked & (1u << user);
        if (it->durable && it->answered_at && mine && !maybe && !client->got[i])
            fail(world, "%s is owed %u, and does not get it", user_name(user), i);
    }
}

static void check_end(struct world *world)
{
    world->quiet = true;
    pass(world, 500, 8);
    while (client_use_grant(world))
        settle(world);
    pass(world, 50, 20);
    check_live(world);
    for (uint32_t user = 0; user < USERS; user++)
        check_owed(world, user);
    for (uint32_t i = 0; i < world->shards; i++)
        dm_shard_verify(world->shard[i]);
    stop(world);
    world->now_ms += 2000000; /* all debts and retentions are over */
    store_restart(world);
    start(world);
    pass(world, 30000, 20);
    uint64_t left = store_number(world, "SELECT (SELECT count(*) FROM publish) + (SELECT count(*)"
                                        " FROM target) + (SELECT count(*) FROM owed_envelope) +"
                                        " (SELECT count(*) FROM ack_result)");
    if (left)
        fail(world, "%llu rows are left of publishes", (unsigned long long)left);
    stop(world);
}

static const struct world *running;

/* A check of the hub's own, or a sanitizer, has ended it. */
static void on_abort(int signal_number)
{
    dprintf(2,
            "sim-durable: step %u; to repeat: dm-sim-durable --seed %llu --runs 1 --shards %u "
            "--trace\n",
            running->step, (unsigned long long)running->seed, running->shards);
    signal(signal_number, SIG_DFL);
}

static void run(const struct sim_options *options, uint64_t seed)
{
    struct world *world = DM_NEW(struct world);
    world->rand.state = seed * 0x2545f4914f6cdd1du + options->shards;
    world->hub_rand.state = ~seed;
    world->seed = seed;
    world->now_ms = 1000000;
    world->shards = options->shards;
    world->trace = options->trace;
    running = world;
    store_init(world);
    start(world);
    for (uint32_t i = 0; i < CLIENTS; i++)
        world->clients[i] = (struct client){
            .world = world, .number = i, .user = i % USERS, .native = i < USERS || i % 2};
    for (world->step = 1; world->step < options->steps; world->step++) {
        happen(world);
        for (uint32_t i = 0; i < options->shards; i++)
            dm_shard_verify(world->shard[i]);
    }
    check_end(world);
    store_dispose(world);
    free(world->socks);
    free(world);
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
