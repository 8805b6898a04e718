/*
 * A layer over SQLite's own file system that fails, or holds up, what a test
 * asks it to. Installed as the default, so that what opens a database needs to
 * know nothing of it. The knobs may be turned from any thread at any time; an
 * error is one of SQLite's codes, 0 for none.
 */
#ifndef DM_TESTS_LIB_FAULT_VFS_H
#define DM_TESTS_LIB_FAULT_VFS_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>

struct fault_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    _Atomic int open_error;               /* opening a database */
    _Atomic int read_error;               /* reading the database or its log */
    _Atomic int log_write_error;          /* writing the write-ahead log */
    _Atomic int log_sync_error;           /* syncing it */
    _Atomic int log_syncs_spared;         /* so many go well before that one strikes */
    _Atomic int base_write_error;         /* writing the database, as a checkpoint does */
    _Atomic bool hold_log_sync;           /* a sync of the log waits until this is false */
    _Atomic unsigned log_syncs, log_held; /* of the log: finished well, that had to wait */
};

void fault_vfs_install(struct fault_vfs *faults); /* with no faults set */
void fault_vfs_remove(struct fault_vfs *faults);  /* when every database is closed */

#endif
