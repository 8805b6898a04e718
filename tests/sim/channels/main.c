/*
 * dm-sim-channels (options: ../cli.h)
 *
 * Runs seeds; a failure prints how to repeat it.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "ports/store_channel.h"
#include "world.h"

enum { LATE_MS = 5000 /* no mail, and no operation, takes longer */ };

const char *const user_names[USERS] = {"ann", "bob", "cleo", "dan", "eve", "fay", "gus"};
const char *const channel_names[CHANNELS] = {"news", "private-desk", "presence-hall",
                                             "presence-yard"};

uint32_t user_named(struct world *world, struct dm_slice name)
{
    for (uint32_t i = 0; i < USERS; i++)
        if (dm_slice_eq(name, dm_slice_of(user_names[i])))
            return i;
    bed_fail(&world->bed, "there is no user '%.*s'", (int)name.len, name.at);
}

uint32_t channel_named(struct world *world, struct dm_slice name)
{
    for (uint32_t i = 0; i < CHANNELS; i++)
        if (dm_slice_eq(name, channel_name(i)))
            return i;
    bed_fail(&world->bed, "there is no channel '%.*s'", (int)name.len, name.at);
}

struct dm_slice channel_name(uint32_t channel)
{
    return dm_slice_of(channel_names[channel]);
}

/* What failed before it was asked may have been on its way back. */
void expect_failures(struct world *world, int err, const char *what)
{
    bool may = err == DM_ERR_UNAVAILABLE || err == DM_ERR_COMMIT_UNKNOWN;
    if (err && (!may || world->failures_at_rest == world->bed.store.failures))
        bed_fail(&world->bed, "%s fails: %s", what, dm_err_code(err));
}

/* --- a process --- */

static void begin(struct bed *bed)
{
    static const uint32_t windows[] = {4000, 12000, 60000};
    struct world *world = world_of(bed);
    world->window_ms = windows[rand_below(&bed->rand, 3)];
    world->page_rows = 1 + rand_below(&bed->rand, rand_chance(&bed->rand, 50) ? 3 : 100);
    world->max_channels = rand_chance(&bed->rand, 30) ? CHANNELS - 1 : 1000;
    world->grants[0] = (1u << USERS) - 1;
    for (uint32_t i = 1; i < CHANNELS; i++)
        world->grants[i] =
            rand_below(&bed->rand, 1u << USERS) | rand_below(&bed->rand, 1u << USERS);
    if (rand_chance(&bed->rand, 25))
        members_add_extras(world);
    clients_init(world);
    world->calm = bed->store.fail_percent == 0;
}

static void choose(struct bed *bed, struct dm_shard_options *options)
{
    const struct world *world = world_of(bed);
    /* No sooner than what a session is owed may pause (hub/catch_up.c). */
    options->hibernate_after_ms = rand_chance(&bed->rand, 70) ? 700 : 3000;
    options->resume_window_ms = world->window_ms;
    options->result_retention_ms = 100000;
    options->limits = (struct dm_limits){.max_connections_per_user = 100,
                                         .max_awake = rand_chance(&bed->rand, 30) ? 2 : 1000,
                                         .max_filters_per_session = 10,
                                         .max_owed_per_user = 1000,
                                         .max_targets = 1000,
                                         .max_channels_per_user = world->max_channels,
                                         .max_unsent = 1 << 20};
}

/* Pages of rosters are small here; those that somebody has asked for are as asked. */
static void before(struct bed *bed, struct dm_store_op *op)
{
    if (op->kind == DM_STORE_LOAD_MEMBERS && op->channel->limit == DM_MEMBERS_PAGE_ROWS)
        op->channel->limit = world_of(bed)->page_rows;
}

static void crash(struct world *world)
{
    bed_crash(&world->bed);
    commands_end(world, true);
}

/* --- what happens --- */

/* Sockets have arrived, and have what was held back for them. */
void world_rest(struct world *world)
{
    do
        bed_settle(&world->bed);
    while (bed_open_grant(&world->bed));
    world->bed.drained = true;
    bed_pass(&world->bed, 90, 8);
    world->bed.drained = false;
    if (!world->bed.open_calls)
        world->failures_at_rest = world->bed.store.failures;
}

static void rest(struct world *world)
{
    world_rest(world);
    commands_end(world, false);
    if (!world->calm)
        return;
    bed_trace(&world->bed, "at rest");
    presence_look(world);
    members_check(world);
    sends_check(world);
}

/* The store is well again, and what has waited for it is made up for. */
static void become_calm(struct world *world)
{
    bed_trace(&world->bed, "calm");
    world->bed.quiet = true;
    bed_pass(&world->bed, 500, 8);
    world_rest(world);
    presence_forget(world);
    world->calm = true;
    rest(world);
}

static void change_weather(struct world *world)
{
    if (world->bed.store.fail_percent == 0)
        return;
    if (!world->calm) {
        become_calm(world);
        return;
    }
    rest(world);
    bed_trace(&world->bed, "not calm");
    world->bed.quiet = world->calm = false;
    presence_forget(world);
}

static void pass_time(struct world *world)
{
    struct bed *bed = &world->bed;
    bed->now_ms += 1 + rand_below(&bed->rand, rand_chance(&bed->rand, 25) ? 1500 : 40);
    bed_turn(bed);
    if (bed->now_ms - bed->settled_ms > LATE_MS)
        bed_settle(bed);
}

static void step_store(struct world *world)
{
    (void)bed_store_step(&world->bed);
}

static void step_mail(struct world *world)
{
    (void)bed_mail_step(&world->bed);
}

static void step_hook(struct world *world)
{
    (void)commands_decide(&world->bed);
}

static void step_grant(struct world *world)
{
    (void)bed_use_grant(&world->bed);
}

static struct client *any_client(struct world *world)
{
    return &world->clients[rand_below(&world->bed.rand, CLIENTS)];
}

static void step_connect(struct world *world)
{
    client_connect(any_client(world));
}

static void step_subscribe(struct world *world)
{
    client_subscribe(any_client(world));
}

static void step_leave(struct world *world)
{
    client_leave(any_client(world), rand_chance(&world->bed.rand, 25));
}

static void step_ack(struct world *world)
{
    client_ack(any_client(world));
}

static void step_command(struct world *world)
{
    client_command(any_client(world));
}

static void step_whisper(struct world *world)
{
    client_whisper(any_client(world));
}

static void happen(struct bed *bed)
{
    static const struct {
        uint32_t weight;
        void (*what)(struct world *world);
    } steps[] = {
        {110, step_connect},
        {110, step_grant},
        {25, step_subscribe},
        {35, step_leave},
        {60, members_ask},
        {60, step_command},
        {4, members_end_channel},
        {8, members_disconnect},
        {90, send_make},
        {10, send_again},
        {30, step_whisper},
        {60, step_ack},
        {15, presence_ask},
        {160, step_store},
        {150, step_mail},
        {20, step_hook},
        {80, pass_time},
        {12, rest},
        {3, crash},
        {4, change_weather},
    };
    uint32_t all = 0, which = 0;
    for (size_t i = 0; i < DM_COUNT(steps); i++)
        all += steps[i].weight;
    uint32_t dice = rand_below(&bed->rand, all);
    while (dice >= steps[which].weight)
        dice -= steps[which++].weight;
    bed->now_ms++; /* what an envelope's time tells apart */
    steps[which].what(world_of(bed));
}

/* --- the end --- */

/* Some drop, and do not come back in time. */
static void let_windows_end(struct world *world)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (rand_chance(&world->bed.rand, 30))
            client_leave(&world->clients[i], rand_chance(&world->bed.rand, 30));
    rest(world);
    bed_pass(&world->bed, world->window_ms / 4, 6);
    bed_pass(&world->bed, 500, 4);
    rest(world);
}

static void finish(struct bed *bed)
{
    struct world *world = world_of(bed);
    become_calm(world);
    let_windows_end(world);
    sends_check_order(world);
    sends_check_owed(world);
    rest(world);
    for (uint32_t i = 0; i < bed->shards; i++)
        dm_shard_verify(bed->shard[i]);
    bed_stop(bed);
    bed->life++;
    bed_store_restart(bed);
    bed_start(bed);
    rest(world);
    bed_pass(bed, world->window_ms, 4);
    rest(world);
    bed_stop(bed);
}

int main(int argc, char **argv)
{
    static const struct bed_kind kind = {
        .name = "channels",
        .seeds = DM_SIM_SEEDS,
        .shards_max = BED_SHARDS_MAX,
        .steps = STEPS,
        .late_reads = true,
        .verify_every = 3,
        .size = sizeof(struct world),
        .begin = begin,
        .happen = happen,
        .finish = finish,
        .choose = choose,
        .authorize = commands_authorize,
        .more = commands_decide,
        .before = before,
        .committed = members_committed,
        .opened = client_opened,
        .heard = client_heard,
        .closed = client_closed,
    };
    (void)argc;
    return bed_main(argv, &kind);
}
