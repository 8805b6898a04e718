/*
 * What a disk_rig remembers of recorded publishes: every way that each may
 * stand. An operation makes of each way another (`carry_out`, which says what
 * src/store/publish.c should do); what it answered rules out some, and one of
 * unknown outcome keeps those from before as well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/disk_rig.h"
#include "lib/publish_rig.h"
#include "lib/unit.h"

enum { TIMEOUT = 60, TTL = 400, RETENTION = 250, STEP = 20, ID = 2000, SESSION = 3000 };

/* What an operation answers. */
struct told {
    enum dm_recorded found;
    bool whole; /* the rest is told too */
    uint32_t owed;
};

void disk_publishes_forget(struct disk *disk)
{
    for (uint32_t i = 0; i < PUBLISHES; i++) {
        memset(&disk->publishes[i].is[0], 0, sizeof disk->publishes[i].is[0]);
        disk->publishes[i].count = 1;
    }
}

/* --- what should happen --- */

static uint32_t owed_at(const struct disk_publish *is, uint64_t now)
{
    return is->owed_until > now ? (is->owed & 1) + (is->owed >> 1) : 0;
}

static struct told record(struct disk_publish *is, const struct disk_deed *deed)
{
    if (is->there && is->expires_at <= deed->now)
        memset(is, 0, sizeof *is);
    if (is->there) {
        bool same = is->repeatable && deed->repeatable && is->version == deed->version;
        enum dm_recorded found =
            is->done || is->deadline <= deed->now ? DM_RECORDED_DONE : DM_RECORDED_OPEN;
        return (struct told){same ? found : DM_RECORDED_OTHER, same, owed_at(is, deed->now)};
    }
    is->there = 1;
    is->repeatable = deed->repeatable;
    is->version = deed->version;
    is->deadline = deed->now + TIMEOUT;
    is->owed_until = deed->durable ? deed->now + TTL : 0;
    is->expires_at = (deed->durable ? is->owed_until : is->deadline) + RETENTION;
    is->targets = deed->targets;
    is->owed = deed->durable ? deed->targets : 0;
    return (struct told){.found = DM_RECORDED_NEW};
}

static struct told finish(struct disk_publish *is, const struct disk_deed *deed)
{
    if (!is->there)
        return (struct told){.found = DM_RECORDED_NOT};
    is->client_count = deed->client_count;
    is->delivered = deed->delivered;
    is->done = 1;
    is->targets = is->owed;
    if (!is->owed_until)
        is->expires_at = deed->now + RETENTION;
    return (struct told){DM_RECORDED_DONE, true, owed_at(is, deed->now)};
}

static bool has_acked(const struct disk_publish *is, uint32_t session)
{
    for (uint32_t i = 0; i < is->ack_count; i++)
        if (is->acks[i].session == session)
            return true;
    return false;
}

static struct told ack(struct disk_publish *is, const struct disk_deed *deed)
{
    uint32_t user = 1u << deed->session % 2;
    bool open = !is->done && deed->awaited; /* all sessions are newer than what they ack */
    bool owed = (is->owed & user) && is->owed_until > deed->now;
    if (!(is->targets & user) || (!open && !owed) || has_acked(is, deed->session))
        return (struct told){.found = DM_RECORDED_NOT};
    is->acks[is->ack_count++] = (struct disk_ack){deed->session, deed->version};
    if (owed) {
        is->owed &= ~user;
        is->targets &= open ? ~0u : ~user;
        if (!is->owed) {
            is->owed_until = 0;
            is->expires_at = (is->deadline > deed->now ? is->deadline : deed->now) + RETENTION;
        }
    }
    return (struct told){.found = open ? DM_RECORDED_OPEN : DM_RECORDED_DONE};
}

static void expire(struct disk_publish *is, uint64_t now)
{
    if (is->owed_until && is->owed_until <= now)
        is->owed_until = is->owed = is->targets = 0;
    if (is->there && is->expires_at <= now)
        memset(is, 0, sizeof *is);
}

static struct told carry_out(struct disk_publish *is, const struct disk_deed *deed)
{
    switch (deed->what) {
    case DM_STORE_RECORD_PUBLISH:
        return record(is, deed);
    case DM_STORE_FINISH_PUBLISH:
        return finish(is, deed);
    case DM_STORE_RECORD_ACK:
        return ack(is, deed);
    case DM_STORE_COUNT_PUBLISH:
        is->client_count = is->there ? deed->client_count : 0;
        is->delivered = is->there ? deed->delivered : 0;
        break;
    case DM_STORE_FORGET_PUBLISH:
        memset(is, 0, sizeof *is);
        break;
    default:
        assert_int_equal(deed->what, DM_STORE_EXPIRE_PUBLISHES);
        expire(is, deed->now);
    }
    return (struct told){.found = DM_RECORDED_NOT};
}

/* --- what did --- */

static bool tells_acks(const struct dm_store_publish *publish, const struct disk_publish *is)
{
    char text[ACKERS * 12] = "", *end = text;
    for (uint32_t i = 0; i < is->ack_count; i++)
        end += sprintf(end, "%s%u", i ? "," : "", is->acks[i].value);
    return dm_slice_eq(dm_buf_slice(&publish->results), dm_slice_of(text));
}

static bool agrees(const struct dm_store_op *op, struct told told, const struct disk_publish *is)
{
    const struct dm_store_publish *publish = op->publish;
    bool finds = op->kind == DM_STORE_RECORD_PUBLISH || op->kind == DM_STORE_FINISH_PUBLISH ||
                 op->kind == DM_STORE_RECORD_ACK || op->kind == DM_STORE_LOOK_PUBLISH;
    if (finds && publish->found != told.found)
        return false;
    bool looked = op->kind == DM_STORE_LOOK_PUBLISH;
    return !told.whole ||
           (publish->client_count == is->client_count && publish->delivered == is->delivered &&
            publish->deadline == is->deadline &&
            (!looked || (publish->owed == told.owed && tells_acks(publish, is))));
}

static void add(struct disk_worlds *worlds, const struct disk_publish *is)
{
    for (uint32_t i = 0; i < worlds->count; i++)
        if (memcmp(&worlds->is[i], is, sizeof *is) == 0)
            return;
    assert_true(worlds->count < WORLDS_MAX);
    worlds->is[worlds->count++] = *is;
}

static void believe_one(struct disk *disk, uint32_t item, const struct disk_deed *deed,
                        const struct dm_store_op *op)
{
    static struct disk_worlds after;
    struct disk_worlds *worlds = &disk->publishes[item];
    after.count = 0;
    for (uint32_t i = 0; i < worlds->count; i++) {
        struct disk_publish is = worlds->is[i];
        struct told told = carry_out(&is, deed);
        if (op->err != DM_OK)
            add(&after, &worlds->is[i]);
        if (op->err != DM_OK || agrees(op, told, &is))
            add(&after, &is);
    }
    if (after.count == 0)
        fail_msg("publish %u: operation %d at %llu finds %d, owed %u, results %.*s", item,
                 (int)op->kind, (unsigned long long)op->now, (int)op->publish->found,
                 op->publish->owed, (int)op->publish->results.len, op->publish->results.bytes);
    *worlds = after;
}

static bool met(const struct disk_deed *deed, const struct dm_store_op *op)
{
    enum dm_recorded found = op->publish->found;
    return op->err == DM_OK &&
           (deed->what == DM_STORE_RECORD_ACK || deed->what == DM_STORE_FINISH_PUBLISH) &&
           found != DM_RECORDED_NOT;
}

void disk_publishes_believe(struct disk *disk, const struct disk_deed *deed,
                            const struct dm_store_op *op)
{
    disk->publishes_met += met(deed, op);
    if (op->err == DM_ERR_UNAVAILABLE)
        return;
    for (uint32_t i = 0; i < PUBLISHES; i++)
        if (deed->what == DM_STORE_EXPIRE_PUBLISHES || deed->item == i)
            believe_one(disk, i, deed, op);
}

/* --- doing --- */

struct disk_deed disk_publishes_choose(struct disk *disk)
{
    static const enum dm_store_kind kinds[] = {
        DM_STORE_RECORD_PUBLISH, DM_STORE_RECORD_PUBLISH,  DM_STORE_RECORD_PUBLISH,
        DM_STORE_RECORD_ACK,     DM_STORE_RECORD_ACK,      DM_STORE_RECORD_ACK,
        DM_STORE_RECORD_ACK,     DM_STORE_RECORD_ACK,      DM_STORE_COUNT_PUBLISH,
        DM_STORE_FINISH_PUBLISH, DM_STORE_EXPIRE_PUBLISHES};
    bool forgets = disk_below(disk, 40) == 0;
    disk->now += disk_below(disk, STEP);
    return (struct disk_deed){.kind = DEED_OF_PUBLISH,
                              .what = forgets ? DM_STORE_FORGET_PUBLISH
                                              : kinds[disk_below(disk, DM_COUNT(kinds))],
                              .item = disk_below(disk, PUBLISHES),
                              .version = ++disk->version,
                              .now = disk->now,
                              .repeatable = disk_below(disk, 4) > 0,
                              .durable = disk_below(disk, 3) > 0,
                              .awaited = disk_below(disk, 4) != 0,
                              .targets = 1 + disk_below(disk, 3),
                              .session = disk_below(disk, ACKERS),
                              .client_count = disk_below(disk, 10),
                              .delivered = disk_below(disk, 10)};
}

static struct dm_store_op *record_op(struct disk *disk, const struct disk_deed *deed)
{
    static const char *const users[] = {"", "ann", "bob", "ann bob"};
    static char pad[4000];
    char version[16];
    memset(pad, 'x', sizeof pad);
    snprintf(version, sizeof version, "%u", deed->version);
    unsigned how = (deed->repeatable ? RIG_REPEATABLE : 0) | (deed->durable ? RIG_DURABLE : 0);
    struct dm_store_op *op =
        publish_rig_record(ID + deed->item, how, users[deed->targets], version, deed->now);
    struct dm_store_publish *publish = op->publish;
    dm_sha256(dm_slice_of(version), publish->body_hash); /* as told by the version alone */
    publish->principal = dm_store_op_add_text(op, dm_slice_of(version));
    publish->deadline = deed->now + TIMEOUT;
    publish->owed_until = deed->now + TTL;
    if (deed->durable) {
        struct dm_buf payload = DM_BUF_INIT;
        int width = disk_below(disk, 3) ? 0 : (int)disk_below(disk, sizeof pad);
        dm_buf_printf(&payload, "\"%.*s\"", width, pad);
        publish->payload = dm_store_op_add_text(op, dm_buf_slice(&payload));
        dm_buf_dispose(&payload);
    }
    return op;
}

static struct dm_store_op *op_of(struct disk *disk, const struct disk_deed *deed)
{
    char value[16];
    snprintf(value, sizeof value, "%u", deed->version);
    if (deed->what == DM_STORE_RECORD_PUBLISH)
        return record_op(disk, deed);
    if (deed->what != DM_STORE_RECORD_ACK)
        return publish_rig_op(deed->what, ID + deed->item, deed->now);
    struct dm_store_op *op = publish_rig_ack(ID + deed->item, deed->session % 2 ? "bob" : "ann",
                                             SESSION + deed->session, value, deed->now);
    op->publish->awaited = deed->awaited;
    return op;
}

struct dm_store_op *disk_publishes_op(struct disk *disk, struct disk_deed *deed)
{
    /* The same again, where it is there: all its fields but these stand. */
    const struct disk_publish *is = &disk->publishes[deed->item].is[0];
    if (deed->what == DM_STORE_RECORD_PUBLISH && is->there && disk_below(disk, 2))
        deed->version = is->version;
    struct dm_store_op *op = op_of(disk, deed);
    op->publish->retention = RETENTION;
    if (deed->what == DM_STORE_COUNT_PUBLISH || deed->what == DM_STORE_FINISH_PUBLISH) {
        op->publish->client_count = deed->client_count;
        op->publish->delivered = deed->delivered;
    }
    return op;
}

/* --- looking --- */

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql, sqlite3_int64 number)
{
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    sqlite3_bind_int64(row, 1, number);
    return row;
}

static uint32_t column(sqlite3_stmt *row, int column)
{
    return (uint32_t)sqlite3_column_int64(row, column);
}

static uint32_t column_id(sqlite3_stmt *row, int column)
{
    const uint8_t *bytes = sqlite3_column_blob(row, column);
    return (uint32_t)bytes[14] << 8 | bytes[15];
}

static void see_targets(sqlite3 *db, sqlite3_int64 number, struct disk_publish *is)
{
    sqlite3_stmt *row =
        prepare(db, "SELECT user_id = 'bob', owed FROM target WHERE publish = ?1", number);
    while (sqlite3_step(row) == SQLITE_ROW) {
        is->targets |= 1u << column(row, 0);
        is->owed |= column(row, 1) << column(row, 0);
    }
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
}

static void see_acks(sqlite3 *db, sqlite3_int64 number, struct disk_publish *is)
{
    sqlite3_stmt *row = prepare(
        db, "SELECT session_id, value FROM ack_result WHERE publish = ?1 ORDER BY number", number);
    while (sqlite3_step(row) == SQLITE_ROW) {
        assert_true(is->ack_count < ACKERS);
        is->acks[is->ack_count++] = (struct disk_ack){column_id(row, 0) - SESSION, column(row, 1)};
    }
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
}

/* The envelope is there for as long as anything of it is owed. */
static void see_envelope(sqlite3 *db, sqlite3_int64 number, const struct disk_publish *is)
{
    sqlite3_stmt *row = prepare(
        db, "SELECT type, json_valid(payload) FROM owed_envelope WHERE publish = ?1", number);
    assert_int_equal(sqlite3_step(row), is->owed_until ? SQLITE_ROW : SQLITE_DONE);
    if (is->owed_until) {
        assert_int_equal(column(row, 0), is->version);
        assert_int_equal(column(row, 1), 1);
    }
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
}

static void see(sqlite3 *db, sqlite3_stmt *row, struct disk_publish *all)
{
    sqlite3_int64 number = sqlite3_column_int64(row, 0);
    uint32_t item = column_id(row, 1) - ID;
    assert_true(item < PUBLISHES);
    all[item] = (struct disk_publish){.there = 1,
                                      .repeatable = column(row, 2),
                                      .done = column(row, 3),
                                      .deadline = column(row, 4),
                                      .owed_until = column(row, 5),
                                      .expires_at = column(row, 6),
                                      .client_count = column(row, 7),
                                      .delivered = column(row, 8),
                                      .version = column(row, 9)};
    see_targets(db, number, &all[item]);
    see_acks(db, number, &all[item]);
    see_envelope(db, number, &all[item]);
}

void disk_publishes_expect(struct disk *disk, sqlite3 *db)
{
    struct disk_publish all[PUBLISHES];
    memset(all, 0, sizeof all);
    sqlite3_stmt *row =
        prepare(db,
                "SELECT number, envelope_id, body_hash IS NOT NULL, done, deadline, owed_until,"
                " expires_at, client_count, delivered, principal FROM publish WHERE number >= ?1",
                0);
    while (sqlite3_step(row) == SQLITE_ROW)
        see(db, row, all);
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
    for (uint32_t i = 0; i < PUBLISHES; i++) {
        struct disk_worlds *worlds = &disk->publishes[i];
        uint32_t count = worlds->count;
        add(worlds, &all[i]);
        if (worlds->count != count)
            fail_msg("publish %u (there %u, version %u, %u acks, owed %u) is in none of %u ways", i,
                     all[i].there, all[i].version, all[i].ack_count, all[i].owed, count);
        worlds->is[0] = all[i];
        worlds->count = 1;
    }
}

/* --- as the hub would --- */

static void expect_look(struct disk *disk, uint32_t item)
{
    const struct disk_publish *is = &disk->publishes[item].is[0];
    struct dm_store_op *op = publish_rig_op(DM_STORE_LOOK_PUBLISH, ID + item, disk->now);
    bool there = is->there && is->expires_at > disk->now;
    bool over = is->done || is->deadline <= disk->now;
    struct told told = {over ? DM_RECORDED_DONE : DM_RECORDED_OPEN, true, owed_at(is, disk->now)};
    assert_int_equal(store_rig_do(&disk->rig, op), DM_OK);
    assert_true(agrees(op, there ? told : (struct told){.found = DM_RECORDED_NOT}, is));
    dm_store_op_destroy(op);
}

static void expect_owed(struct disk *disk, uint32_t user)
{
    struct dm_store_op *op = publish_rig_load(user == 1 ? "ann" : "bob", 0, disk->now);
    uint32_t owed = 0, expected = 0;
    assert_int_equal(store_rig_do(&disk->rig, op), DM_OK);
    for (uint32_t i = 0; i < op->page->count; i++) {
        const uint8_t *id = op->page->rows[i].envelope_id.bytes;
        owed |= 1u << (((uint32_t)id[14] << 8 | id[15]) - ID);
    }
    for (uint32_t i = 0; i < PUBLISHES; i++) {
        const struct disk_publish *is = &disk->publishes[i].is[0];
        expected |= ((is->owed & user) && is->owed_until > disk->now ? 1u : 0u) << i;
    }
    assert_int_equal(owed, expected);
    dm_store_op_destroy(op);
}

void disk_publishes_expect_loads(struct disk *disk)
{
    disk_publishes_expect(disk, disk->other);
    for (uint32_t i = 0; i < PUBLISHES; i++)
        expect_look(disk, i);
    expect_owed(disk, 1);
    expect_owed(disk, 2);
}
