/* The store through its port, on real files: what is saved is what is loaded, in order, grouped. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fault_vfs.h"
#include "lib/store_rig.h"
#include "lib/unit.h"

static void expect_text(const struct dm_store_op *op, struct dm_store_text text, const char *is)
{
    struct dm_slice slice = dm_store_op_text(op, text);
    assert_int_equal(slice.len, strlen(is));
    assert_memory_equal(slice.at, is, slice.len);
}

static void expect_id(const struct dm_uuid *id, uint32_t number)
{
    struct dm_uuid expected = store_rig_id(number);
    assert_memory_equal(id->bytes, expected.bytes, sizeof expected.bytes);
}

static struct dm_store_op *load(struct store_rig *rig, const char *user_id)
{
    struct dm_store_op *op = store_rig_load(user_id);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    return op;
}

static void expect_counts(struct store_rig *rig, const char *user_id, uint32_t sessions,
                          uint32_t pending)
{
    struct dm_store_op *op = load(rig, user_id);
    assert_int_equal(op->session_count, sessions);
    assert_int_equal(op->pending_count, pending);
    dm_store_op_destroy(op);
}

static void add_pending(struct dm_store_op *op, uint32_t envelope, uint32_t session)
{
    struct dm_uuid envelope_id = store_rig_id(envelope), session_id = store_rig_id(session);
    dm_store_op_add_pending(op, &envelope_id, &session_id);
}

static void add_session(struct dm_store_op *op, uint32_t session, const char *dialect)
{
    struct dm_uuid id = store_rig_id(session);
    dm_store_op_add_session(op, &id, dm_slice_of(dialect), DM_SLICE("[]"), DM_NO_SLICE);
}

/* Two users, of whom the first has two sessions (1, 2) and three acks (90, 91 of 1; 90 of 2). */
static void save_two_users(struct store_rig *rig)
{
    struct dm_store_op *op = store_rig_save("ann", 1, "[{\"type\":\"a\"}]");
    add_session(op, 2, "native");
    add_pending(op, 90, 1);
    add_pending(op, 91, 1);
    add_pending(op, 90, 2);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    op = store_rig_save("bob", 3, "[]");
    add_pending(op, 90, 3);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
}

static void loads_what_was_saved(void **state)
{
    struct store_rig *rig = *state;
    save_two_users(rig);
    struct dm_store_op *op = load(rig, "ann");
    assert_int_equal(op->session_count, 2);
    expect_id(&op->sessions[0].id, 1);
    expect_text(op, op->sessions[0].dialect, "hopeflow");
    expect_text(op, op->sessions[0].filters, "[{\"type\":\"a\"}]");
    expect_id(&op->sessions[1].id, 2);
    expect_text(op, op->sessions[1].dialect, "native");
    assert_int_equal(op->pending_count, 3);
    expect_id(&op->pending[0].envelope_id, 90);
    expect_id(&op->pending[0].session_id, 1);
    expect_id(&op->pending[1].envelope_id, 91);
    expect_id(&op->pending[2].session_id, 2);
    expect_text(op, op->user_id, "ann");
    dm_store_op_destroy(op);
    expect_counts(rig, "bob", 1, 1);
    expect_counts(rig, "nobody", 0, 0);
}

static void saves_again_over_what_was(void **state)
{
    struct store_rig *rig = *state;
    save_two_users(rig);
    struct dm_store_op *op = store_rig_save("ann", 1, "[{\"type\":\"b\"}]");
    add_pending(op, 90, 1); /* once more */
    add_pending(op, 92, 1);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    op = load(rig, "ann");
    assert_int_equal(op->session_count, 2);
    expect_text(op, op->sessions[0].filters, "[{\"type\":\"b\"}]");
    assert_int_equal(op->pending_count, 4);
    dm_store_op_destroy(op);
}

static void forgets_what_it_is_told_to(void **state)
{
    struct store_rig *rig = *state;
    save_two_users(rig);
    assert_int_equal(store_rig_finish(rig, store_rig_forget(DM_STORE_FORGET_PENDING, 1, 91)),
                     DM_OK);
    expect_counts(rig, "ann", 2, 2);
    assert_int_equal(store_rig_finish(rig, store_rig_forget(DM_STORE_FORGET_SESSION, 2, 0)), DM_OK);
    expect_counts(rig, "ann", 1, 1);
    expect_counts(rig, "bob", 1, 1);
    assert_int_equal(store_rig_finish(rig, store_rig_forget(DM_STORE_FORGET_ENVELOPE, 0, 90)),
                     DM_OK);
    expect_counts(rig, "ann", 1, 0);
    expect_counts(rig, "bob", 1, 0);

    struct dm_store_op *op = store_rig_save("ann", 2, "[]"); /* its acks must not come back */
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    expect_counts(rig, "ann", 2, 0);
}

static void keeps_text_as_it_is(void **state)
{
    struct store_rig *rig = *state;
    const char *names[] = {"01", "1", "1e3", "0x10", " 1", "é\xF0\x9F\x98\x80", "NULL", "'--"};
    for (uint32_t i = 0; i < DM_COUNT(names); i++)
        assert_int_equal(store_rig_finish(rig, store_rig_save(names[i], i, names[i])), DM_OK);
    for (uint32_t i = 0; i < DM_COUNT(names); i++) {
        struct dm_store_op *op = load(rig, names[i]);
        assert_int_equal(op->session_count, 1);
        expect_id(&op->sessions[0].id, i);
        expect_text(op, op->sessions[0].filters, names[i]);
        dm_store_op_destroy(op);
    }
}

static void keeps_a_large_user_whole(void **state)
{
    struct store_rig *rig = *state;
    static char filters[64 * 1024];
    memset(filters, 'x', sizeof filters - 1);
    struct dm_store_op *op = store_rig_save("ann", 0, filters);
    for (uint32_t i = 1; i < 100; i++) {
        struct dm_uuid id = store_rig_id(i);
        filters[0] = (char)('a' + i % 26);
        dm_store_op_add_session(op, &id, DM_SLICE("hopeflow"), dm_slice_of(filters), DM_NO_SLICE);
    }
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    op = load(rig, "ann");
    assert_int_equal(op->session_count, 100);
    filters[0] = (char)('a' + 99 % 26);
    expect_text(op, op->sessions[99].filters, filters);
    dm_store_op_destroy(op);
}

static void writes_in_the_order_of_submission(void **state)
{
    struct store_rig *rig = *state;
    enum { TIMES = 300 };
    char filters[16];
    for (uint32_t i = 0; i < TIMES; i++) {
        snprintf(filters, sizeof filters, "[%u]", i);
        rig->store.submit(rig->store.self, store_rig_save("ann", 1, filters));
        rig->store.submit(rig->store.self, store_rig_forget(DM_STORE_FORGET_SESSION, 2, 0));
        rig->store.submit(rig->store.self, store_rig_save("ann", 2, filters));
    }
    for (uint32_t i = 0; i < 3 * TIMES; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, DM_OK);
        const enum dm_store_kind kinds[] = {DM_STORE_SAVE_USER, DM_STORE_FORGET_SESSION,
                                            DM_STORE_SAVE_USER};
        assert_int_equal(op->kind, kinds[i % 3]);
        if (op->kind == DM_STORE_SAVE_USER) {
            snprintf(filters, sizeof filters, "[%u]", i / 3);
            expect_text(op, op->sessions[0].filters, filters);
        }
        dm_store_op_destroy(op);
    }
    struct dm_store_op *op = load(rig, "ann");
    assert_int_equal(op->session_count, 2);
    expect_text(op, op->sessions[0].filters, "[299]");
    expect_text(op, op->sessions[1].filters, "[299]");
    dm_store_op_destroy(op);
}

static void a_read_sees_what_had_come_back(void **state)
{
    struct store_rig *rig = *state;
    char filters[16];
    for (uint32_t i = 0; i < 300; i++) {
        snprintf(filters, sizeof filters, "[%u]", i);
        assert_int_equal(store_rig_finish(rig, store_rig_save("ann", 1, filters)), DM_OK);
        struct dm_store_op *op = load(rig, "ann");
        assert_int_equal(op->session_count, 1);
        expect_text(op, op->sessions[0].filters, filters);
        dm_store_op_destroy(op);
    }
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_READS), 300);
}

static void several_readers_share_the_loads(void **state)
{
    struct store_rig *rig = *state;
    enum { LOADS = 400 };
    save_two_users(rig);
    dm_database_close(&rig->database);
    rig->readers = 4;
    assert_int_equal(store_rig_open(rig), DM_OK);
    save_two_users(rig);
    for (int i = 0; i < LOADS; i++)
        rig->store.submit(rig->store.self, store_rig_load(i % 2 ? "ann" : "bob"));
    for (int i = 0; i < LOADS; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, DM_OK);
        assert_int_equal(op->session_count, op->text.bytes[0] == 'a' ? 2 : 1);
        dm_store_op_destroy(op);
    }
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_READS), LOADS);
}

static void an_operation_that_fails_fails_alone(void **state)
{
    struct store_rig *rig = *state;
    struct dm_store_op *bad = store_rig_save("ann", 2, "[]");
    add_session(bad, 3, ""); /* refused by the table, after session 2 went in */
    struct dm_store_op *bad_too = store_rig_save("", 4, "[]");
    rig->store.submit(rig->store.self, store_rig_save("ann", 1, "[]"));
    rig->store.submit(rig->store.self, bad);
    rig->store.submit(rig->store.self, bad_too);
    rig->store.submit(rig->store.self, store_rig_save("ann", 5, "[]"));
    for (int i = 0; i < 4; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, op == bad || op == bad_too ? DM_ERR_UNAVAILABLE : DM_OK);
        dm_store_op_destroy(op);
    }
    assert_true(dm_database_ready(rig->database));
    struct dm_store_op *op = load(rig, "ann");
    assert_int_equal(op->session_count, 2);
    expect_id(&op->sessions[0].id, 1);
    expect_id(&op->sessions[1].id, 5);
    dm_store_op_destroy(op);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_OPERATION_FAILURES), 2);
    assert_int_equal(store_rig_metric(rig, DM_METRIC_STORE_OPERATIONS), 2);
}

static void closing_finishes_what_is_queued(void **state)
{
    struct store_rig *rig = *state;
    enum { MANY = 3000 };
    for (uint32_t i = 0; i < MANY; i++)
        rig->store.submit(rig->store.self, store_rig_save("ann", i, "[]"));
    rig->store.submit(rig->store.self, store_rig_load("ann"));
    dm_database_close(&rig->database);
    for (uint32_t i = 0; i <= MANY; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, DM_OK);
        dm_store_op_destroy(op);
    }
    char log[128];
    struct stat file;
    snprintf(log, sizeof log, "%s-wal", rig->path);
    assert_int_not_equal(stat(log, &file), 0); /* all of it is in the database */
    assert_int_equal(stat(rig->path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
}

static void many_operations_share_a_commit(void **state)
{
    struct fault_vfs faults;
    (void)state;
    fault_vfs_install(&faults);
    struct store_rig rig;
    store_rig_init(&rig);
    assert_int_equal(store_rig_open(&rig), DM_OK);
    atomic_store(&faults.hold_log_sync, true);
    rig.store.submit(rig.store.self, store_rig_save("ann", 0, "[]"));
    while (atomic_load(&faults.log_held) == 0)
        ;
    for (uint32_t i = 1; i <= 500; i++) /* gathers while the first is being synced */
        rig.store.submit(rig.store.self, store_rig_save("ann", i, "[]"));
    unsigned syncs = atomic_load(&faults.log_syncs);
    atomic_store(&faults.hold_log_sync, false);
    for (uint32_t i = 0; i <= 500; i++)
        dm_store_op_destroy(store_rig_take(&rig));
    assert_int_equal(atomic_load(&faults.log_syncs) - syncs, 2);
    assert_int_equal(store_rig_metric(&rig, DM_METRIC_STORE_COMMITS), 2);
    assert_int_equal(store_rig_metric(&rig, DM_METRIC_STORE_OPERATIONS), 501);
    assert_int_equal(atomic_load(&rig.written.commit_rows.sum), 501);
    store_rig_dispose(&rig);
    fault_vfs_remove(&faults);
}

static void a_save_is_synced_before_it_comes_back(void **state)
{
    struct fault_vfs faults;
    (void)state;
    fault_vfs_install(&faults);
    for (int process_only = 0; process_only <= 1; process_only++) {
        struct store_rig rig;
        store_rig_init(&rig);
        rig.process_only = process_only;
        assert_int_equal(store_rig_open(&rig), DM_OK);
        for (uint32_t i = 0; i < 20; i++) {
            unsigned before = atomic_load(&faults.log_syncs);
            assert_int_equal(store_rig_finish(&rig, store_rig_save("ann", i, "[]")), DM_OK);
            assert_int_equal(atomic_load(&faults.log_syncs) > before, !process_only);
        }
        store_rig_dispose(&rig);
    }
    fault_vfs_remove(&faults);
}

static void a_helper_copies_the_log(void **state)
{
    struct store_rig *rig = *state;
    static char filters[16 * 1024];
    for (uint32_t i = 0; i < 400; i++) { /* about 8 MB: too little for the writer to do it */
        memset(filters, 'a' + (int)(i % 26), sizeof filters - 1);
        assert_int_equal(store_rig_finish(rig, store_rig_save("ann", i % 50, filters)), DM_OK);
    }
    for (int i = 0; i < 500 && store_rig_metric(rig, DM_METRIC_STORE_CHECKPOINTS) == 0; i++)
        usleep(10000);
    assert_in_range(store_rig_metric(rig, DM_METRIC_STORE_CHECKPOINTS), 1, 3);
}

static void the_log_starts_over(void **state)
{
    struct store_rig *rig = *state;
    static char filters[16 * 1024];
    uint64_t most = 0;
    for (uint32_t i = 0; i < 6000; i++) {                         /* about 100 MB through the log */
        memset(filters, 'a' + (int)(i % 26), sizeof filters - 1); /* what is equal is not written */
        rig->store.submit(rig->store.self, store_rig_save("ann", i % 50, filters));
        if (i < 64)
            continue;
        dm_store_op_destroy(store_rig_take(rig));
        uint64_t now = store_rig_metric(rig, DM_METRIC_STORE_WAL_BYTES);
        most = now > most ? now : most;
    }
    for (uint32_t i = 0; i < 64; i++)
        dm_store_op_destroy(store_rig_take(rig));
    assert_in_range(most, 1024 * 1024, 36 * 1024 * 1024);
    assert_in_range(store_rig_metric(rig, DM_METRIC_STORE_CHECKPOINTS), 3, 1000);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, store_rig_setup, store_rig_teardown)

DM_UNIT_MAIN(RIGGED(loads_what_was_saved), RIGGED(saves_again_over_what_was),
             RIGGED(forgets_what_it_is_told_to), RIGGED(keeps_text_as_it_is),
             RIGGED(keeps_a_large_user_whole), RIGGED(writes_in_the_order_of_submission),
             RIGGED(a_read_sees_what_had_come_back), RIGGED(several_readers_share_the_loads),
             RIGGED(an_operation_that_fails_fails_alone), RIGGED(closing_finishes_what_is_queued),
             cmocka_unit_test(many_operations_share_a_commit),
             cmocka_unit_test(a_save_is_synced_before_it_comes_back),
             RIGGED(a_helper_copies_the_log), RIGGED(the_log_starts_over))
