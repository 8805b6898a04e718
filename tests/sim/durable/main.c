/*
 * dm-sim-durable (options: cli.h)
 *
 * Runs seeds; a failure prints how to repeat it.
 */

#include "world.h"

enum {
    WINDOW_MS = 100000,
    LATE_MS = 5000, /* no mail, and no operation, takes longer */
};

const char *user_name(uint32_t user)
{
    static const char *const names[USERS] = {"ann", "bob", "cleo"};
    return names[user];
}

static void choose(struct bed *bed, struct dm_shard_options *options)
{
    options->hibernate_after_ms = rand_chance(&bed->rand, 50) ? 20 : 1000;
    options->resume_window_ms = WINDOW_MS;
    options->result_retention_ms = WINDOW_MS;
    options->limits = (struct dm_limits){.max_connections_per_user = 100,
                                         .max_awake = 1000,
                                         .max_filters_per_session = 10,
                                         .max_owed_per_user = 1000,
                                         .max_unsent = 1 << 20};
}

/* --- a run --- */

static void happen(struct bed *bed)
{
    struct world *world = DM_CONTAINER(bed, struct world, bed);
    struct client *client = &world->clients[rand_below(&world->bed.rand, CLIENTS)];
    uint32_t dice = rand_below(&world->bed.rand, 1000);
    world->bed.now_ms++; /* what an envelope's time tells apart */
    if (dice < 90)
        bed_connect(&client->bed);
    else if (dice < 190)
        (void)bed_use_grant(&world->bed);
    else if (dice < 250)
        client_subscribe(client);
    else if (dice < 280 && client->bed.sock)
        bed_leave(&client->bed, rand_chance(&world->bed.rand, 20));
    else if (dice < 400)
        publisher_publish(world);
    else if (dice < 440)
        publisher_repeat(world);
    else if (dice < 450)
        publisher_look(world);
    else if (dice < 560)
        client_ack(client);
    else if (dice < 740)
        (void)bed_store_step(&world->bed);
    else if (dice < 900)
        (void)bed_mail_step(&world->bed);
    else if (dice < 996) {
        world->bed.now_ms +=
            1 + rand_below(&world->bed.rand, rand_chance(&world->bed.rand, 10) ? 900 : 40);
        bed_turn(&world->bed);
        if (world->bed.now_ms - world->bed.settled_ms > LATE_MS)
            bed_settle(&world->bed);
    } else
        bed_crash(&world->bed);
}

/* Who was there all the time has got all that was answered: where the store has failed, what is
 * durable. */
static void check_live(struct world *world)
{
    for (uint32_t c = 0; c < CLIENTS; c++) {
        const struct client *client = &world->clients[c];
        for (uint32_t i = 0; client->bed.sock && client->native && i < world->published_count;
             i++) {
            const struct published *it = &world->published[i];
            if (world->bed.store.failures && !it->durable)
                continue;
            if (it->answered_at && it->asked_at > client->opened_at &&
                (it->users & (1u << client->user)) && !client->got[i])
                bed_fail(&world->bed, "client %u was there, and did not get %u", c, i);
        }
    }
}

/* A session that is new gets what is owed, and nothing else. */
static void check_owed(struct world *world, uint32_t user)
{
    struct client *client = &world->clients[user]; /* a native one of that user */
    if (client->bed.sock)
        bed_leave(&client->bed, true);
    client->bed.has_secret = false;
    while (!client->bed.sock) {
        bed_connect(&client->bed);
        bed_settle(&world->bed);
        (void)bed_use_grant(&world->bed);
    }
    bed_pass(&world->bed, 50, 20);
    for (uint32_t i = 0; i < world->published_count; i++) {
        const struct published *it = &world->published[i];
        bool mine = it->users & (1u << user), maybe = it->maybe_acked & (1u << user);
        if (it->durable && it->answered_at && mine && !maybe && !client->got[i])
            bed_fail(&world->bed, "%s is owed %u, and does not get it", user_name(user), i);
    }
}

static void check_end(struct bed *bed)
{
    struct world *world = DM_CONTAINER(bed, struct world, bed);
    world->bed.quiet = true;
    bed_pass(&world->bed, 500, 8);
    while (bed_use_grant(&world->bed))
        bed_settle(&world->bed);
    bed_pass(&world->bed, 50, 20);
    check_live(world);
    for (uint32_t user = 0; user < USERS; user++)
        check_owed(world, user);
    for (uint32_t i = 0; i < world->bed.shards; i++)
        dm_shard_verify(world->bed.shard[i]);
    bed_stop(&world->bed);
    world->bed.now_ms += 2000000; /* all debts and retentions are over */
    bed_store_restart(&world->bed);
    bed_start(&world->bed);
    bed_pass(&world->bed, 30000, 20);
    uint64_t left =
        bed_store_number(&world->bed, "SELECT (SELECT count(*) FROM publish) + (SELECT count(*)"
                                      " FROM target) + (SELECT count(*) FROM owed_envelope) +"
                                      " (SELECT count(*) FROM ack_result)");
    if (left)
        bed_fail(&world->bed, "%llu rows are left of publishes", (unsigned long long)left);
    bed_stop(&world->bed);
}

static void started(struct bed *bed)
{
    struct world *world = DM_CONTAINER(bed, struct world, bed);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        *client = (struct client){.world = world, .user = i % USERS};
        client->native = i < USERS || i % 2;
        client->bed = (struct bed_client){
            .bed = bed,
            .number = i,
            .user = user_name(client->user),
            .dialect = client->native ? DM_DIALECT_NATIVE : DM_DIALECT_HOPEFLOW,
        };
    }
}

int main(int argc, char **argv)
{
    static const struct bed_kind kind = {
        .name = "durable",
        .seeds = DM_SIM_SEEDS,
        .shards_max = SHARDS_MAX,
        .steps = STEPS,
        .verify_every = 1,
        .size = sizeof(struct world),
        .started = started,
        .happen = happen,
        .finish = check_end,
        .choose = choose,
        .opened = client_opened,
        .heard = client_heard,
    };
    (void)argc;
    return bed_main(argv, &kind);
}
