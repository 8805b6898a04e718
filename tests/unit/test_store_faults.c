/* A disk that fails: what the operations come back with, and that the store recovers by itself. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/fault_vfs.h"
#include "lib/store_rig.h"
#include "lib/unit.h"

struct fixture {
    struct fault_vfs faults;
    struct store_rig rig;
};

static int setup(void **state)
{
    struct fixture *fixture = *state = DM_NEW(struct fixture);
    fault_vfs_install(&fixture->faults);
    store_rig_init(&fixture->rig);
    return store_rig_open(&fixture->rig);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    store_rig_dispose(&fixture->rig);
    fault_vfs_remove(&fixture->faults);
    free(fixture);
    return 0;
}

static int save(struct store_rig *rig, uint32_t session)
{
    return store_rig_finish(rig, store_rig_save("ann", session, "[]"));
}

static uint32_t load(struct store_rig *rig, const char *user_id)
{
    struct dm_store_op *op = store_rig_load(user_id);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    uint32_t count = op->session_count;
    dm_store_op_destroy(op);
    return count;
}

static void await_recovery(struct store_rig *rig)
{
    for (int i = 0; i < 1000 && !dm_database_ready(rig->database); i++)
        usleep(10000);
    assert_true(dm_database_ready(rig->database));
}

/* A commit fails by `fault`; nothing is written while that lasts; then all is well again. */
static void expect_recovery(struct fixture *fixture, _Atomic int *fault, int code)
{
    struct store_rig *rig = &fixture->rig;
    assert_int_equal(save(rig, 1), DM_OK);
    assert_true(dm_database_ready(rig->database));
    atomic_store(fault, code);
    assert_int_equal(save(rig, 2), DM_ERR_COMMIT_UNKNOWN);
    assert_false(dm_database_ready(rig->database));
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(save(rig, 3 + i), DM_ERR_UNAVAILABLE);
    usleep(300000); /* some tries to recover are made meanwhile */
    assert_int_equal(save(rig, 3), DM_ERR_UNAVAILABLE);
    assert_false(dm_database_ready(rig->database));
    assert_in_range(load(rig, "ann"), 1, 2); /* reads go on */
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_COMMIT_FAILURES), 1);

    atomic_store(fault, 0);
    await_recovery(rig); /* without a write that asks for it */
    assert_int_equal(save(rig, 30), DM_OK);
    assert_in_range(load(rig, "ann"), 2, 3); /* 1, 30, and 2 it may be; never 3 to 22 */
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_COMMIT_FAILURES), 1);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_OPERATION_FAILURES), 22);
    dm_database_close(&rig->database);
}

static void recovers_from_a_failed_sync(void **state)
{
    struct fixture *fixture = *state;
    expect_recovery(fixture, &fixture->faults.log_sync_error, SQLITE_IOERR_FSYNC);
}

static void recovers_from_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    expect_recovery(fixture, &fixture->faults.log_write_error, SQLITE_FULL);
}

static void recovers_from_a_failed_write(void **state)
{
    struct fixture *fixture = *state;
    expect_recovery(fixture, &fixture->faults.log_write_error, SQLITE_IOERR_WRITE);
}

static void stays_down_while_it_cannot_reopen(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    atomic_store(&fixture->faults.open_error, SQLITE_CANTOPEN);
    atomic_store(&fixture->faults.log_sync_error, SQLITE_IOERR_FSYNC);
    assert_int_equal(save(rig, 1), DM_ERR_COMMIT_UNKNOWN);
    atomic_store(&fixture->faults.log_sync_error, 0);
    usleep(200000);
    assert_int_equal(save(rig, 2), DM_ERR_UNAVAILABLE);
    assert_false(dm_database_ready(rig->database));
    atomic_store(&fixture->faults.open_error, 0);
    await_recovery(rig);
    assert_int_equal(save(rig, 3), DM_OK);
}

/* While the first commit is held up the others gather; then theirs fails. */
static void a_failed_commit_fails_its_whole_batch(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    enum { MANY = 50, BAD = 7 };
    assert_int_equal(save(rig, 0), DM_OK);
    atomic_store(&fixture->faults.hold_log_sync, true);
    rig->store.submit(rig->store.self, store_rig_save("ann", 0, "[1]"));
    while (atomic_load(&fixture->faults.log_held) == 0)
        usleep(100);
    for (uint32_t i = 1; i <= MANY; i++)
        rig->store.submit(rig->store.self, store_rig_save(i == BAD ? "" : "bob", i, "[]"));
    atomic_store(&fixture->faults.log_syncs_spared, 1);
    atomic_store(&fixture->faults.log_sync_error, SQLITE_IOERR_FSYNC);
    atomic_store(&fixture->faults.hold_log_sync, false);
    for (uint32_t i = 0; i <= MANY; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        int failed = i == BAD ? DM_ERR_UNAVAILABLE : DM_ERR_COMMIT_UNKNOWN;
        assert_int_equal(op->err, i == 0 ? DM_OK : failed);
        dm_store_op_destroy(op);
    }
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_COMMIT_FAILURES), 1);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_OPERATION_FAILURES), MANY);
    atomic_store(&fixture->faults.log_sync_error, 0);
    await_recovery(rig);
    assert_int_equal(save(rig, 0), DM_OK);
}

static void a_batch_that_fails_before_its_commit_is_not_written(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    static char filters[64 * 1024];
    memset(filters, 'x', sizeof filters - 1);
    struct dm_store_op *large = store_rig_save("bob", 1000, filters);
    for (uint32_t i = 1; i < 64; i++) { /* more than the page cache: pages go to the log early */
        struct dm_uuid id = store_rig_id(1000 + i);
        dm_store_op_add_session(large, &id, DM_SLICE("hopeflow"), dm_slice_of(filters),
                                DM_NO_SLICE);
    }
    atomic_store(&fixture->faults.log_write_error, SQLITE_FULL);
    assert_int_equal(store_rig_finish(rig, large), DM_ERR_UNAVAILABLE);
    atomic_store(&fixture->faults.log_write_error, 0);
    await_recovery(rig);
    assert_int_equal(load(rig, "bob"), 0);
    assert_int_equal(save(rig, 1), DM_OK);
}

static void a_read_that_fails_fails_alone(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    assert_int_equal(save(rig, 1), DM_OK);
    assert_int_equal(load(rig, "ann"), 1);
    assert_int_equal(save(rig, 2), DM_OK); /* what the reader has cached is old now */
    atomic_store(&fixture->faults.read_error, SQLITE_IOERR_READ);
    struct dm_store_op *op = store_rig_load("ann");
    assert_int_equal(store_rig_do(rig, op), DM_ERR_UNAVAILABLE);
    assert_int_equal(op->session_count, 0);
    assert_int_equal(op->text.len, 3);
    dm_store_op_destroy(op);
    assert_false(dm_database_ready(rig->database));
    atomic_store(&fixture->faults.read_error, 0);
    assert_int_equal(load(rig, "ann"), 2);
    assert_true(dm_database_ready(rig->database));
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_READ_FAILURES), 1);
}

/* By itself: nobody needs to ask for it. */
static void a_read_that_failed_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    assert_int_equal(save(rig, 1), DM_OK);
    atomic_store(&fixture->faults.read_error, SQLITE_IOERR_READ);
    assert_int_equal(store_rig_finish(rig, store_rig_load("ann")), DM_ERR_UNAVAILABLE);
    usleep(200000); /* some tries are made meanwhile */
    assert_false(dm_database_ready(rig->database));
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_READS_DOWN), 1);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_WRITES_DOWN), 0);
    atomic_store(&fixture->faults.read_error, 0);
    await_recovery(rig);
    assert_int_equal(load(rig, "ann"), 1);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_READS_DOWN), 0);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_READ_FAILURES), 1);
}

static void run_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

/* Somebody's shell, with the write lock, for longer than the store waits. */
static void recovers_from_a_lock(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    sqlite3 *shell;
    assert_int_equal(save(rig, 1), DM_OK);
    assert_int_equal(sqlite3_open(rig->path, &shell), SQLITE_OK);
    run_sql(shell, "BEGIN IMMEDIATE; DELETE FROM pending_ack");
    atomic_store(&fixture->faults.hurry, true);
    assert_int_equal(save(rig, 2), DM_ERR_UNAVAILABLE);
    atomic_store(&fixture->faults.hurry, false);
    assert_false(dm_database_ready(rig->database));
    uint64_t began = dm_clock_mono_ms();
    for (uint32_t i = 0; i < 3; i++) { /* while down nobody waits long */
        assert_int_equal(save(rig, 3), DM_ERR_UNAVAILABLE);
        usleep(30000);
    }
    assert_true(dm_clock_mono_ms() - began < 2000);
    assert_int_equal(load(rig, "ann"), 1);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_WRITES_DOWN), 1);
    run_sql(shell, "ROLLBACK");
    sqlite3_close(shell);
    await_recovery(rig);
    assert_int_equal(save(rig, 4), DM_OK);
    assert_int_equal(load(rig, "ann"), 2);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_COMMIT_FAILURES), 0);
}

/* As when the system remounts a file system that has failed: what is open fails, and can only be
 * opened for reading. */
static void recovers_from_a_read_only_file(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    assert_int_equal(save(rig, 1), DM_OK);
    atomic_store(&fixture->faults.read_only, true);
    atomic_store(&fixture->faults.log_write_error, SQLITE_IOERR_WRITE);
    assert_int_equal(save(rig, 2), DM_ERR_COMMIT_UNKNOWN);
    atomic_store(&fixture->faults.log_write_error, 0);
    usleep(200000);
    assert_false(dm_database_ready(rig->database));
    assert_int_equal(save(rig, 3), DM_ERR_UNAVAILABLE);
    assert_int_equal(load(rig, "ann"), 1);
    atomic_store(&fixture->faults.read_only, false);
    await_recovery(rig);
    assert_int_equal(save(rig, 4), DM_OK);

    dm_database_close(&rig->database);
    atomic_store(&fixture->faults.read_only, true);
    assert_int_equal(store_rig_open(rig), DM_ERR_UNAVAILABLE);
    assert_non_null(strstr(dm_buf_text(&rig->why), "read-only"));
    atomic_store(&fixture->faults.read_only, false);
    assert_int_equal(store_rig_open(rig), DM_OK);
}

/* While a reader holds on to the log it cannot start over; where a sync has failed, the store does
 * not go on without that. */
static void a_reader_holds_up_the_way_back_from_a_failed_sync(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    sqlite3 *shell;
    assert_int_equal(save(rig, 1), DM_OK);
    assert_int_equal(sqlite3_open(rig->path, &shell), SQLITE_OK);
    run_sql(shell, "BEGIN; SELECT count(*) FROM session");
    atomic_store(&fixture->faults.log_sync_error, SQLITE_IOERR_FSYNC);
    assert_int_equal(save(rig, 2), DM_ERR_COMMIT_UNKNOWN);
    atomic_store(&fixture->faults.log_sync_error, 0);
    usleep(300000);
    assert_false(dm_database_ready(rig->database));
    run_sql(shell, "COMMIT");
    await_recovery(rig);
    assert_int_equal(save(rig, 3), DM_OK);
    sqlite3_close(shell);
}

/* Changes the link from the first page that is full of 'z' to the next one; the old link. */
static uint32_t relink(const char *path, uint32_t link)
{
    static const char full[64] = {[0 ... 63] = 'z'};
    char page[4096];
    uint32_t before = 0;
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    for (off_t at = 0; pread(file, page, sizeof page, at) == sizeof page; at += 4096) {
        if (memcmp(page + 100, full, sizeof full) != 0 || page[0] == 13 || page[0] == 10)
            continue;
        memcpy(&before, page, sizeof before);
        assert_int_equal(pwrite(file, &link, sizeof link, at), sizeof link);
        break;
    }
    close(file);
    assert_int_not_equal(before, 0);
    return before;
}

/* A batch in which one meets the damage; the others are written, before it and after it. */
static void fail_one_of_a_batch(struct fixture *fixture)
{
    struct store_rig *rig = &fixture->rig;
    struct dm_store_op *ops[] = {store_rig_save("ann", 3, "[0]"), store_rig_save("ann", 3, "[1]"),
                                 store_rig_forget(DM_STORE_FORGET_SESSION, 900, 0),
                                 store_rig_save("ann", 4, "[2]")};
    atomic_store(&fixture->faults.log_held, 0);
    atomic_store(&fixture->faults.hold_log_sync, true);
    rig->store.submit(rig->store.self, ops[0]);
    while (atomic_load(&fixture->faults.log_held) == 0)
        usleep(100);
    for (size_t i = 1; i < DM_COUNT(ops); i++)
        rig->store.submit(rig->store.self, ops[i]);
    atomic_store(&fixture->faults.hold_log_sync, false);
    for (size_t i = 0; i < DM_COUNT(ops); i++) {
        assert_ptr_equal(store_rig_take(rig), ops[i]);
        assert_int_equal(ops[i]->err, i == 2 ? DM_ERR_UNAVAILABLE : DM_OK);
        dm_store_op_destroy(ops[i]);
    }
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_COMMIT_FAILURES), 0);
    assert_int_equal(load(rig, "ann"), 4);
}

/* Whom it is not about is served; /readyz shows it; and when the page is back all is well. */
static void recovers_from_a_corrupt_page(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    static char filters[64 * 1024];
    sqlite3 *shell;
    assert_int_equal(save(rig, 1), DM_OK);
    memset(filters, 'y', 400);
    for (uint32_t i = 0; i < 60; i++) /* so that theirs and his are in different pages */
        assert_int_equal(store_rig_finish(rig, store_rig_save("carl", 100 + i, filters)), DM_OK);
    memset(filters, 'z', sizeof filters - 1);
    assert_int_equal(store_rig_finish(rig, store_rig_save("bob", 900, filters)), DM_OK);
    assert_int_equal(sqlite3_open(rig->path, &shell), SQLITE_OK);
    run_sql(shell, "SELECT count(*) FROM session; PRAGMA wal_checkpoint(TRUNCATE)");
    sqlite3_close(shell);
    usleep(1300000); /* the writer gives back what it has cached */

    uint32_t link = relink(rig->path, 0xffffffff);
    assert_int_equal(store_rig_finish(rig, store_rig_load("bob")), DM_ERR_UNAVAILABLE);
    assert_false(dm_database_ready(rig->database));
    assert_int_equal(load(rig, "ann"), 1);
    assert_int_equal(save(rig, 2), DM_OK);
    assert_false(dm_database_ready(rig->database)); /* theirs says nothing of his */
    relink(rig->path, link);
    await_recovery(rig);

    relink(rig->path, 0xffffffff);
    fail_one_of_a_batch(fixture);
    assert_false(dm_database_ready(rig->database));
    usleep(200000); /* it looks meanwhile, and finds the damage */
    assert_false(dm_database_ready(rig->database));
    relink(rig->path, link);
    await_recovery(rig);
    assert_int_equal(load(rig, "bob"), 1);
    assert_int_equal(store_rig_finish(rig, store_rig_forget(DM_STORE_FORGET_SESSION, 900, 0)),
                     DM_OK);
    assert_int_equal(load(rig, "bob"), 0);
    assert_int_equal(load(rig, "ann"), 4);
}

/* Written past the tables' checks, so that the first row is read well and the second is not. */
static void half_a_user_is_none(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    assert_int_equal(save(rig, 1), DM_OK);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA ignore_check_constraints = ON;"
                                  "INSERT INTO session (id, slot, user_id, dialect, filters)"
                                  " VALUES (x'FF', 7, 'ann', 'hopeflow', '[]')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    struct dm_store_op *op = store_rig_load("ann");
    assert_int_equal(store_rig_do(rig, op), DM_ERR_UNAVAILABLE);
    assert_int_equal(op->session_count, 0);
    assert_int_equal(op->text.len, 3);
    dm_store_op_destroy(op);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM session WHERE id = x'FF'", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(load(rig, "ann"), 1);
}

/* About 8 MB of saves, so that a checkpoint is due. */
static void save_much(struct store_rig *rig, char fill)
{
    static char filters[64 * 1024];
    memset(filters, fill, sizeof filters - 1);
    for (uint32_t i = 0; i < 128; i++)
        assert_int_equal(store_rig_finish(rig, store_rig_save("ann", i, filters)), DM_OK);
}

static void a_failed_checkpoint_fails_no_write(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    atomic_store(&fixture->faults.base_write_error, SQLITE_IOERR_WRITE);
    for (char fill = 'a'; fill < 'e'; fill++) /* past the bound of the writer's own, too */
        save_much(rig, fill);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_CHECKPOINTS), 0);
    assert_true(dm_database_ready(rig->database));
    atomic_store(&fixture->faults.base_write_error, 0);
    for (char fill = 'e'; fill < 'g'; fill++)
        save_much(rig, fill);
    assert_true(store_rig_metric(rig, DM_METRIC_STORE_CHECKPOINTS) > 0);
    assert_int_equal(load(rig, "ann"), 128);
}

static void closes_while_down(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    atomic_store(&fixture->faults.log_sync_error, SQLITE_IOERR_FSYNC);
    assert_int_equal(save(rig, 1), DM_ERR_COMMIT_UNKNOWN);
    for (uint32_t i = 0; i < 100; i++)
        rig->store.submit(rig->store.self, store_rig_save("ann", i, "[]"));
    dm_database_close(&rig->database);
    for (uint32_t i = 0; i < 100; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, DM_ERR_UNAVAILABLE);
        dm_store_op_destroy(op);
    }
    atomic_store(&fixture->faults.log_sync_error, 0);
    assert_int_equal(store_rig_open(rig), DM_OK);
}

#define FAULTY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

DM_UNIT_MAIN(FAULTY(recovers_from_a_failed_sync), FAULTY(recovers_from_a_full_disk),
             FAULTY(recovers_from_a_failed_write), FAULTY(stays_down_while_it_cannot_reopen),
             FAULTY(a_failed_commit_fails_its_whole_batch),
             FAULTY(a_batch_that_fails_before_its_commit_is_not_written),
             FAULTY(a_read_that_fails_fails_alone), FAULTY(a_read_that_failed_is_tried_again),
             FAULTY(recovers_from_a_lock), FAULTY(recovers_from_a_read_only_file),
             FAULTY(a_reader_holds_up_the_way_back_from_a_failed_sync),
             FAULTY(recovers_from_a_corrupt_page), FAULTY(half_a_user_is_none),
             FAULTY(a_failed_checkpoint_fails_no_write), FAULTY(closes_while_down))
