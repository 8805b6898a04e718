/* Opening: what is refused and in which words, migrations, the sweep, and the schema file. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/store_rig.h"
#include "lib/unit.h"
#include "store/migrate_priv.h"

static int setup_closed(void **state)
{
    assert_int_equal(store_rig_setup(state), 0);
    dm_database_close(&((struct store_rig *)*state)->database);
    return 0;
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int append_row(void *out, int columns, char **values, char **names)
{
    (void)names;
    for (int i = 0; i < columns; i++)
        dm_buf_printf(out, "%s|", values[i] ? values[i] : "NULL");
    dm_buf_add_byte(out, '\n');
    return 0;
}

static void read_sql(const char *path, const char *sql, struct dm_buf *out)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, append_row, out, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void expect_sql(const char *path, const char *sql, const char *expected)
{
    struct dm_buf out = DM_BUF_INIT;
    read_sql(path, sql, &out);
    assert_string_equal(dm_buf_text(&out), expected);
    dm_buf_dispose(&out);
}

static void expect_refusal(struct store_rig *rig, int err, const char *word)
{
    assert_int_equal(store_rig_open(rig), err);
    assert_null(rig->database);
    const char *why = dm_buf_text(&rig->why);
    if (!strstr(why, word))
        fail_msg("\"%s\" says nothing of \"%s\"", why, word);
    assert_non_null(strstr(why, rig->path)); /* which file, too */
}

static void refuses_a_newer_version(void **state)
{
    struct store_rig *rig = *state;
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", dm_migration_count + 1);
    run_sql(rig->path, sql);
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "newer");
}

static void refuses_another_applications_file(void **state)
{
    struct store_rig *rig = *state;
    unlink(rig->path);
    run_sql(rig->path, "CREATE TABLE theirs (x)");
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "another application");
    expect_sql(rig->path, "PRAGMA journal_mode", "delete|\n"); /* left as it was */
    run_sql(rig->path, "PRAGMA application_id = 77; DROP TABLE theirs");
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "another application");
}

static void refuses_what_is_no_database(void **state)
{
    struct store_rig *rig = *state;
    FILE *file = fopen(rig->path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "not a database");
    unlink(rig->path);
    assert_int_equal(mkdir(rig->path, 0700), 0);
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "is not a file");
    rmdir(rig->path);
}

static void refuses_a_missing_folder(void **state)
{
    struct store_rig *rig = *state;
    snprintf(rig->path, sizeof rig->path, "%s/not/there.db", rig->folder);
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "folder of the database does not exist");
}

static void refuses_what_it_cannot_write(void **state)
{
    struct store_rig *rig = *state;
    if (geteuid() == 0) { /* root may write anywhere but here */
        snprintf(rig->path, sizeof rig->path, "/sys/dormouse.db");
        expect_refusal(rig, DM_ERR_UNAVAILABLE, "cannot be created");
        return;
    }
    chmod(rig->path, 0400);
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "read-only");
    unlink(rig->path);
    chmod(rig->folder, 0500);
    expect_refusal(rig, DM_ERR_UNAVAILABLE, "cannot be created");
    chmod(rig->folder, 0700);
}

/* In a process of its own: opens the database, says so, and serves until it is told to end. */
static pid_t serve_elsewhere(struct store_rig *rig, int *stop)
{
    int ready[2], end[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t child = fork();
    if (child == 0) {
        close(end[1]);
        bool good = store_rig_open(rig) == DM_OK && write(ready[1], "r", 1) == 1 &&
                    read(end[0], &byte, 1) == 0;
        dm_database_close(&rig->database);
        _exit(good ? 0 : 1);
    }
    close(ready[1]);
    close(end[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *stop = end[1];
    return child;
}

static void refuses_what_another_process_serves(void **state)
{
    struct store_rig *rig = *state;
    int stop, status;
    pid_t child = serve_elsewhere(rig, &stop);
    char pid[32], path[96];
    snprintf(pid, sizeof pid, "(pid %d)", child);
    expect_refusal(rig, DM_ERR_CONFLICT, "another process serves this database");
    expect_refusal(rig, DM_ERR_CONFLICT, pid);

    memcpy(path, rig->path, sizeof path); /* by another name it is still the same file */
    snprintf(rig->path, sizeof rig->path, "%s/link.db", rig->folder);
    assert_int_equal(symlink(path, rig->path), 0);
    expect_refusal(rig, DM_ERR_CONFLICT, "another process");
    memcpy(rig->path, path, sizeof path);

    close(stop);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(store_rig_open(rig), DM_OK);
}

static void sweeps_sessions_that_cannot_come_back(void **state)
{
    struct store_rig *rig = *state;
    run_sql(rig->path, "INSERT INTO session (id, slot, user_id, dialect, filters) VALUES "
                       "(zeroblob(16), 7, 'ann', 'hopeflow', '[]');"
                       "INSERT INTO pending_ack VALUES (zeroblob(16), zeroblob(16));");
    expect_sql(rig->path, "SELECT (SELECT count(*) FROM session), count(*) FROM pending_ack",
               "1|1|\n");
    assert_int_equal(store_rig_open(rig), DM_OK);
    struct dm_store_op *op = store_rig_load("ann");
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->session_count, 0);
    dm_store_op_destroy(op);
    dm_database_close(&rig->database);
    expect_sql(rig->path, "SELECT (SELECT count(*) FROM session), count(*) FROM pending_ack",
               "0|0|\n");
}

static void files_are_the_owners_alone(void **state)
{
    struct store_rig *rig = *state;
    dm_database_close(&rig->database);
    unlink(rig->path);
    mode_t before = umask(0);
    assert_int_equal(store_rig_open(rig), DM_OK);
    umask(before);
    assert_int_equal(store_rig_finish(rig, store_rig_save("ann", 1, "[]")), DM_OK);
    const char *endings[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < DM_COUNT(endings); i++) {
        char path[128];
        struct stat file;
        snprintf(path, sizeof path, "%s%s", rig->path, endings[i]);
        assert_int_equal(stat(path, &file), 0);
        assert_int_equal(file.st_mode & 0777, 0600);
    }
}

static char *read_file(const char *path)
{
    struct dm_buf text = DM_BUF_INIT;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int byte; (byte = getc(file)) != EOF;)
        dm_buf_add_byte(&text, (char)byte);
    fclose(file);
    (void)dm_buf_text(&text);
    return text.bytes;
}

static void describe(const char *path, struct dm_buf *out)
{
    read_sql(path,
             "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name;"
             "PRAGMA application_id; PRAGMA user_version",
             out);
}

static void migrations_arrive_at_the_schema(void **state)
{
    struct store_rig *rig = *state;
    struct dm_buf arrived = DM_BUF_INIT, written = DM_BUF_INIT;
    char *schema = read_file(DM_SOURCE_DIR "/schema/schema.sql"), other[128];
    snprintf(other, sizeof other, "%s/schema.db", rig->folder);
    run_sql(other, schema);
    describe(other, &written);
    describe(rig->path, &arrived);
    assert_string_equal(dm_buf_text(&arrived), dm_buf_text(&written));
    assert_non_null(strstr(dm_buf_text(&arrived), "table|session|session|CREATE TABLE session"));
    free(schema);
    dm_buf_dispose(&arrived);
    dm_buf_dispose(&written);
}

static int migrate(const char *path, const struct dm_migration *migrations, int count)
{
    struct dm_connection connection;
    struct dm_connection_settings settings = {path, true, DM_CONNECTION_WRITER};
    struct dm_buf why = DM_BUF_INIT;
    assert_int_equal(dm_connection_open(&connection, &settings, &why), SQLITE_OK);
    int err = dm_migrate(&connection, migrations, count, &why);
    if (err != DM_OK)
        assert_non_null(strstr(dm_buf_text(&why), "0002_broken"));
    dm_connection_close(&connection);
    dm_buf_dispose(&why);
    return err;
}

static void a_migration_is_all_or_nothing(void **state)
{
    struct store_rig *rig = *state;
    struct dm_migration migrations[] = {
        {"0001_first", "CREATE TABLE first (x); INSERT INTO first VALUES (1)"},
        {"0002_broken", "CREATE TABLE second (y); UPDATE first SET x = 2; INSERT INTO nowhere"},
        {"0003_third", "CREATE TABLE third (z)"},
    };
    unlink(rig->path);
    close(open(rig->path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(migrate(rig->path, migrations, 3), DM_ERR_UNAVAILABLE);
    expect_sql(rig->path, "PRAGMA user_version; SELECT x FROM first", "1|\n1|\n");
    expect_sql(rig->path, "SELECT count(*) FROM sqlite_schema", "1|\n");

    migrations[1].sql = "UPDATE first SET x = 3";
    assert_int_equal(migrate(rig->path, migrations, 3), DM_OK);
    expect_sql(rig->path, "PRAGMA user_version; SELECT x FROM first", "3|\n3|\n");
    assert_int_equal(migrate(rig->path, migrations, 3), DM_OK); /* nothing is left to do */
}

static void what_was_owed_before_channels_is_owed_after(void **state)
{
    struct store_rig *rig = *state;
    unlink(rig->path);
    close(open(rig->path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(migrate(rig->path, dm_migrations, 4), DM_OK);
    run_sql(rig->path, "INSERT INTO publish (number, envelope_id, principal, deadline, owed_until,"
                       " expires_at) VALUES (7, zeroblob(16), 'key:a', 1, 9, 9);"
                       "INSERT INTO owed_envelope VALUES (7, 5, 't', '[1]'), (8, 6, 'u', NULL);"
                       "INSERT INTO target VALUES ('ann', 7, 1)");
    assert_int_equal(store_rig_open(rig), DM_OK);
    dm_database_close(&rig->database);
    expect_sql(rig->path, "SELECT * FROM owed_envelope", "7|5|t|[1]|NULL|\n8|6|u|NULL|NULL|\n");
    expect_sql(rig->path, "SELECT * FROM target; SELECT * FROM owed_count", "ann|7|1|\nann|1|\n");
}

#define CLOSED(test) cmocka_unit_test_setup_teardown(test, setup_closed, store_rig_teardown)

DM_UNIT_MAIN(CLOSED(refuses_a_newer_version), CLOSED(refuses_another_applications_file),
             CLOSED(refuses_what_is_no_database), CLOSED(refuses_a_missing_folder),
             CLOSED(refuses_what_it_cannot_write), CLOSED(refuses_what_another_process_serves),
             CLOSED(sweeps_sessions_that_cannot_come_back), CLOSED(files_are_the_owners_alone),
             CLOSED(migrations_arrive_at_the_schema), CLOSED(a_migration_is_all_or_nothing),
             CLOSED(what_was_owed_before_channels_is_owed_after))
