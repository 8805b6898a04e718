/* Recording, acking and looking in as few words as a test has patience for. */
#include "lib/publish_rig.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "codec/sha256.h"
#include "lib/unit.h"

struct dm_store_op *publish_rig_op(enum dm_store_kind kind, uint32_t envelope, uint64_t now)
{
    struct dm_store_op *op = dm_store_op_create(kind, 0, NULL);
    op->envelope_id = store_rig_id(envelope);
    op->now = now;
    op->oldest = INT64_MAX; /* what is there, another process has recorded */
    dm_store_op_publish(op)->retention = RIG_RETENTION;
    op->publish->anybodys = true;
    return op;
}

static void add_targets(struct dm_store_op *op, struct dm_slice users)
{
    struct dm_store_publish *publish = op->publish;
    while (users.len) {
        size_t size = (publish->target_count + 1) * sizeof *publish->targets;
        publish->targets = dm_realloc(publish->targets, size);
        publish->targets[publish->target_count++] =
            dm_store_op_add_text(op, dm_slice_split(&users, ' '));
    }
}

struct dm_store_op *publish_rig_record(uint32_t envelope, unsigned how, const char *users,
                                       const char *type, uint64_t now)
{
    struct dm_store_op *op = publish_rig_op(DM_STORE_RECORD_PUBLISH, envelope, now);
    struct dm_store_publish *publish = op->publish;
    char body[1024];
    snprintf(body, sizeof body, "%s|%s", users, type);
    publish->principal = dm_store_op_add_text(op, DM_SLICE("key:rig"));
    publish->repeatable = how & RIG_REPEATABLE;
    publish->durable = how & RIG_DURABLE;
    dm_sha256(dm_slice_of(body), publish->body_hash);
    publish->ts = now;
    if (publish->durable) {
        publish->type = dm_store_op_add_text(op, dm_slice_of(type));
        publish->payload = dm_store_op_add_text(op, DM_SLICE("{\"n\":1}"));
    }
    add_targets(op, dm_slice_of(users));
    publish->max_owed = 1000000;
    publish->deadline = now + RIG_TIMEOUT;
    publish->owed_until = now + RIG_TTL;
    return op;
}

struct dm_store_op *publish_rig_ack(uint32_t envelope, const char *user, uint32_t session,
                                    const char *result, uint64_t now)
{
    struct dm_store_op *op = publish_rig_op(DM_STORE_RECORD_ACK, envelope, now);
    op->session_id = store_rig_id(session);
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user));
    op->publish->result = dm_store_op_add_text(op, dm_slice_of(result));
    op->publish->awaited = true;
    return op;
}

struct dm_store_op *publish_rig_load(const char *user, uint64_t after, uint64_t now)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_LOAD_OWED, 0, NULL);
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user));
    op->now = now;
    dm_store_op_page(op)->after = after;
    return op;
}

enum dm_recorded publish_rig_do(struct store_rig *rig, struct dm_store_op *op)
{
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    enum dm_recorded found = op->publish->found;
    dm_store_op_destroy(op);
    return found;
}

static void expect_answer(const struct dm_store_publish *publish, struct rig_seen expected)
{
    char results[1024];
    snprintf(results, sizeof results, "%.*s", (int)publish->results.len, publish->results.bytes);
    for (char *at = results; *at; at++)
        *at = (char)(*at == ',' ? ' ' : *at);
    assert_int_equal(publish->owed, expected.owed);
    assert_string_equal(results, expected.results ? expected.results : "");
}

void publish_rig_expect(struct store_rig *rig, struct dm_store_op *op, struct rig_seen expected)
{
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->publish->found, expected.found);
    assert_int_equal(op->publish->client_count, expected.client_count);
    assert_int_equal(op->publish->delivered, expected.delivered);
    if (op->kind == DM_STORE_LOOK_PUBLISH) {
        expect_answer(op->publish, expected);
    } else if (expected.found == DM_RECORDED_OPEN || expected.found == DM_RECORDED_DONE) {
        struct dm_store_op *look = publish_rig_op(DM_STORE_LOOK_PUBLISH, 0, op->now);
        look->envelope_id = op->envelope_id;
        publish_rig_expect(rig, look, expected);
    }
    dm_store_op_destroy(op);
}

void publish_rig_expect_look(struct store_rig *rig, uint32_t envelope, uint64_t now,
                             struct rig_seen expected)
{
    publish_rig_expect(rig, publish_rig_op(DM_STORE_LOOK_PUBLISH, envelope, now), expected);
}

void publish_rig_expect_owed(struct store_rig *rig, const char *user, uint64_t now,
                             const char *envelopes)
{
    struct dm_store_op *op = publish_rig_load(user, 0, now);
    struct dm_buf words = DM_BUF_INIT;
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    for (uint32_t i = 0; i < op->page->count; i++) {
        const uint8_t *id = op->page->rows[i].envelope_id.bytes;
        dm_buf_printf(&words, "%s%u", i ? " " : "", (unsigned)id[14] << 8 | id[15]);
    }
    assert_string_equal(dm_buf_text(&words), envelopes);
    dm_buf_dispose(&words);
    dm_store_op_destroy(op);
}

uint64_t store_rig_rows(struct store_rig *rig, const char *table)
{
    sqlite3 *db;
    sqlite3_stmt *count;
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &count, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(count), SQLITE_ROW);
    uint64_t rows = (uint64_t)sqlite3_column_int64(count, 0);
    sqlite3_finalize(count);
    sqlite3_close(db);
    return rows;
}

void publish_rig_expect_rows(struct store_rig *rig, uint64_t publishes, uint64_t targets,
                             uint64_t envelopes, uint64_t results)
{
    assert_int_equal(store_rig_rows(rig, "publish"), publishes);
    assert_int_equal(store_rig_rows(rig, "target"), targets);
    assert_int_equal(store_rig_rows(rig, "owed_envelope"), envelopes);
    assert_int_equal(store_rig_rows(rig, "ack_result"), results);
}
