/*
 * The store on a disk that fails, tears or loses power at its nth write or
 * sync: nothing that was answered is lost, nothing that was refused is there
 * (lib/disk_rig.h), and it serves again by itself when the fault is over.
 */
#include "lib/disk_rig.h"
#include "lib/unit.h"

/* Works while the plan strikes; then all is well again. True: it has struck. */
static bool survive(struct disk *disk, const struct fault_plan *plan)
{
    fault_vfs_plan(&disk->faults, plan);
    disk_work(disk);
    unsigned struck = fault_vfs_struck(&disk->faults);
    fault_vfs_plan(&disk->faults, NULL);
    disk_await_recovery(disk);
    struct disk_deed deed = disk_save(disk, 0);
    disk_do(disk, &deed, DM_OK);
    disk_expect_loads(disk);
    return struck > 0;
}

/* For n from 1 until the work is done before the plan strikes, again and again. */
static void survive_each(struct disk *disk, struct fault_plan plan, bool cut)
{
    uint64_t seed = disk->random;
    unsigned struck = 0, missed = 0;
    for (plan.nth = 1; plan.nth < 60 && missed < 4; plan.nth += 1 + plan.nth / 8) {
        fault_vfs_shadow(&disk->faults, disk->rig.path, plan.nth + seed, 50);
        bool strikes = survive(disk, &plan);
        struck += strikes;
        missed += !strikes;
        if (cut && strikes)
            disk_cut_and_look(disk);
    }
    disk_close(disk);
    disk_expect_rows(disk);
    assert_true(struck > 2); /* else it tests next to nothing */
}

static void what_was_answered_is_there_after_a_fault(void **state)
{
    struct disk *disk = *state;
    static const struct fault_plan plans[] = {
        {FAULT_FAIL, FAULT_WRITE, SHADOW_LOG, SQLITE_FULL, 0, 1},
        {FAULT_FAIL, FAULT_WRITE, SHADOW_LOG, SQLITE_IOERR_WRITE, 0, 4},
        {FAULT_TORN, FAULT_WRITE, SHADOW_LOG, SQLITE_FULL, 0, 1},
        {FAULT_FAIL, FAULT_SYNC, SHADOW_LOG, SQLITE_IOERR_FSYNC, 0, 1},
        {FAULT_FAIL, FAULT_SYNC, SHADOW_LOG, SQLITE_IOERR_FSYNC, 0, 3},
        {FAULT_FAIL, FAULT_WRITE, SHADOW_BASE, SQLITE_FULL, 0, 1},
        {FAULT_TORN, FAULT_WRITE, SHADOW_BASE, SQLITE_IOERR_WRITE, 0, 1},
    };
    for (unsigned run = 0; run < disk_runs(); run++) {
        for (size_t i = 0; i < DM_COUNT(plans); i++) {
            survive_each(disk, plans[i], false);
            survive_each(disk, plans[i], true); /* and then the power goes */
        }
    }
    assert_true(disk->unknown > 50 && disk->unavailable > 10 && disk->ok > 1000);
    assert_true(disk->publishes_met > 100);
}

static void what_was_answered_is_there_after_a_power_cut(void **state)
{
    struct disk *disk = *state;
    static const struct fault_plan plans[] = {
        {FAULT_CUT, FAULT_WRITE, SHADOW_LOG, 0, 0, 0},
        {FAULT_CUT, FAULT_SYNC, SHADOW_LOG, 0, 0, 0},
        {FAULT_CUT, FAULT_WRITE, SHADOW_BASE, 0, 0, 0},
        {FAULT_CUT, FAULT_SYNC, SHADOW_BASE, 0, 0, 0},
    };
    static const unsigned survival[] = {0, 50, 100};
    for (unsigned round = 0; round < 120 * disk_runs(); round++) {
        struct fault_plan plan = plans[round % DM_COUNT(plans)];
        bool base = plan.file == SHADOW_BASE, sync = plan.call == FAULT_SYNC;
        plan.nth = 1 + disk_below(disk, base && sync ? 3 : sync ? 15 : 50);
        uint64_t seed = disk->random;
        fault_vfs_shadow(&disk->faults, disk->rig.path, seed, survival[disk_below(disk, 3)]);
        fault_vfs_plan(&disk->faults, &plan);
        disk_work(disk);
        disk_cut_and_look(disk);
    }
    assert_true(disk->unknown > 10 && disk->ok > 100 && disk->publishes_met > 20);
}

#define DISK(test) cmocka_unit_test_setup_teardown(test, disk_setup, disk_teardown)

DM_UNIT_MAIN(DISK(what_was_answered_is_there_after_a_fault),
             DISK(what_was_answered_is_there_after_a_power_cut))
