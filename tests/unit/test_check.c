/* `check` finds each damage that is planted and nothing else; `inspect` counts. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/store_rig.h"
#include "lib/unit.h"
#include "ports/store_channel.h"
#include "store/check.h"
#include "store/inspect.h"
#include "store/migrate_priv.h"

static bool hopeflow_only(struct dm_slice name)
{
    return dm_slice_eq(name, DM_SLICE("hopeflow"));
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void add_pending(struct dm_store_op *op, uint32_t envelope, uint32_t session)
{
    struct dm_uuid envelope_id = store_rig_id(envelope), session_id = store_rig_id(session);
    dm_store_op_add_pending(op, &envelope_id, &session_id);
}

static void join(struct store_rig *rig, const char *channel)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_JOIN_CHANNEL, 0, NULL);
    op->user_id = dm_store_op_add_text(op, DM_SLICE("ann"));
    dm_store_op_channel(op)->name = dm_store_op_add_text(op, dm_slice_of(channel));
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
}

/* Two users, three sessions, three acks; two channels, of which the first user is a member. */
static int setup(void **state)
{
    assert_int_equal(store_rig_setup(state), 0);
    struct store_rig *rig = *state;
    struct dm_store_op *op = store_rig_save("ann", 1, "[{\"type\":\"a\"}]");
    add_pending(op, 90, 1);
    add_pending(op, 91, 1);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    assert_int_equal(store_rig_finish(rig, store_rig_save("ann", 2, "[]")), DM_OK);
    op = store_rig_save("b\xc3\xb6"
                        "b",
                        3, "[{\"type\":\"b\",\"k\":\"v\"}]");
    add_pending(op, 90, 3);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    join(rig, "c");
    join(rig, "private-d");
    return 0;
}

static uint64_t check(struct store_rig *rig, struct dm_buf *findings)
{
    struct dm_check_options options = {rig->path, hopeflow_only};
    struct dm_buf why = DM_BUF_INIT;
    uint64_t count = 77;
    dm_buf_clear(findings);
    if (dm_check_database(&options, findings, &count, &why) != DM_OK)
        fail_msg("%s", dm_buf_text(&why));
    dm_buf_dispose(&why);
    return count;
}

static void expect_sound(struct store_rig *rig)
{
    struct dm_buf findings = DM_BUF_INIT;
    if (check(rig, &findings) != 0 || findings.len)
        fail_msg("%s", dm_buf_text(&findings));
    dm_buf_dispose(&findings);
}

static void what_the_store_writes_is_sound(void **state)
{
    struct store_rig *rig = *state;
    expect_sound(rig); /* while it serves */
    assert_int_equal(store_rig_finish(rig, store_rig_forget(DM_STORE_FORGET_SESSION, 1, 0)), DM_OK);
    expect_sound(rig);
    dm_database_close(&rig->database);
    expect_sound(rig);
}

#define ID "x'01000000000000000000000000000009'"
#define ID_TEXT "01000000-0000-0000-0000-000000000009"

#define PUBLISH                                                                                    \
    "INSERT INTO publish (number, envelope_id, principal, deadline, expires_at)"                   \
    " VALUES (7, " ID ", 'key:a', 1, 2); INSERT INTO ack_tally (publish, asked_at) VALUES (7, 1);"

static const struct {
    const char *sql, *finding, *undo;
} planted[] = {
    {"INSERT INTO pending_ack VALUES (" ID ", " ID ")",
     "pending_ack_session: pending_ack of envelope " ID_TEXT " by session " ID_TEXT
     ", which has no row\n",
     "DELETE FROM pending_ack WHERE session_id = " ID},
    {"UPDATE session SET slot = (slot + 1) % 4096 WHERE user_id = 'ann' AND filters = '[]'",
     "session_slot: session 01000000-0000-0000-0000-000000000002 has ",
     "UPDATE session SET slot = (slot + 4095) % 4096 WHERE user_id = 'ann' AND filters = '[]'"},
    {"INSERT INTO session (id, slot, user_id, dialect, filters) VALUES (" ID
     ", 1208, 'ann', 'kling\x1b[31mon', '[]')",
     "session_dialect: session " ID_TEXT " has 'kling?[31mon'\n",
     "DELETE FROM session WHERE id = " ID},
    {"INSERT INTO session (id, slot, user_id, dialect, filters) VALUES (" ID
     ", 1208, 'ann', 'hopeflow', '[{\"type\":}]')",
     "session_filters: session " ID_TEXT "\n", "DELETE FROM session WHERE id = " ID},
    {"INSERT INTO session (id, slot, user_id, dialect, filters) VALUES (" ID
     ", 1208, 'ann', 'hopeflow', '{}')",
     "session_filters: session " ID_TEXT "\n", "DELETE FROM session WHERE id = " ID},
    {"UPDATE session SET attachment = '{' WHERE filters = '[]'",
     "session_attachment: session 01000000-0000-0000-0000-000000000002\n",
     "UPDATE session SET attachment = NULL"},
    {"UPDATE session SET user_id = '..' WHERE filters = '[]'",
     "session_user: session 01000000-0000-0000-0000-000000000002\n", NULL},
    {"PRAGMA ignore_check_constraints = ON; INSERT INTO session (id, slot, user_id, dialect, "
     "filters) VALUES"
     " (x'FF', 1208, 'ann', 'hopeflow', '[]')",
     "integrity: CHECK constraint failed in session\n", "DELETE FROM session WHERE id = x'FF'"},
    {"INSERT INTO target VALUES ('ann', 7, 0)", "target_publish: target of publish 7\n",
     "DELETE FROM target"},
    {PUBLISH "INSERT INTO target VALUES ('.', 7, 0)", "target_user: target of publish 7\n",
     "DELETE FROM target"},
    {PUBLISH "INSERT INTO target VALUES ('ann', 7, 1)", "target_owed: target of publish 7\n",
     "DELETE FROM target"},
    {PUBLISH "UPDATE publish SET owed_until = 9", "publish_debt: publish 7\n",
     "UPDATE publish SET owed_until = NULL"},
    {PUBLISH "INSERT INTO owed_envelope VALUES (7, 1, 't', '1', NULL)",
     "owed_envelope_debt: envelope of publish 7\n", "DELETE FROM owed_envelope"},
    {PUBLISH "UPDATE publish SET owed_until = 9; INSERT INTO target VALUES ('ann', 7, 1);"
             "INSERT INTO owed_envelope VALUES (7, 1, 't', '{', 'c')",
     "owed_envelope_payload: envelope of publish 7\n", "UPDATE owed_envelope SET payload = '{}'"},
    {PUBLISH "UPDATE publish SET owed_until = 9; INSERT INTO target VALUES ('ann', 7, 1);"
             "INSERT INTO owed_envelope VALUES (7, 1, 't', NULL, 'Private-c')",
     "owed_envelope_channel: envelope of publish 7\n",
     "UPDATE owed_envelope SET channel = 'private-c'"},
    {"UPDATE member SET channel = '..' WHERE channel = 'c'", "member_channel: member 616E6E\n",
     "UPDATE member SET channel = 'c' WHERE channel = '..'"},
    {"UPDATE member SET user_id = '.' WHERE channel = 'c'", "member_user: member of 63\n",
     "DELETE FROM member WHERE channel = 'c'"},
    {"UPDATE member SET slot = (slot + 1) % 4096 WHERE channel = 'c'",
     "member_slot: member 616E6E has ",
     "UPDATE member SET slot = (slot + 4095) % 4096 WHERE channel = 'c'"},
    {PUBLISH "DELETE FROM ack_tally", "publish_tally: publish 7\n",
     "INSERT INTO ack_tally (publish, asked_at) VALUES (7, 1)"},
    {"INSERT INTO ack_tally (publish, asked_at) VALUES (7, 1)",
     "ack_tally_publish: tally of publish 7\n", "DELETE FROM ack_tally"},
    {"INSERT INTO owed_count VALUES ('ann', 1)", "owed_count: user 616E6E\n",
     "DELETE FROM owed_count"},
    {"INSERT INTO ack_result VALUES (1, 7, " ID ", 'null')",
     "ack_result_publish: ack of publish 7\n", "DELETE FROM ack_result"},
    {PUBLISH "INSERT INTO ack_result VALUES (1, 7, " ID ", 'nil')",
     "ack_result_value: ack of publish 7 by session " ID_TEXT "\n", "DELETE FROM ack_result"},
    {"DROP INDEX session_by_user", "schema_missing: index session_by_user\n",
     "CREATE INDEX session_by_user ON session (user_id)"},
    {"DROP INDEX session_by_user; CREATE INDEX session_by_user ON session (user_id, slot)",
     "schema_differs: index session_by_user\n", NULL},
    {"CREATE TRIGGER t AFTER DELETE ON session BEGIN DELETE FROM pending_ack; END",
     "schema_surplus: trigger t\n", "DROP TRIGGER t"},
};

static void it_finds_what_is_planted(void **state)
{
    struct dm_buf findings = DM_BUF_INIT;
    for (size_t i = 0; i < DM_COUNT(planted); i++) {
        store_rig_teardown(state);
        assert_int_equal(setup(state), 0);
        struct store_rig *rig = *state;
        run_sql(rig->path, planted[i].sql);
        if (check(rig, &findings) == 0 || !strstr(dm_buf_text(&findings), planted[i].finding))
            fail_msg("%s: found only\n%s", planted[i].sql, dm_buf_text(&findings));
        if (planted[i].undo) {
            run_sql(rig->path, planted[i].undo);
            expect_sound(rig);
        }
    }
    dm_buf_dispose(&findings);
}

static void it_shows_some_and_counts_all(void **state)
{
    struct store_rig *rig = *state;
    struct dm_buf findings = DM_BUF_INIT;
    run_sql(rig->path, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)"
                       " INSERT INTO pending_ack SELECT randomblob(16), " ID " FROM n");
    assert_int_equal(check(rig, &findings), 500);
    assert_non_null(strstr(dm_buf_text(&findings), "pending_ack_session: and 480 more\n"));
    size_t lines = 0;
    for (size_t i = 0; i < findings.len; i++)
        lines += findings.bytes[i] == '\n';
    assert_int_equal(lines, DM_CHECK_SHOWN + 1);
    dm_buf_dispose(&findings);
}

/* The last page of the file, which some tree has for a leaf, is no page any more. */
static void it_finds_a_corrupt_page(void **state)
{
    struct store_rig *rig = *state;
    struct dm_buf findings = DM_BUF_INIT;
    char junk[4096];
    memset(junk, 0xa5, sizeof junk);
    for (uint32_t i = 0; i < 500; i++)
        assert_int_equal(store_rig_finish(rig, store_rig_save("ann", 100 + i, "[]")), DM_OK);
    dm_database_close(&rig->database);
    int fd = open(rig->path, O_WRONLY);
    off_t end = lseek(fd, 0, SEEK_END);
    assert_int_equal(pwrite(fd, junk, sizeof junk, end - (off_t)sizeof junk), sizeof junk);
    close(fd);
    assert_true(check(rig, &findings) > 0);
    assert_non_null(strstr(dm_buf_text(&findings), "integrity: "));
    dm_buf_dispose(&findings);
}

static void expect_refusal(struct store_rig *rig, const char *word)
{
    struct dm_check_options options = {rig->path, hopeflow_only};
    struct dm_buf findings = DM_BUF_INIT, why = DM_BUF_INIT;
    struct dm_inspection found;
    uint64_t count;
    assert_int_equal(dm_check_database(&options, &findings, &count, &why), DM_ERR_UNAVAILABLE);
    assert_int_equal(count, 0);
    assert_int_equal(findings.len, 0);
    if (!strstr(dm_buf_text(&why), word) || !strstr(why.bytes, rig->path))
        fail_msg("\"%s\" says nothing of \"%s\"", why.bytes, word);
    dm_buf_clear(&why);
    assert_int_equal(dm_inspect(rig->path, &found, &why), DM_ERR_UNAVAILABLE);
    if (!strstr(dm_buf_text(&why), word) || !strstr(why.bytes, rig->path))
        fail_msg("\"%s\" says nothing of \"%s\"", why.bytes, word);
    dm_buf_dispose(&why);
    dm_buf_dispose(&findings);
}

static void they_refuse_what_they_do_not_know(void **state)
{
    struct store_rig *rig = *state;
    char sql[64];
    dm_database_close(&rig->database);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", dm_migration_count + 1);
    run_sql(rig->path, sql);
    expect_refusal(rig, "newer dormouse");
    run_sql(rig->path, "PRAGMA user_version = 0");
    expect_refusal(rig, "is empty");
    run_sql(rig->path, "PRAGMA application_id = 5");
    expect_refusal(rig, "another application");
    FILE *file = fopen(rig->path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    expect_refusal(rig, "not a database");
    unlink(rig->path);
    expect_refusal(rig, "there is no such database");
    assert_int_equal(access(rig->path, F_OK), -1); /* and made none */
    snprintf(rig->path, sizeof rig->path, "%s", rig->folder);
    expect_refusal(rig, "is not a file");
}

static void inspect_counts(void **state)
{
    struct store_rig *rig = *state;
    struct dm_inspection found;
    struct dm_buf why = DM_BUF_INIT;
    for (int served = 1; served >= 0; served--) {
        assert_int_equal(dm_inspect(rig->path, &found, &why), DM_OK);
        assert_int_equal(found.version, dm_migration_count);
        assert_int_equal(found.users, 2);
        assert_int_equal(found.sessions, 3);
        assert_int_equal(found.pending_acks, 3);
        assert_int_equal(found.channels, 2);
        assert_int_equal(found.members, 2);
        assert_true(found.bytes >= 4096 && found.bytes % 4096 == 0);
        assert_true(found.free_bytes < found.bytes);
        assert_int_equal(found.log_bytes != 0, served);
        dm_database_close(&rig->database);
    }
    dm_buf_dispose(&why);
}

#define CHECKED(test) cmocka_unit_test_setup_teardown(test, setup, store_rig_teardown)

DM_UNIT_MAIN(CHECKED(what_the_store_writes_is_sound), CHECKED(it_finds_what_is_planted),
             CHECKED(it_shows_some_and_counts_all), CHECKED(it_finds_a_corrupt_page),
             CHECKED(they_refuse_what_they_do_not_know), CHECKED(inspect_counts))
