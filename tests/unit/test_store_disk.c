/*
 * The store on a disk that fails, tears, loses power or lies at its nth write
 * or sync. What came back DM_OK is there, now and after the next opening; what
 * came back DM_ERR_UNAVAILABLE is not; DM_ERR_COMMIT_UNKNOWN may be either, but
 * all of it or nothing. And it serves again by itself when the fault is over.
 *
 * DM_DISK_RUNS says how many times over (1); DM_DISK_SEED where to begin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib/fault_vfs.h"
#include "lib/store_rig.h"
#include "lib/unit.h"

/* The first items are two sessions, which are always saved together; the others one each. */
enum { ITEMS = 8, PAIRS = 4, ENVELOPES = 4, IN_FLIGHT = 4, BURSTS = 6, VALUES_MAX = 64 };
enum { ABSENT = 0, MAY_BE_ABSENT = 1, MAY_BE_THERE = 2 };

struct item {
    uint32_t versions[VALUES_MAX]; /* that it may have; ABSENT among them */
    uint32_t count;
    uint8_t owed[ENVELOPES]; /* MAY_BE_… */
};

enum deed_kind { SAVE, FORGET, FORGET_OWED, FORGET_ENVELOPE };

struct deed {
    enum deed_kind kind;
    uint32_t item, version, envelope;
};

struct fixture {
    struct fault_vfs faults;
    struct store_rig rig;
    sqlite3 *other; /* as another process would, it copies the log now and then */
    struct item items[ITEMS];
    uint32_t version;
    uint64_t random;
    unsigned ok, unknown, unavailable;
};

static uint32_t below(struct fixture *fixture, uint32_t limit)
{
    fixture->random = fixture->random * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(fixture->random >> 33) % limit;
}

/* --- what may be there --- */

static void forget_all(struct fixture *fixture)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        fixture->items[i] = (struct item){.count = 1};
        memset(fixture->items[i].owed, MAY_BE_ABSENT, ENVELOPES);
    }
}

static bool may_have(const struct item *item, uint32_t version)
{
    for (uint32_t i = 0; i < item->count; i++)
        if (item->versions[i] == version)
            return true;
    return false;
}

static void set_version(struct item *item, uint32_t version, bool surely)
{
    if (surely)
        item->count = 0;
    if (!may_have(item, version)) {
        assert_true(item->count < VALUES_MAX);
        item->versions[item->count++] = version;
    }
}

static void set_owed(struct item *item, uint32_t envelope, uint8_t what, bool surely)
{
    item->owed[envelope] = surely ? what : item->owed[envelope] | what;
}

static void believe(struct fixture *fixture, const struct deed *deed, int err)
{
    struct item *item = &fixture->items[deed->item];
    bool surely = err == DM_OK;
    fixture->ok += err == DM_OK;
    fixture->unknown += err == DM_ERR_COMMIT_UNKNOWN;
    fixture->unavailable += err == DM_ERR_UNAVAILABLE;
    if (err == DM_ERR_UNAVAILABLE)
        return;
    assert_true(surely || err == DM_ERR_COMMIT_UNKNOWN);
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
            set_owed(&fixture->items[i], deed->envelope, MAY_BE_ABSENT, surely);
        break;
    }
}

/* --- doing --- */

static const char *user_of(uint32_t item)
{
    return item % 2 ? "ann" : "bob";
}

static struct dm_store_op *save_op(struct fixture *fixture, const struct deed *deed)
{
    static char filters[8192], pad[6000];
    memset(pad, 'x', sizeof pad);
    struct dm_uuid envelope = store_rig_id(1000 + deed->envelope);
    struct dm_uuid first = store_rig_id(2 * deed->item), second = store_rig_id(2 * deed->item + 1);
    int width = below(fixture, 3) ? 0 : (int)below(fixture, sizeof pad);
    snprintf(filters, sizeof filters, "[{\"type\":\"%u\",\"pad\":\"%.*s\"}]", deed->version, width,
             pad);
    struct dm_store_op *op = store_rig_save(user_of(deed->item), 2 * deed->item, filters);
    if (deed->item < PAIRS)
        dm_store_op_add_session(op, &second, DM_SLICE("hopeflow"), dm_slice_of(filters),
                                DM_NO_SLICE);
    dm_store_op_add_pending(op, &envelope, &first);
    return op;
}

static struct dm_store_op *op_of(struct fixture *fixture, const struct deed *deed)
{
    static const enum dm_store_kind kinds[] = {DM_STORE_SAVE_USER, DM_STORE_FORGET_SESSION,
                                               DM_STORE_FORGET_PENDING, DM_STORE_FORGET_ENVELOPE};
    if (deed->kind == SAVE)
        return save_op(fixture, deed);
    return store_rig_forget(kinds[deed->kind], 2 * deed->item, 1000 + deed->envelope);
}

static struct deed choose(struct fixture *fixture)
{
    static const enum deed_kind kinds[] = {SAVE,   SAVE,        SAVE,           SAVE,
                                           FORGET, FORGET_OWED, FORGET_ENVELOPE};
    struct deed deed = {kinds[below(fixture, DM_COUNT(kinds))], below(fixture, ITEMS),
                        ++fixture->version, below(fixture, ENVELOPES)};
    if (deed.kind == FORGET && deed.item < PAIRS) /* half of a pair would be left */
        deed.item += PAIRS;
    return deed;
}

static void do_some(struct fixture *fixture)
{
    struct store_rig *rig = &fixture->rig;
    struct deed deeds[IN_FLIGHT];
    uint32_t count = 1 + below(fixture, IN_FLIGHT);
    for (uint32_t i = 0; i < count; i++) {
        deeds[i] = choose(fixture);
        rig->store.submit(rig->store.self, op_of(fixture, &deeds[i]));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        believe(fixture, &deeds[i], op->err);
        dm_store_op_destroy(op);
    }
}

static void copy_log(struct fixture *fixture)
{
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_RESTART,
                                SQLITE_CHECKPOINT_TRUNCATE};
    int mode = modes[below(fixture, DM_COUNT(modes))];
    sqlite3_wal_checkpoint_v2(fixture->other, NULL, mode, NULL, NULL); /* it may well fail */
}

static void work(struct fixture *fixture)
{
    for (uint32_t i = 0; i < BURSTS; i++) {
        do_some(fixture);
        if (below(fixture, 2) == 0)
            copy_log(fixture);
    }
}

/* --- looking --- */

struct seen {
    uint32_t versions[2 * ITEMS]; /* a session's */
    bool owed[ITEMS][ENVELOPES];
};

static uint32_t number_of(const void *id)
{
    const uint8_t *bytes = id;
    return (uint32_t)bytes[14] << 8 | bytes[15];
}

static void see_session(struct seen *seen, const void *id, struct dm_slice filters)
{
    unsigned version = 0;
    char text[32] = "";
    memcpy(text, filters.at, filters.len < sizeof text - 1 ? filters.len : sizeof text - 1);
    assert_int_equal(sscanf(text, "[{\"type\":\"%u\"", &version), 1);
    assert_true(number_of(id) < 2 * ITEMS);
    seen->versions[number_of(id)] = version;
}

static void see_owed(struct seen *seen, const void *session_id, const void *envelope_id)
{
    uint32_t session = number_of(session_id), envelope = number_of(envelope_id) - 1000;
    assert_true(session % 2 == 0 && session < 2 * ITEMS && envelope < ENVELOPES);
    seen->owed[session / 2][envelope] = true;
}

static void expect_believed(const struct fixture *fixture, const struct seen *seen)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        const struct item *item = &fixture->items[i];
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

/* As the hub would. */
static void expect_loads(struct fixture *fixture)
{
    struct seen seen = {0};
    for (uint32_t user = 0; user < 2; user++) {
        struct dm_store_op *op = store_rig_load(user_of(user));
        assert_int_equal(store_rig_do(&fixture->rig, op), DM_OK);
        for (uint32_t i = 0; i < op->session_count; i++)
            see_session(&seen, &op->sessions[i].id, dm_store_op_text(op, op->sessions[i].filters));
        for (uint32_t i = 0; i < op->pending_count; i++)
            see_owed(&seen, &op->pending[i].session_id, &op->pending[i].envelope_id);
        dm_store_op_destroy(op);
    }
    expect_believed(fixture, &seen);
}

static void expect_text(sqlite3 *db, const char *sql, const char *is)
{
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(row, 0), is);
    sqlite3_finalize(row);
}

static void see_rows(sqlite3 *db, struct seen *seen)
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

/* With SQLite alone: the store would sweep the rows. */
static sqlite3 *open_plain(struct fixture *fixture)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(fixture->rig.path, &db, SQLITE_OPEN_READWRITE, "unix"), 0);
    expect_text(db, "PRAGMA integrity_check", "ok");
    return db;
}

static void open_store(struct fixture *fixture)
{
    if (store_rig_open(&fixture->rig) != DM_OK)
        fail_msg("%s", dm_buf_text(&fixture->rig.why));
    assert_int_equal(sqlite3_open(fixture->rig.path, &fixture->other), SQLITE_OK);
    expect_text(fixture->other, "PRAGMA journal_mode",
                "wal"); /* it knows of the log from then on */
}

static void close_store(struct fixture *fixture)
{
    sqlite3_close(fixture->other);
    fixture->other = NULL;
    dm_database_close(&fixture->rig.database);
}

/* Looks at what is there with nobody in between, and begins anew with nothing. */
static void expect_rows(struct fixture *fixture)
{
    struct seen seen = {0};
    sqlite3 *db = open_plain(fixture);
    see_rows(db, &seen);
    expect_believed(fixture, &seen);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA synchronous = OFF; DELETE FROM session; DELETE FROM pending_ack",
                     NULL, NULL, NULL),
        0);
    sqlite3_close(db);
    forget_all(fixture);
    open_store(fixture);
}

/* --- rounds --- */

static int setup(void **state)
{
    struct fixture *fixture = *state = DM_NEW(struct fixture);
    const char *seed = getenv("DM_DISK_SEED");
    fixture->random = seed ? strtoull(seed, NULL, 10) : 1;
    print_message("DM_DISK_SEED=%llu\n", (unsigned long long)fixture->random);
    fault_vfs_install(&fixture->faults);
    atomic_store(&fixture->faults.no_real_syncs, true);
    store_rig_init(&fixture->rig);
    forget_all(fixture);
    open_store(fixture);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    close_store(fixture);
    store_rig_dispose(&fixture->rig);
    fault_vfs_remove(&fixture->faults);
    free(fixture);
    return 0;
}

static unsigned runs(void)
{
    const char *text = getenv("DM_DISK_RUNS");
    return text ? (unsigned)atoi(text) : 1;
}

static void await_recovery(struct fixture *fixture)
{
    for (int i = 0; i < 5000 && !dm_database_ready(fixture->rig.database); i++)
        usleep(2000);
    assert_true(dm_database_ready(fixture->rig.database));
}

/* Powers off at the latest now, looks at what is left, and powers on. */
static void cut_and_look(struct fixture *fixture)
{
    fault_vfs_cut(&fixture->faults);
    close_store(fixture);
    fault_vfs_restore(&fixture->faults);
    expect_rows(fixture);
}

/* Works while the plan strikes; then all is well again. True: it has struck. */
static bool survive(struct fixture *fixture, const struct fault_plan *plan)
{
    fault_vfs_plan(&fixture->faults, plan);
    work(fixture);
    unsigned struck = fault_vfs_struck(&fixture->faults);
    fault_vfs_plan(&fixture->faults, NULL);
    await_recovery(fixture);
    struct deed deed = {SAVE, 0, ++fixture->version, 0};
    int err = store_rig_finish(&fixture->rig, op_of(fixture, &deed));
    assert_int_equal(err, DM_OK);
    believe(fixture, &deed, err);
    expect_loads(fixture);
    return struck > 0;
}

/* For n from 1 until the work is done before the plan strikes, again and again. */
static void survive_each(struct fixture *fixture, struct fault_plan plan, bool cut)
{
    uint64_t seed = fixture->random;
    unsigned struck = 0, missed = 0;
    for (plan.nth = 1; plan.nth < 60 && missed < 4; plan.nth += 1 + plan.nth / 8) {
        fault_vfs_shadow(&fixture->faults, fixture->rig.path, plan.nth + seed, 50);
        bool strikes = survive(fixture, &plan);
        struck += strikes;
        missed += !strikes;
        if (cut && strikes)
            cut_and_look(fixture);
    }
    close_store(fixture);
    expect_rows(fixture);
    assert_true(struck > 2); /* else it tests next to nothing */
}

static void what_was_answered_is_there_after_a_fault(void **state)
{
    struct fixture *fixture = *state;
    static const struct fault_plan plans[] = {
        {FAULT_FAIL, FAULT_WRITE, SHADOW_LOG, SQLITE_FULL, 0, 1},
        {FAULT_FAIL, FAULT_WRITE, SHADOW_LOG, SQLITE_IOERR_WRITE, 0, 4},
        {FAULT_TORN, FAULT_WRITE, SHADOW_LOG, SQLITE_FULL, 0, 1},
        {FAULT_FAIL, FAULT_SYNC, SHADOW_LOG, SQLITE_IOERR_FSYNC, 0, 1},
        {FAULT_FAIL, FAULT_SYNC, SHADOW_LOG, SQLITE_IOERR_FSYNC, 0, 3},
        {FAULT_FAIL, FAULT_WRITE, SHADOW_BASE, SQLITE_FULL, 0, 1},
        {FAULT_TORN, FAULT_WRITE, SHADOW_BASE, SQLITE_IOERR_WRITE, 0, 1},
    };
    for (unsigned run = 0; run < runs(); run++) {
        for (size_t i = 0; i < DM_COUNT(plans); i++) {
            survive_each(fixture, plans[i], false);
            survive_each(fixture, plans[i], true); /* and then the power goes */
        }
    }
    assert_true(fixture->unknown > 50 && fixture->unavailable > 10 && fixture->ok > 1000);
}

static void what_was_answered_is_there_after_a_power_cut(void **state)
{
    struct fixture *fixture = *state;
    static const struct fault_plan plans[] = {
        {FAULT_CUT, FAULT_WRITE, SHADOW_LOG, 0, 0, 0},
        {FAULT_CUT, FAULT_SYNC, SHADOW_LOG, 0, 0, 0},
        {FAULT_CUT, FAULT_WRITE, SHADOW_BASE, 0, 0, 0},
        {FAULT_CUT, FAULT_SYNC, SHADOW_BASE, 0, 0, 0},
    };
    static const unsigned survival[] = {0, 50, 100};
    for (unsigned round = 0; round < 120 * runs(); round++) {
        struct fault_plan plan = plans[round % DM_COUNT(plans)];
        bool base = plan.file == SHADOW_BASE, sync = plan.call == FAULT_SYNC;
        plan.nth = 1 + below(fixture, base && sync ? 3 : sync ? 15 : 50);
        uint64_t seed = fixture->random;
        fault_vfs_shadow(&fixture->faults, fixture->rig.path, seed, survival[below(fixture, 3)]);
        fault_vfs_plan(&fixture->faults, &plan);
        work(fixture);
        cut_and_look(fixture);
    }
    assert_true(fixture->unknown > 10 && fixture->ok > 100);
}

/* Fills more of the log than the store leaves there, so that its helper copies some. */
static void fill_log(struct fixture *fixture)
{
    static char filters[64 * 1024];
    memset(filters, 'x', sizeof filters - 1);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(store_rig_finish(&fixture->rig, store_rig_save("fill", 5000 + i, filters)),
                         DM_OK);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(
            store_rig_finish(&fixture->rig, store_rig_forget(DM_STORE_FORGET_SESSION, 5000 + i, 0)),
            DM_OK);
}

/*
 * After a sync that failed, the system calls pages clean that have not reached
 * the disk; no later sync writes them. Where all connections have been closed
 * since, the next one finds the commit of unknown outcome whole in the log, as
 * far as it can see, and what is written behind it would be lost with it.
 */
static void fail_a_sync(struct fixture *fixture)
{
    struct store_rig *rig = &fixture->rig;
    sqlite3_close(fixture->other);
    fixture->other = NULL;
    atomic_store(&fixture->faults.base_write_error, SQLITE_IOERR_WRITE);
    fill_log(fixture); /* the helper's connection fails, and goes */
    atomic_store(&fixture->faults.read_error, SQLITE_IOERR_READ);
    assert_int_equal(store_rig_finish(rig, store_rig_load("ann")), DM_ERR_UNAVAILABLE);
    atomic_store(&fixture->faults.open_error, SQLITE_CANTOPEN); /* the reader's has gone, too */
    atomic_store(&fixture->faults.read_error, 0);
    usleep(100000);
    struct fault_plan plan = {FAULT_FAIL, FAULT_SYNC, SHADOW_LOG, SQLITE_IOERR_FSYNC, 1, 1};
    struct deed deed = {SAVE, 0, ++fixture->version, 0};
    fault_vfs_shadow(&fixture->faults, rig->path, 1, 0);
    fault_vfs_plan(&fixture->faults, &plan);
    believe(fixture, &deed, store_rig_finish(rig, op_of(fixture, &deed)));
    assert_int_equal(fault_vfs_struck(&fixture->faults), 1);
    assert_int_equal(fixture->unknown, 1);
}

static void save_well_and_cut(struct fixture *fixture)
{
    for (uint32_t i = 1; i < ITEMS; i++) {
        struct deed deed = {SAVE, i, ++fixture->version, 0};
        int err = store_rig_finish(&fixture->rig, op_of(fixture, &deed));
        assert_int_equal(err, DM_OK);
        believe(fixture, &deed, err);
    }
    cut_and_look(fixture);
}

static void nothing_is_built_upon_a_failed_sync(void **state)
{
    struct fixture *fixture = *state;
    fail_a_sync(fixture);
    atomic_store(&fixture->faults.base_write_error, 0);
    atomic_store(&fixture->faults.open_error, 0);
    await_recovery(fixture);
    save_well_and_cut(fixture);
}

static void nor_by_the_next_process(void **state)
{
    struct fixture *fixture = *state;
    fail_a_sync(fixture);
    dm_database_close(&fixture->rig.database); /* as if killed: the log stays */
    atomic_store(&fixture->faults.base_write_error, 0);
    atomic_store(&fixture->faults.open_error, 0);
    fixture->items[0].versions[fixture->items[0].count++] = ABSENT; /* the sweep may have it */
    open_store(fixture);
    save_well_and_cut(fixture);
}

/* The other way round: where the syncs of the log lie, what was answered is gone after the cut.
 * That is the disk's doing, and shows that the cuts above are cuts. What is left is a beginning of
 * what was done, with nothing missing in between. */
static void a_lying_disk_loses_the_end_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    struct fault_plan plan = {FAULT_DROP, FAULT_SYNC, SHADOW_LOG, 0, 4, 1000};
    fault_vfs_shadow(&fixture->faults, fixture->rig.path, 1, 0);
    fault_vfs_plan(&fixture->faults, &plan);
    for (uint32_t i = 0; i < 20; i++) { /* item by item, each after the other was answered */
        struct deed deed = {SAVE, i % 4, 1 + i, 0};
        assert_int_equal(store_rig_finish(&fixture->rig, op_of(fixture, &deed)), DM_OK);
    }
    fault_vfs_cut(&fixture->faults);
    close_store(fixture);
    fault_vfs_restore(&fixture->faults);
    struct seen seen = {0};
    sqlite3 *db = open_plain(fixture);
    see_rows(db, &seen);
    sqlite3_close(db);
    uint32_t expected[4] = {1, 2, 3, 0}; /* three syncs were true */
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(seen.versions[2 * i], expected[i]);
    open_store(fixture);
}

/* A write that is lost and not noticed can damage anything; it must not bring the process down,
 * and what is done is answered. */
static void lost_writes_are_no_crash(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned n = 1; n <= 30; n++) {
        struct fault_plan plan = {FAULT_DROP, FAULT_WRITE, n % 2 ? SHADOW_LOG : SHADOW_BASE,
                                  0,          1 + n / 2,   1};
        fault_vfs_plan(&fixture->faults, &plan);
        work(fixture);
        store_rig_finish(&fixture->rig, store_rig_load("ann"));
        close_store(fixture);
        fault_vfs_plan(&fixture->faults, NULL);
        char path[128];
        static const char *const endings[] = {"", "-wal", "-shm"};
        for (size_t i = 0; i < DM_COUNT(endings); i++) {
            snprintf(path, sizeof path, "%s%s", fixture->rig.path, endings[i]);
            unlink(path);
        }
        forget_all(fixture);
        open_store(fixture);
    }
}

#define DISK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

DM_UNIT_MAIN(DISK(what_was_answered_is_there_after_a_fault),
             DISK(what_was_answered_is_there_after_a_power_cut),
             DISK(nothing_is_built_upon_a_failed_sync), DISK(nor_by_the_next_process),
             DISK(a_lying_disk_loses_the_end_and_nothing_else), DISK(lost_writes_are_no_crash))
