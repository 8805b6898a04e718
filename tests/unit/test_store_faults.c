/* A disk that fails: what the operations come back with, and that the store recovers by itself. */
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
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
    atomic_store(&fixture->faults.read_error, 0);
    assert_int_equal(load(rig, "ann"), 2);
    assert_true(dm_database_ready(rig->database));
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
             FAULTY(a_read_that_fails_fails_alone), FAULTY(half_a_user_is_none),
             FAULTY(a_failed_checkpoint_fails_no_write), FAULTY(closes_while_down))
