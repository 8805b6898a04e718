/* Publishes: who was sent each, whose ack counts, and what the answer must say. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "model.h"
#include "sim.h"

const char *model_type(uint32_t type)
{
    static const char *const types[TYPES] = {"message", "alert", "übung \"x\""};
    return types[type];
}

const char *model_payload(uint32_t payload)
{
    static const char *const payloads[PAYLOADS] = {
        NULL,
        "{\"room\":\"a\"}",
        "{ \"n\":1e400, \"room\" :\"b\"}",
        "{\"room\":1}",
        "[\"room\",\"a\"]",
        "\"a\"",
        "{\"x\":{\"room\":\"b\"},\"room\":\"\\u0061\"}",
    };
    return payloads[payload];
}

struct m_publish *model_publish_begins(struct world *world)
{
    struct model *model = &world->model;
    struct m_publish *publish = DM_NEW(struct m_publish);
    publish->world = world;
    publish->number = model->publish_count;
    publish->began = ++world->seq;
    publish->began_ms = publish->ts = world->now_ms;
    publish->failed_reads = world->store.failed_reads_told;
    model->publishes =
        dm_realloc(model->publishes, (model->publish_count + 1) * sizeof *model->publishes);
    model->publishes[model->publish_count++] = publish;
    model->publishes_open++;
    return publish;
}

const struct receipt *model_receipt(const struct m_publish *publish, uint32_t session)
{
    for (uint32_t i = 0; i < publish->receipt_count; i++)
        if (publish->receipts[i].session == session)
            return &publish->receipts[i];
    return NULL;
}

static bool is_target(const struct m_publish *publish, uint32_t user)
{
    for (uint32_t i = 0; i < publish->target_count; i++)
        if (publish->targets[i] == user)
            return true;
    return false;
}

/* --- frames --- */

static struct m_publish *publish_of(struct world *world, struct dm_slice text)
{
    static const char head[] = "{\"envelopeId\":\"";
    size_t at = sizeof head - 1;
    if (text.len < at + DM_UUID_TEXT_LEN || memcmp(text.at, head, at) != 0)
        return NULL;
    for (uint32_t i = world->model.publish_count; i-- > 0;)
        if (memcmp(world->model.publishes[i]->id, text.at + at, DM_UUID_TEXT_LEN) == 0)
            return world->model.publishes[i];
    return NULL;
}

static void check_text(struct world *world, const struct m_publish *publish, uint32_t user,
                       struct dm_slice text)
{
    char expected[1024], time[DM_ISO_TIME_LEN];
    dm_clock_iso(publish->ts, time);
    const char *type = publish->type == 2 ? "übung \\\"x\\\"" : model_type(publish->type);
    const char *payload = model_payload(publish->payload);
    int len = snprintf(expected, sizeof expected,
                       "{\"envelopeId\":\"%s\",\"type\":\"%s\",\"userId\":\"%s\","
                       "\"timestamp\":\"%.*s\"%s%s}",
                       publish->id, type, world->users[user], DM_ISO_TIME_LEN, time,
                       payload ? ",\"payload\":" : "", payload ? payload : "");
    if (!dm_slice_eq(text, dm_slice(expected, (size_t)len)))
        sim_fail(world, "a frame says %.*s, not %s", (int)text.len, text.at, expected);
}

void model_frame(struct world *world, uint32_t session, struct dm_slice text)
{
    struct m_publish *publish = publish_of(world, text);
    if (!publish)
        sim_fail(world, "a frame of no publish: %.*s", (int)text.len, text.at);
    uint32_t user = world->model.sessions[session].user;
    sim_trace(world, "session %u of user %u is sent publish %u", session, user, publish->number);
    check_text(world, publish, user, text);
    if (!publish->call)
        sim_fail(world, "publish %u reaches session %u after its answer", publish->number, session);
    if (!is_target(publish, user))
        sim_fail(world, "publish %u reaches user %u", publish->number, user);
    if (model_receipt(publish, session))
        sim_fail(world, "publish %u reaches session %u twice", publish->number, session);
    if (model_takes(world, session, publish) == MUST_NOT)
        sim_fail(world, "publish %u reaches session %u against its filters", publish->number,
                 session);
    publish->receipts =
        dm_realloc(publish->receipts, (publish->receipt_count + 1) * sizeof *publish->receipts);
    publish->receipts[publish->receipt_count++] = (struct receipt){.session = session};
}

/* --- acks --- */

/* True: it is the session's first for what it was sent. */
bool model_ack_begins(struct world *world, uint32_t session, uint32_t number, uint32_t result)
{
    const struct m_publish *publish = world->model.publishes[number];
    struct receipt *receipt = (struct receipt *)(uintptr_t)model_receipt(publish, session);
    if (!receipt || receipt->acked)
        return false;
    receipt->acked = ++world->seq;
    receipt->result = result;
    return true;
}

void model_ack_undo(struct world *world, uint32_t session, uint32_t number)
{
    const struct m_publish *publish = world->model.publishes[number];
    struct receipt *receipt = (struct receipt *)(uintptr_t)model_receipt(publish, session);
    receipt->acked = 0;
}

bool model_all_resolved(const struct world *world, const struct m_publish *publish)
{
    for (uint32_t i = 0; i < publish->receipt_count; i++) {
        const struct receipt *receipt = &publish->receipts[i];
        if (!receipt->acked && !world->model.sessions[receipt->session].closed)
            return false;
    }
    return true;
}

/* --- the answer --- */

static void check_reach(struct world *world, const struct m_publish *publish)
{
    for (uint32_t i = 1; i < world->model.session_count; i++) {
        uint32_t user = world->model.sessions[i].user;
        bool sent = model_receipt(publish, i) != NULL;
        if (!is_target(publish, user))
            continue;
        bool failed = false;
        for (uint32_t t = 0; t < publish->target_count; t++)
            failed |= publish->targets[t] == user && publish->errs[t];
        if (failed && sent)
            sim_fail(world, "publish %u failed at user %u and reached session %u", publish->number,
                     user, i);
        bool unsure = failed || (publish->call->err && !publish->call->target_errs);
        if (!sent && !unsure && model_takes(world, i, publish) == MUST)
            sim_fail(world, "publish %u did not reach session %u", publish->number, i);
    }
}

static void check_errors(struct world *world, const struct m_publish *publish)
{
    bool any = false;
    for (uint32_t i = 0; i < publish->target_count; i++)
        any |= publish->errs[i] != 0;
    if (publish->call->err && world->store.failed_reads == publish->failed_reads)
        sim_fail(world, "publish %u failed and no read did", publish->number);
    if (publish->call->target_errs && any != (publish->call->err != 0))
        sim_fail(world, "publish %u: its errors disagree", publish->number);
}

/* One result of the answer: whose is it? Nulls look all the same. */
static void find_result(struct world *world, const struct m_publish *publish, uint32_t result,
                        uint64_t last[])
{
    struct receipt *found = NULL;
    for (uint32_t i = 0; i < publish->receipt_count && !found; i++) {
        struct receipt *receipt = &publish->receipts[i];
        if (receipt->acked && !receipt->seen && receipt->result == result)
            found = receipt;
    }
    if (!found)
        sim_fail(world,
                 "publish %u is answered with result %u, which nobody gave or which came "
                 "before",
                 publish->number, result);
    found->seen = true;
    uint32_t shard = world_owner(world, world->model.sessions[found->session].user);
    if (result && found->acked < last[shard])
        sim_fail(world, "publish %u: result %u is out of order", publish->number, result);
    if (result)
        last[shard] = found->acked;
}

static void check_results(struct world *world, struct m_publish *publish, bool early)
{
    uint64_t last[SIM_SHARDS_MAX] = {0};
    struct dm_slice rest = dm_buf_slice(&publish->call->results);
    uint32_t count = 0;
    while (rest.at && rest.len) {
        struct dm_slice one = dm_slice_split(&rest, ',');
        uint32_t result = 0;
        for (size_t i = 0; i < one.len && one.at[i] >= '0' && one.at[i] <= '9'; i++)
            result = result * 10 + (uint32_t)(one.at[i] - '0');
        if (!result && !dm_slice_eq(one, DM_SLICE("null")))
            sim_fail(world, "a result is %.*s", (int)one.len, one.at);
        find_result(world, publish, result, last);
        count++;
    }
    if (count != publish->call->result_count)
        sim_fail(world, "publish %u says %u results and has %u", publish->number,
                 publish->call->result_count, count);
    uint32_t nulls_left = 0, nulls_sure = 0;
    for (uint32_t i = 0; i < publish->receipt_count; i++) {
        const struct receipt *receipt = &publish->receipts[i];
        bool sure = receipt->acked && (early || receipt->acked < world->drained_seq);
        if (receipt->result == 0) {
            nulls_left += receipt->acked && receipt->seen;
            nulls_sure += sure;
        } else if (sure && !receipt->seen) {
            sim_fail(world, "publish %u lacks the result %u of session %u", publish->number,
                     receipt->result, receipt->session);
        }
    }
    if (nulls_left < nulls_sure)
        sim_fail(world, "publish %u lacks a null", publish->number);
    world->model.results += count;
}

static void check_answer(struct world *world, struct m_publish *publish)
{
    const struct dm_publish *call = publish->call;
    check_errors(world, publish);
    check_reach(world, publish);
    if (call->client_count != publish->receipt_count || call->delivered != publish->receipt_count)
        sim_fail(world, "publish %u says %u clients, %u delivered; it reached %u", publish->number,
                 call->client_count, call->delivered, publish->receipt_count);
    if (!publish->timeout_ms) {
        if (call->result_count || call->results.len)
            sim_fail(world, "publish %u has results and waited for none", publish->number);
        return;
    }
    /* One that could not reach all of its users answers so at once. */
    bool early = !call->err && world->now_ms < publish->began_ms + publish->timeout_ms;
    if (early && !model_all_resolved(world, publish))
        sim_fail(world, "publish %u is answered too early", publish->number);
    check_results(world, publish, early);
}

void model_publish_done(struct dm_publish *call, struct dm_shard *here)
{
    struct m_publish *publish =
        DM_CONTAINER(call->targets, struct m_publish, names); /* ours alone point there */
    struct world *world = publish->world;
    sim_trace(world, "publish %u is answered: err %d, %u clients, results [%.*s]", publish->number,
              call->err, call->client_count, (int)call->results.len,
              call->results.len ? call->results.bytes : "");
    if (publish->call != call)
        sim_fail(world, "publish %u is answered twice", publish->number);
    if (dm_shard_number(here) != world->mail.here || call->origin != world->mail.here)
        sim_fail(world, "publish %u is answered on shard %u", publish->number, world->mail.here);
    check_answer(world, publish);
    world->model.publishes_open--;
    publish->call = NULL;
    uint32_t origin = call->origin;
    dm_envelope_release(call->envelope);
    dm_buf_dispose(&call->results);
    free(call);
    if (world->plan.reentrant && !world->quiet && rand_chance(&world->rand, 20))
        script_publish(world, origin, publish->targets[0], rand_chance(&world->rand, 20));
}
