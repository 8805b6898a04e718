/* Backups beside a store that writes: of one moment, whole or not there, and the log bounded. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib/fault_vfs.h"
#include "lib/store_rig.h"
#include "lib/unit.h"
#include "store/backup.h"

enum { ROWS = 300, ROW_BYTES = 16 * 1024, MIB = 1024 * 1024 };

struct fixture {
    struct fault_vfs faults;
    struct store_rig rig;
    char file[128], partial[160];
    struct dm_buf why;
    struct dm_backup_made made;
    uint32_t asked, stop_at; /* how often it asked to go on; when it may not */
    uint32_t writes;         /* of so many rows each time it asks */
};

static char *filters_of(char fill)
{
    static char filters[ROW_BYTES];
    memset(filters, fill, sizeof filters - 1);
    return filters;
}

static void save_rows(struct store_rig *rig, char fill, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        rig->store.submit(rig->store.self, store_rig_save("ann", first + i, filters_of(fill)));
    for (uint32_t i = 0; i < count; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, DM_OK);
        dm_store_op_destroy(op);
    }
}

static int setup(void **state)
{
    struct fixture *fixture = *state = DM_NEW(struct fixture);
    fault_vfs_install(&fixture->faults);
    store_rig_init(&fixture->rig);
    snprintf(fixture->file, sizeof fixture->file, "%s/copy.db", fixture->rig.folder);
    snprintf(fixture->partial, sizeof fixture->partial, "%s.partial", fixture->file);
    assert_int_equal(store_rig_open(&fixture->rig), DM_OK);
    save_rows(&fixture->rig, 'a', 0, ROWS);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    store_rig_dispose(&fixture->rig);
    fault_vfs_remove(&fixture->faults);
    dm_buf_dispose(&fixture->why);
    free(fixture);
    return 0;
}

/* Between two chunks of the copy: the store writes over rows and adds some. */
static bool between_chunks(void *self)
{
    struct fixture *fixture = self;
    char fill = (char)('b' + fixture->asked++ % 20); /* what stays as it was is not written */
    for (uint32_t i = 0; i < fixture->writes; i += 10) {
        save_rows(&fixture->rig, fill, i % ROWS, 5);
        save_rows(&fixture->rig, fill, ROWS + i, 5);
    }
    return fixture->asked == fixture->stop_at;
}

static int back_up(struct fixture *fixture, uint64_t log_max)
{
    struct dm_backup_options options = {fixture->rig.path, fixture->file, log_max, between_chunks,
                                        fixture};
    dm_buf_clear(&fixture->why);
    fixture->asked = 0;
    return dm_backup(&options, &fixture->made, &fixture->why);
}

static bool is_there(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void expect_refusal(struct fixture *fixture, int err, uint64_t log_max, const char *word)
{
    assert_int_equal(back_up(fixture, log_max), err);
    if (!strstr(dm_buf_text(&fixture->why), word))
        fail_msg("\"%s\" says nothing of \"%s\"", fixture->why.bytes, word);
}

static sqlite3_int64 number(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    sqlite3_int64 value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return value;
}

static void it_is_of_one_moment(void **state)
{
    struct fixture *fixture = *state;
    fixture->writes = 20;
    fixture->stop_at = 50; /* one that began anew with each change would never end */
    mode_t before = umask(0);
    assert_int_equal(back_up(fixture, 1024 * MIB), DM_OK);
    umask(before);
    assert_true(fixture->asked >= 4);
    assert_true(number(fixture->rig.path, "SELECT count(*) FROM session") > ROWS);
    assert_int_equal(number(fixture->file, "SELECT count(*) FROM session"), ROWS);
    assert_int_equal(
        number(fixture->file, "SELECT count(*) FROM session WHERE filters LIKE 'aaaa%'"), ROWS);
    assert_int_equal(number(fixture->file, "SELECT count(*) FROM pragma_integrity_check"
                                           " WHERE integrity_check = 'ok'"),
                     1);
    struct stat status;
    assert_int_equal(stat(fixture->file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal((uint64_t)status.st_size, fixture->made.bytes);
    assert_false(is_there(fixture->partial));
}

static void it_can_be_served(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    fixture->writes = 10;
    assert_int_equal(back_up(fixture, 1024 * MIB), DM_OK);
    dm_database_close(&rig->database);
    memcpy(rig->path, fixture->file, sizeof rig->path);
    assert_int_equal(store_rig_open(rig), DM_OK);
    assert_int_equal(store_rig_finish(rig, store_rig_save("bob", 1, "[]")), DM_OK);
}

/* The copy holds the log for as long as it lasts; beyond the bound it lets go, and the log then
 * starts over as if nothing had been. */
static void the_log_is_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct store_rig *rig = &fixture->rig;
    fixture->writes = 400; /* some 13 MB at every chunk */
    expect_refusal(fixture, DM_ERR_UNAVAILABLE, 20 * MIB, "its log grew to");
    assert_in_range(fixture->asked, 1, 3);
    assert_false(is_there(fixture->file));
    assert_false(is_there(fixture->partial));
    for (char fill = 'A'; fill < 'I'; fill++)
        save_rows(rig, fill, 0, ROWS);
    char log[128];
    struct stat status;
    snprintf(log, sizeof log, "%s-wal", rig->path);
    assert_int_equal(stat(log, &status), 0);
    assert_in_range(status.st_size, 0, 36 * MIB);
    assert_true(store_rig_metric(rig, DM_METRIC_STORE_WAL_BYTES) < 36 * MIB);
}

static void it_says_how_large_the_log_was(void **state)
{
    struct fixture *fixture = *state;
    fixture->writes = 100;
    assert_int_equal(back_up(fixture, 1024 * MIB), DM_OK);
    assert_in_range(fixture->made.log_bytes, 4 * 100 * ROW_BYTES, 100 * MIB);
}

static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "theirs", 6), 6);
    close(fd);
}

static void it_replaces_nothing(void **state)
{
    struct fixture *fixture = *state;
    static const char *const endings[] = {"", "-wal", "-journal"};
    for (size_t i = 0; i < DM_COUNT(endings); i++) {
        char path[160];
        struct stat status;
        snprintf(path, sizeof path, "%s%s", fixture->file, endings[i]);
        touch(path);
        expect_refusal(fixture, DM_ERR_CONFLICT, MIB, "is there already");
        assert_non_null(strstr(dm_buf_text(&fixture->why), path));
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_size, 6);
        unlink(path);
    }
    assert_int_equal(symlink("/nowhere", fixture->file), 0);
    expect_refusal(fixture, DM_ERR_CONFLICT, MIB, "is there already");
    unlink(fixture->file);
    assert_int_equal(symlink(fixture->rig.path, fixture->partial), 0);
    expect_refusal(fixture, DM_ERR_UNAVAILABLE, MIB, "cannot be created");
    assert_true(is_there(fixture->partial));
    unlink(fixture->partial);
    assert_int_equal(link(fixture->rig.path, fixture->partial), 0);
    expect_refusal(fixture, DM_ERR_CONFLICT, MIB, "is in the way");
    assert_true(is_there(fixture->partial));
    unlink(fixture->partial);
    assert_int_equal(number(fixture->rig.path, "SELECT count(*) FROM session"), ROWS);
}

/* Comes while the copy is made. */
static bool come_between(void *self)
{
    struct fixture *fixture = self;
    if (!is_there(fixture->file))
        touch(fixture->file);
    return false;
}

static void it_replaces_nothing_that_comes_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct dm_backup_options options = {fixture->rig.path, fixture->file, 1024 * MIB, come_between,
                                        fixture};
    assert_int_equal(dm_backup(&options, &fixture->made, &fixture->why), DM_ERR_CONFLICT);
    assert_false(is_there(fixture->partial));
    struct stat status;
    assert_int_equal(stat(fixture->file, &status), 0);
    assert_int_equal(status.st_size, 6);
}

static void it_says_what_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    struct dm_backup_options options = {fixture->rig.path, "/nowhere/copy.db", MIB, NULL, NULL};
    assert_int_equal(dm_backup(&options, &fixture->made, &fixture->why), DM_ERR_UNAVAILABLE);
    assert_non_null(strstr(dm_buf_text(&fixture->why), "its folder does not exist"));
    dm_buf_clear(&fixture->why);
    options = (struct dm_backup_options){"/nowhere/dormouse.db", fixture->file, MIB, NULL, NULL};
    assert_int_equal(dm_backup(&options, &fixture->made, &fixture->why), DM_ERR_UNAVAILABLE);
    assert_non_null(strstr(dm_buf_text(&fixture->why), "there is no such database"));
    assert_false(is_there(fixture->partial));
}

static void a_failure_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    fixture->stop_at = 2;
    expect_refusal(fixture, DM_ERR_UNAVAILABLE, 1024 * MIB, "given up, as asked");
    assert_false(is_there(fixture->file) || is_there(fixture->partial));
    fixture->stop_at = 0;
    atomic_store(&fixture->faults.base_write_error, SQLITE_FULL);
    expect_refusal(fixture, DM_ERR_UNAVAILABLE, 1024 * MIB, "disk is full");
    assert_false(is_there(fixture->file) || is_there(fixture->partial));
    atomic_store(&fixture->faults.base_write_error, 0);
    atomic_store(&fixture->faults.read_error, SQLITE_IOERR_READ);
    expect_refusal(fixture, DM_ERR_UNAVAILABLE, 1024 * MIB, "disk I/O error");
    assert_false(is_there(fixture->file) || is_there(fixture->partial));
    atomic_store(&fixture->faults.read_error, 0);
    assert_int_equal(back_up(fixture, 1024 * MIB), DM_OK);
}

static bool die(void *self)
{
    (void)self;
    raise(SIGKILL);
    return false;
}

/* Killed halfway, in a process of its own: no file that looks whole, and the next one succeeds. */
static void what_a_killed_one_left_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    int status;
    dm_database_close(&fixture->rig.database); /* a fork takes no threads along */
    pid_t child = fork();
    if (child == 0) {
        struct dm_backup_options options = {fixture->rig.path, fixture->file, MIB, die, NULL};
        _exit(dm_backup(&options, &fixture->made, &fixture->why) == DM_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_false(is_there(fixture->file));
    assert_true(is_there(fixture->partial));

    int other = open(fixture->partial, O_RDWR); /* as if it still ran */
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    expect_refusal(fixture, DM_ERR_CONFLICT, MIB, "another backup to this file is running");
    assert_true(is_there(fixture->partial));
    close(other);
    assert_int_equal(back_up(fixture, MIB), DM_OK); /* and with no server there */
    assert_int_equal(number(fixture->file, "SELECT count(*) FROM session"), ROWS);
}

#define BACKUP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

DM_UNIT_MAIN(BACKUP(it_is_of_one_moment), BACKUP(it_can_be_served), BACKUP(the_log_is_bounded),
             BACKUP(it_says_how_large_the_log_was), BACKUP(it_replaces_nothing),
             BACKUP(it_replaces_nothing_that_comes_meanwhile), BACKUP(it_says_what_is_not_there),
             BACKUP(a_failure_leaves_nothing), BACKUP(what_a_killed_one_left_is_taken_over))
