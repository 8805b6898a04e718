/*
 * What holds when nothing is under way: no mail, no input, nothing at the
 * store, and every turn ended. This file alone looks into the hub's records,
 * to see that none is left.
 */
#include "hub/hub_priv.h"
#include "model.h"
#include "sim.h"

/* The hub tries the store again some time after it failed. */
static bool failed_lately(struct world *world)
{
    struct fake_store *store = &world->store;
    uint32_t failures = store->failed_reads + store->failed_writes;
    if (failures != store->failures_seen)
        store->last_failure_ms = world->now_ms;
    store->failures_seen = failures;
    return failures && world->now_ms <= store->last_failure_ms + RETRY_MS;
}

static void expect(struct world *world, const char *what, uint64_t is, uint64_t expected)
{
    if (is != expected)
        sim_fail(world, "%s: %llu, not %llu", what, (unsigned long long)is,
                 (unsigned long long)expected);
}

/* --- calm --- */

static void check_publishes(struct world *world, bool failed)
{
    for (uint32_t i = 0; i < world->model.publish_count; i++) {
        struct m_publish *publish = world->model.publishes[i];
        if (!publish->call)
            continue;
        if (!publish->coordinated_by_ms)
            publish->coordinated_by_ms = world->now_ms;
        if (failed)
            continue;
        if (!publish->timeout_ms || model_all_resolved(world, publish) ||
            world->now_ms >= publish->coordinated_by_ms + publish->timeout_ms)
            sim_fail(world, "publish %u is not answered", i);
    }
}

static void check_counts(struct world *world, bool failed)
{
    const struct model *model = &world->model;
    uint32_t users = 0, open = 0;
    for (uint32_t i = 0; i < world->plan.users; i++) {
        users += model->users[i].open || model->users[i].granted;
        open += model->users[i].open;
    }
    uint64_t known =
        world_metric(world, DM_METRIC_USERS_AWAKE) + world_metric(world, DM_METRIC_USERS_ASLEEP);
    if (known < users || (known > users && !failed))
        sim_fail(world, "the hub knows %llu users, not %u", (unsigned long long)known, users);
    expect(world, "sessions", world_metric(world, DM_METRIC_SESSIONS), open);
    expect(world, "publishes", world_metric(world, DM_METRIC_PUBLISHES), model->publish_count);
    expect(world, "publishes open", world_metric(world, DM_METRIC_PUBLISHES_OPEN),
           model->publishes_open);
    expect(world, "deliveries", world_metric(world, DM_METRIC_DELIVERIES), world->sink.frames);
    expect(world, "fixed answers", world_metric(world, DM_METRIC_FIXED_ANSWERS),
           model->pings_taken);
    expect(world, "acks",
           world_metric(world, DM_METRIC_ACKS) + world_metric(world, DM_METRIC_ACKS_IGNORED),
           model->acks_taken);
    expect(world, "disconnected", world_metric(world, DM_METRIC_CLOSED_BY_BACKEND),
           model->disconnected);
    expect(world, "disconnected sockets", world->sink.disconnected, model->disconnected);
    if (world_metric(world, DM_METRIC_ACKS) < model->results)
        sim_fail(world, "more results than acks");
}

/* Where no write failed, a pending ack has a row only while it is awaited. */
static void check_rows(struct world *world)
{
    const struct fake_store *store = &world->store;
    if (store->failed_writes)
        return;
    for (uint32_t i = 0; i < world->model.publish_count; i++) {
        const struct m_publish *publish = world->model.publishes[i];
        uint32_t rows = 0, awaited = 0;
        for (uint32_t j = 0; j < store->pending_count; j++) {
            char id[DM_UUID_TEXT_LEN];
            dm_uuid_format(&store->pending[j].envelope_id, id);
            rows += memcmp(id, publish->id, sizeof id) == 0;
        }
        for (uint32_t j = 0; publish->call && j < publish->receipt_count; j++)
            awaited += !publish->receipts[j].acked &&
                       !world->model.sessions[publish->receipts[j].session].closed;
        if (rows > awaited)
            sim_fail(world, "publish %u awaits %u acks and has %u rows", i, awaited, rows);
    }
    if (store->session_count > world_metric(world, DM_METRIC_SESSIONS))
        sim_fail(world, "%u session rows", store->session_count);
}

static void check_awake(struct world *world)
{
    uint32_t share = (world->plan.max_awake + world->shards - 1) / world->shards;
    for (uint32_t i = 0; i < world->shards; i++)
        if (world->metrics[i].values[DM_METRIC_USERS_AWAKE] > share)
            sim_fail(world, "shard %u has more than %u users awake", i, share);
    for (uint32_t i = 1; i < world->sink.count; i++)
        if (world->sink.socks[i].held && world->sink.socks[i].slowed_to <= world->now_ms)
            sim_fail(world, "socket %u is still held", i);
}

void model_check_calm(struct world *world)
{
    bool failed = failed_lately(world);
    if (world->model.admissions)
        sim_fail(world, "an admission is not answered");
    for (const struct m_call *call = world->model.calls; call; call = call->next)
        if (!world->model.users[call->user].granted)
            sim_fail(world, "a call is not answered"); /* else it waits for a socket's arrival */
    for (uint32_t i = 0; i < world->plan.users; i++)
        world->model.users[i].withdrawing = 0;
    check_publishes(world, failed);
    check_counts(world, failed);
    if (failed)
        return;
    check_awake(world);
    check_rows(world);
}

/* --- all asleep, and all gone --- */

void model_check_asleep(struct world *world)
{
    if (failed_lately(world))
        return;
    expect(world, "users awake", world_metric(world, DM_METRIC_USERS_AWAKE), 0);
    for (uint32_t i = 0; i < world->shards; i++) {
        expect(world, "states", world->shard[i]->states.live, 0);
        expect(world, "awake records", world->shard[i]->awakes.live, 0);
        expect(world, "pending acks", world->shard[i]->pendings.live, 0);
    }
}

void model_check_empty(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++) {
        const struct dm_shard *shard = world->shard[i];
        expect(world, "users", shard->users.live, 0);
        expect(world, "sessions", shard->sessions.live, 0);
        expect(world, "deliveries", shard->deliveries.live, 0);
        expect(world, "parts", shard->parts.live, 0);
        expect(world, "coordinations", shard->coordinations.live, 0);
        expect(world, "timers", shard->deadlines.count, 0);
        expect(world, "busy", dm_shard_busy(shard), 0);
    }
    expect(world, "publishes open", world->model.publishes_open, 0);
    if (world->store.failed_writes)
        return; /* what could not be deleted is swept at the next start */
    expect(world, "session rows", world->store.session_count, 0);
    expect(world, "pending rows", world->store.pending_count, 0);
}
