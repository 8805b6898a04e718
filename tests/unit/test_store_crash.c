/* kill -9 in the middle of a stream of saves: every save that had come back is there. */
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/store_rig.h"
#include "lib/unit.h"

enum { IN_FLIGHT = 32, ENOUGH = 2000 };

/* Saves session after session for ever, and writes each number that has come back to `out`. */
static void save_for_ever(struct store_rig *rig, int out)
{
    DM_CHECK(store_rig_open(rig) == DM_OK);
    for (uint32_t sent = 0, back = 0;; back++) {
        for (; sent < back + IN_FLIGHT; sent++) {
            struct dm_store_op *op = store_rig_save("ann", sent, "[]");
            struct dm_uuid session = store_rig_id(sent), envelope = store_rig_id(sent + 1);
            dm_store_op_add_pending(op, &envelope, &session);
            op->user = sent;
            rig->store.submit(rig->store.self, op);
        }
        struct dm_store_op *op = store_rig_take(rig);
        DM_CHECK(op->err == DM_OK);
        DM_CHECK(write(out, &op->user, sizeof op->user) == sizeof op->user);
        dm_store_op_destroy(op);
    }
}

/* Kills the child once it has told of `enough` numbers; how many it told of in all. */
static uint32_t kill_at(pid_t child, int in, uint32_t enough)
{
    uint32_t number, count = 0;
    while (read(in, &number, sizeof number) == sizeof number) {
        assert_int_equal(number, count);
        if (++count == enough)
            kill(child, SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return count;
}

/* With SQLite alone: opening it as the store would sweep the rows. */
static void expect_saved(const char *path, uint32_t count)
{
    sqlite3 *db;
    sqlite3_stmt *find;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT 1 FROM session JOIN pending_ack"
                                        " ON session_id = id WHERE id = ?1 AND envelope_id = ?2",
                                        -1, &find, NULL),
                     SQLITE_OK);
    for (uint32_t i = 0; i < count; i++) {
        struct dm_uuid session = store_rig_id(i), envelope = store_rig_id(i + 1);
        sqlite3_bind_blob(find, 1, session.bytes, sizeof session.bytes, SQLITE_STATIC);
        sqlite3_bind_blob(find, 2, envelope.bytes, sizeof envelope.bytes, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(find), SQLITE_ROW);
        sqlite3_reset(find);
    }
    sqlite3_finalize(find);
    sqlite3_close(db);
}

static void what_came_back_survives_a_kill(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 3; round++) {
        struct store_rig rig;
        int ends[2];
        store_rig_init(&rig);
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0)
            save_for_ever(&rig, ends[1]);
        close(ends[1]);
        uint32_t count = kill_at(child, ends[0], round * ENOUGH);
        close(ends[0]);
        assert_true(count >= round * ENOUGH);
        expect_saved(rig.path, count);
        assert_int_equal(store_rig_open(&rig), DM_OK); /* and it can be served again */
        assert_int_equal(store_rig_finish(&rig, store_rig_save("ann", 1, "[]")), DM_OK);
        store_rig_dispose(&rig);
    }
}

DM_UNIT_MAIN(cmocka_unit_test(what_came_back_survives_a_kill))
