/*
 * The store on a disk that says that it has written or synced what it has not:
 * by itself (lies), or because a sync has failed before.
 */
#include <stdio.h>
#include <unistd.h>

#include "lib/disk_rig.h"
#include "lib/unit.h"

/* Fills more of the log than the store leaves there, so that its helper copies some. */
static void fill_log(struct disk *disk)
{
    static char filters[64 * 1024];
    memset(filters, 'x', sizeof filters - 1);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(store_rig_finish(&disk->rig, store_rig_save("fill", 5000 + i, filters)),
                         DM_OK);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(
            store_rig_finish(&disk->rig, store_rig_forget(DM_STORE_FORGET_SESSION, 5000 + i, 0)),
            DM_OK);
}

/*
 * After a sync that failed, the system calls pages clean that have not reached
 * the disk; no later sync writes them. Where all connections have been closed
 * since, the next one finds the commit of unknown outcome whole in the log, as
 * far as it can see, and what is written behind it would be lost with it.
 */
static void fail_a_sync(struct disk *disk)
{
    struct store_rig *rig = &disk->rig;
    sqlite3_close(disk->other);
    disk->other = NULL;
    atomic_store(&disk->faults.base_write_error, SQLITE_IOERR_WRITE);
    fill_log(disk); /* the helper's connection fails, and goes */
    atomic_store(&disk->faults.read_error, SQLITE_IOERR_READ);
    assert_int_equal(store_rig_finish(rig, store_rig_load("ann")), DM_ERR_UNAVAILABLE);
    atomic_store(&disk->faults.open_error, SQLITE_CANTOPEN); /* the reader's has gone, too */
    atomic_store(&disk->faults.read_error, 0);
    usleep(100000);
    struct fault_plan plan = {FAULT_FAIL, FAULT_SYNC, SHADOW_LOG, SQLITE_IOERR_FSYNC, 1, 1};
    struct disk_deed deed = disk_save(disk, 0);
    fault_vfs_shadow(&disk->faults, rig->path, 1, 0);
    fault_vfs_plan(&disk->faults, &plan);
    disk_do(disk, &deed, DM_ERR_COMMIT_UNKNOWN);
    assert_int_equal(fault_vfs_struck(&disk->faults), 1);
    assert_int_equal(disk->unknown, 1);
}

static void save_well_and_cut(struct disk *disk)
{
    for (uint32_t i = 1; i < ITEMS; i++) {
        struct disk_deed deed = disk_save(disk, i);
        disk_do(disk, &deed, DM_OK);
    }
    disk_cut_and_look(disk);
}

static void nothing_is_built_upon_a_failed_sync(void **state)
{
    struct disk *disk = *state;
    fail_a_sync(disk);
    atomic_store(&disk->faults.base_write_error, 0);
    atomic_store(&disk->faults.open_error, 0);
    disk_await_recovery(disk);
    save_well_and_cut(disk);
}

static void nor_by_the_next_process(void **state)
{
    struct disk *disk = *state;
    fail_a_sync(disk);
    dm_database_close(&disk->rig.database); /* as if killed: the log stays */
    atomic_store(&disk->faults.base_write_error, 0);
    atomic_store(&disk->faults.open_error, 0);
    disk->items[0].versions[disk->items[0].count++] = 0; /* the sweep may have it */
    disk_open(disk);
    save_well_and_cut(disk);
}

/* The other way round: where the syncs of the log lie, what was answered is gone after the cut.
 * That is the disk's doing, and shows that the cuts above are cuts. What is left is a beginning of
 * what was done, with nothing missing in between. */
static void a_lying_disk_loses_the_end_and_nothing_else(void **state)
{
    struct disk *disk = *state;
    struct fault_plan plan = {FAULT_DROP, FAULT_SYNC, SHADOW_LOG, 0, 4, 1000};
    fault_vfs_shadow(&disk->faults, disk->rig.path, 1, 0);
    fault_vfs_plan(&disk->faults, &plan);
    for (uint32_t i = 0; i < 20; i++) { /* item by item, each after the other was answered */
        struct disk_deed deed = disk_save(disk, i % 4);
        disk_do(disk, &deed, DM_OK);
    }
    fault_vfs_cut(&disk->faults);
    disk_close(disk);
    fault_vfs_restore(&disk->faults);
    struct disk_seen seen = {0};
    sqlite3 *db = disk_open_plain(disk);
    disk_sessions_see(db, &seen);
    sqlite3_close(db);
    uint32_t expected[4] = {1, 2, 3, 0}; /* three syncs were true */
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(seen.versions[2 * i], expected[i]);
    disk_open(disk);
}

/* A write that is lost and not noticed can damage anything; it must not bring the process down,
 * and what is done is answered. */
static void lost_writes_are_no_crash(void **state)
{
    struct disk *disk = *state;
    for (unsigned n = 1; n <= 30; n++) {
        struct fault_plan plan = {FAULT_DROP, FAULT_WRITE, n % 2 ? SHADOW_LOG : SHADOW_BASE,
                                  0,          1 + n / 2,   1};
        fault_vfs_plan(&disk->faults, &plan);
        disk_work(disk);
        store_rig_finish(&disk->rig, store_rig_load("ann"));
        disk_close(disk);
        fault_vfs_plan(&disk->faults, NULL);
        char path[128];
        static const char *const endings[] = {"", "-wal", "-shm"};
        for (size_t i = 0; i < DM_COUNT(endings); i++) {
            snprintf(path, sizeof path, "%s%s", disk->rig.path, endings[i]);
            unlink(path);
        }
        disk_forget_all(disk);
        disk_open(disk);
    }
}

#define DISK(test) cmocka_unit_test_setup_teardown(test, disk_setup, disk_teardown)

DM_UNIT_MAIN(DISK(nothing_is_built_upon_a_failed_sync), DISK(nor_by_the_next_process),
             DISK(a_lying_disk_loses_the_end_and_nothing_else), DISK(lost_writes_are_no_crash))
