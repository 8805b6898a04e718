/* What a disk_rig remembers of sessions and of the acks that they owe. */
#include <stdio.h>
#include <string.h>

#include "lib/disk_rig.h"
#include "lib/unit.h"

enum { ABSENT = 0 };

/* --- what may be there --- */

void disk_sessions_forget(struct disk *disk)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        disk->items[i] = (struct disk_item){.count = 1};
        memset(disk->items[i].owed, MAY_BE_ABSENT, ENVELOPES);
    }
}

static bool may_have(const struct disk_item *item, uint32_t version)
{
    for (uint32_t i = 0; i < item->count; i++)
        if (item->versions[i] == version)
            return true;
    return false;
}

static void set_version(struct disk_item *item, uint32_t version, bool surely)
{
    if (surely)
        item->count = 0;
    if (!may_have(item, version)) {
        assert_true(item->count < VALUES_MAX);
        item->versions[item->count++] = version;
    }
}

static void set_owed(struct disk_item *item, uint32_t envelope, uint8_t what, bool surely)
{
    item->owed[envelope] = surely ? what : item->owed[envelope] | what;
}

void disk_sessions_believe(struct disk *disk, const struct disk_deed *deed, int err)
{
    struct disk_item *item = &disk->items[deed->item];
    bool surely = err == DM_OK;
    if (err == DM_ERR_UNAVAILABLE)
        return;
    switch (deed->kind) {
    case SAVE:
        set_version(item, deed->version, surely);
        set_owed(item, deed->envelope, MAY_BE_THERE, surely);
        break;
    case FORGET:
        set_version(item, ABSENT, surely);
        for (uint32_t i = 0; i < ENVELOPES; i++)
            set_owed(item, i, MAY_BE_ABSENT, surely);
        break;
    case FORGET_OWED:
        set_owed(item, deed->envelope, MAY_BE_ABSENT, surely);
        break;
    case FORGET_ENVELOPE:
        for (uint32_t i = 0; i < ITEMS; i++)
            set_owed(&disk->items[i], deed->envelope, MAY_BE_ABSENT, surely);
        break;
    case DEED_OF_PUBLISH:
        break;
    }
}

/* --- doing --- */

static const char *user_of(uint32_t item)
{
    return item % 2 ? "ann" : "bob";
}

static struct dm_store_op *save_op(struct disk *disk, const struct disk_deed *deed)
{
    static char filters[8192], pad[6000];
    memset(pad, 'x', sizeof pad);
    struct dm_uuid envelope = store_rig_id(1000 + deed->envelope);
    struct dm_uuid first = store_rig_id(2 * deed->item), second = store_rig_id(2 * deed->item + 1);
    int width = disk_below(disk, 3) ? 0 : (int)disk_below(disk, sizeof pad);
    snprintf(filters, sizeof filters, "[{\"type\":\"%u\",\"pad\":\"%.*s\"}]", deed->version, width,
             pad);
    struct dm_store_op *op = store_rig_save(user_of(deed->item), 2 * deed->item, filters);
    if (deed->item < PAIRS)
        dm_store_op_add_session(op, &second, DM_SLICE("hopeflow"), dm_slice_of(filters),
                                DM_NO_SLICE);
    dm_store_op_add_pending(op, &envelope, &first);
    return op;
}

struct dm_store_op *disk_sessions_op(struct disk *disk, const struct disk_deed *deed)
{
    static const enum dm_store_kind kinds[] = {DM_STORE_SAVE_USER, DM_STORE_FORGET_SESSION,
                                               DM_STORE_FORGET_PENDING, DM_STORE_FORGET_ENVELOPE};
    if (deed->kind == SAVE)
        return save_op(disk, deed);
    return store_rig_forget(kinds[deed->kind], 2 * deed->item, 1000 + deed->envelope);
}

struct disk_deed disk_sessions_choose(struct disk *disk)
{
    static const enum disk_deed_kind kinds[] = {SAVE,   SAVE,        SAVE,           SAVE,
                                                FORGET, FORGET_OWED, FORGET_ENVELOPE};
    struct disk_deed deed = {.kind = kinds[disk_below(disk, DM_COUNT(kinds))],
                             .item = disk_below(disk, ITEMS),
                             .version = ++disk->version,
                             .envelope = disk_below(disk, ENVELOPES)};
    if (deed.kind == FORGET && deed.item < PAIRS) /* half of a pair would be left */
        deed.item += PAIRS;
    return deed;
}

/* --- looking --- */

static uint32_t number_of(const void *id)
{
    const uint8_t *bytes = id;
    return (uint32_t)bytes[14] << 8 | bytes[15];
}

static void see_session(struct disk_seen *seen, const void *id, struct dm_slice filters)
{
    unsigned version = 0;
    char text[32] = "";
    memcpy(text, filters.at, filters.len < sizeof text - 1 ? filters.len : sizeof text - 1);
    assert_int_equal(sscanf(text, "[{\"type\":\"%u\"", &version), 1);
    assert_true(number_of(id) < 2 * ITEMS);
    seen->versions[number_of(id)] = version;
}

static void see_owed(struct disk_seen *seen, const void *session_id, const void *envelope_id)
{
    uint32_t session = number_of(session_id), envelope = number_of(envelope_id) - 1000;
    assert_true(session % 2 == 0 && session < 2 * ITEMS && envelope < ENVELOPES);
    seen->owed[session / 2][envelope] = true;
}

void disk_sessions_expect(const struct disk *disk, const struct disk_seen *seen)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        const struct disk_item *item = &disk->items[i];
        uint32_t version = seen->versions[2 * i];
        if (!may_have(item, version))
            fail_msg("item %u has version %u, and was answered %u last", i, version,
                     item->versions[item->count - 1]);
        if (i < PAIRS)
            assert_int_equal(seen->versions[2 * i + 1], version);
        for (uint32_t j = 0; j < ENVELOPES; j++)
            if (!(item->owed[j] & (seen->owed[i][j] ? MAY_BE_THERE : MAY_BE_ABSENT)))
                fail_msg("item %u: envelope %u is %s", i, j, seen->owed[i][j] ? "there" : "gone");
    }
}

void disk_sessions_expect_loads(struct disk *disk)
{
    struct disk_seen seen = {0};
    for (uint32_t user = 0; user < 2; user++) {
        struct dm_store_op *op = store_rig_load(user_of(user));
        assert_int_equal(store_rig_do(&disk->rig, op), DM_OK);
        for (uint32_t i = 0; i < op->session_count; i++)
            see_session(&seen, &op->sessions[i].id, dm_store_op_text(op, op->sessions[i].filters));
        for (uint32_t i = 0; i < op->pending_count; i++)
            see_owed(&seen, &op->pending[i].session_id, &op->pending[i].envelope_id);
        dm_store_op_destroy(op);
    }
    disk_sessions_expect(disk, &seen);
}

void disk_sessions_see(sqlite3 *db, struct disk_seen *seen)
{
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT id, filters FROM session", -1, &row, NULL), 0);
    while (sqlite3_step(row) == SQLITE_ROW)
        see_session(seen, sqlite3_column_blob(row, 0),
                    dm_slice_of((const char *)sqlite3_column_text(row, 1)));
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT session_id, envelope_id FROM pending_ack", -1, &row, NULL),
        SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW)
        see_owed(seen, sqlite3_column_blob(row, 0), sqlite3_column_blob(row, 1));
    assert_int_equal(sqlite3_finalize(row), SQLITE_OK);
}
