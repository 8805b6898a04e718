/* Opening, asking, cutting and looking; what is remembered is in disk_sessions.c and
 * disk_publishes.c. */
#include "lib/disk_rig.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib/unit.h"
#include "store/check.h"

enum { IN_FLIGHT = 4, BURSTS = 6 };

uint32_t disk_below(struct disk *disk, uint32_t limit)
{
    disk->random = disk->random * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(disk->random >> 33) % limit;
}

unsigned disk_runs(void)
{
    const char *text = getenv("DM_DISK_RUNS");
    return text ? (unsigned)atoi(text) : 1;
}

void disk_forget_all(struct disk *disk)
{
    disk_sessions_forget(disk);
    disk_publishes_forget(disk);
}

/* --- doing --- */

static struct disk_deed choose(struct disk *disk)
{
    return disk_below(disk, 2) ? disk_sessions_choose(disk) : disk_publishes_choose(disk);
}

static struct dm_store_op *op_of(struct disk *disk, struct disk_deed *deed)
{
    return deed->kind == DEED_OF_PUBLISH ? disk_publishes_op(disk, deed)
                                         : disk_sessions_op(disk, deed);
}

static void believe(struct disk *disk, const struct disk_deed *deed, const struct dm_store_op *op)
{
    int err = op->err;
    assert_true(err == DM_OK || err == DM_ERR_COMMIT_UNKNOWN || err == DM_ERR_UNAVAILABLE);
    disk->ok += err == DM_OK;
    disk->unknown += err == DM_ERR_COMMIT_UNKNOWN;
    disk->unavailable += err == DM_ERR_UNAVAILABLE;
    if (deed->kind == DEED_OF_PUBLISH)
        disk_publishes_believe(disk, deed, op);
    else
        disk_sessions_believe(disk, deed, err);
}

static void do_some(struct disk *disk)
{
    struct store_rig *rig = &disk->rig;
    struct disk_deed deeds[IN_FLIGHT];
    uint32_t count = 1 + disk_below(disk, IN_FLIGHT);
    for (uint32_t i = 0; i < count; i++) {
        deeds[i] = choose(disk);
        rig->store.submit(rig->store.self, op_of(disk, &deeds[i]));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        believe(disk, &deeds[i], op);
        dm_store_op_destroy(op);
    }
}

static void copy_log(struct disk *disk)
{
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_RESTART,
                                SQLITE_CHECKPOINT_TRUNCATE};
    int mode = modes[disk_below(disk, DM_COUNT(modes))];
    sqlite3_wal_checkpoint_v2(disk->other, NULL, mode, NULL, NULL); /* it may well fail */
}

void disk_work(struct disk *disk)
{
    for (uint32_t i = 0; i < BURSTS; i++) {
        do_some(disk);
        if (disk_below(disk, 2) == 0)
            copy_log(disk);
    }
}

struct disk_deed disk_save(struct disk *disk, uint32_t item)
{
    return (struct disk_deed){.kind = SAVE, .item = item, .version = ++disk->version};
}

void disk_do(struct disk *disk, const struct disk_deed *deed, int expected)
{
    struct disk_deed its = *deed;
    struct dm_store_op *op = op_of(disk, &its);
    assert_int_equal(store_rig_do(&disk->rig, op), expected);
    believe(disk, &its, op);
    dm_store_op_destroy(op);
}

/* --- looking --- */

static void expect_text(sqlite3 *db, const char *sql, const char *is)
{
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(row, 0), is);
    sqlite3_finalize(row);
}

sqlite3 *disk_open_plain(struct disk *disk)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(disk->rig.path, &db, SQLITE_OPEN_READWRITE, "unix"), 0);
    expect_text(db, "PRAGMA integrity_check", "ok");
    return db;
}

static bool any_dialect(struct dm_slice name)
{
    return name.len > 0;
}

/* By what `dormouse check` looks for. */
static void expect_sound(struct disk *disk)
{
    struct dm_check_options options = {.database = disk->rig.path, .dialect_known = any_dialect};
    struct dm_buf findings = DM_BUF_INIT, why = DM_BUF_INIT;
    uint64_t count = 0;
    if (dm_check_database(&options, &findings, &count, &why) != DM_OK)
        fail_msg("%s", dm_buf_text(&why));
    if (count)
        fail_msg("%s", dm_buf_text(&findings));
    dm_buf_dispose(&findings);
    dm_buf_dispose(&why);
}

void disk_expect_loads(struct disk *disk)
{
    disk_sessions_expect_loads(disk);
    disk_publishes_expect_loads(disk);
    expect_sound(disk);
}

/* Sessions are swept when it opens again: of them it begins anew with nothing. */
void disk_expect_rows(struct disk *disk)
{
    struct disk_seen seen = {0};
    sqlite3 *db = disk_open_plain(disk);
    disk_sessions_see(db, &seen);
    disk_sessions_expect(disk, &seen);
    disk_publishes_expect(disk, db);
    expect_sound(disk);
    assert_int_equal(
        sqlite3_exec(db, "PRAGMA synchronous = OFF; DELETE FROM session; DELETE FROM pending_ack",
                     NULL, NULL, NULL),
        0);
    sqlite3_close(db);
    disk_sessions_forget(disk);
    disk_open(disk);
}

/* --- opening and closing --- */

void disk_open(struct disk *disk)
{
    if (store_rig_open(&disk->rig) != DM_OK)
        fail_msg("%s", dm_buf_text(&disk->rig.why));
    assert_int_equal(sqlite3_open(disk->rig.path, &disk->other), SQLITE_OK);
    expect_text(disk->other, "PRAGMA journal_mode", "wal"); /* it knows of the log from then on */
}

void disk_close(struct disk *disk)
{
    sqlite3_close(disk->other);
    disk->other = NULL;
    dm_database_close(&disk->rig.database);
}

int disk_setup(void **state)
{
    struct disk *disk = *state = DM_NEW(struct disk);
    const char *seed = getenv("DM_DISK_SEED");
    disk->random = seed ? strtoull(seed, NULL, 10) : 1;
    print_message("DM_DISK_SEED=%llu\n", (unsigned long long)disk->random);
    fault_vfs_install(&disk->faults);
    atomic_store(&disk->faults.no_real_syncs, true);
    store_rig_init(&disk->rig);
    disk_forget_all(disk);
    disk_open(disk);
    return 0;
}

int disk_teardown(void **state)
{
    struct disk *disk = *state;
    disk_close(disk);
    store_rig_dispose(&disk->rig);
    fault_vfs_remove(&disk->faults);
    free(disk);
    return 0;
}

void disk_await_recovery(struct disk *disk)
{
    for (int i = 0; i < 5000 && !dm_database_ready(disk->rig.database); i++)
        usleep(2000);
    assert_true(dm_database_ready(disk->rig.database));
}

void disk_cut_and_look(struct disk *disk)
{
    fault_vfs_cut(&disk->faults);
    disk_close(disk);
    fault_vfs_restore(&disk->faults);
    disk_expect_rows(disk);
}
