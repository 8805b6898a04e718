/*
 * A layer over SQLite's own file system that fails, tears, holds up, or lies
 * about what a test asks it to. Installed as the default, so that what opens a
 * database needs to know nothing of it. The knobs may be turned from any
 * thread at any time; an error is one of SQLite's codes, 0 for none.
 */
#ifndef DM_TESTS_LIB_FAULT_VFS_H
#define DM_TESTS_LIB_FAULT_VFS_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/shadow.h"

/* What strikes the nth call of a kind, and some calls after it. */
enum fault_call { FAULT_WRITE, FAULT_SYNC };
enum fault_kind {
    FAULT_NONE,
    FAULT_FAIL, /* nothing is done, and `code` says so */
    FAULT_TORN, /* half of a write is done, then `code` (a sync: as FAIL) */
    FAULT_DROP, /* nothing is done, and nothing is said: a lost write, a sync that lies */
    FAULT_CUT,  /* the power goes: nothing is done any more by any call */
};

struct fault_plan {
    enum fault_kind kind;
    enum fault_call call;
    enum shadow_which file;
    int code;
    unsigned nth, times; /* from 1; 0 times counts as 1 */
};

struct fault_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    _Atomic int open_error;               /* opening a database */
    _Atomic int read_error;               /* reading the database or its log */
    _Atomic int log_write_error;          /* writing the write-ahead log */
    _Atomic int log_sync_error;           /* syncing it */
    _Atomic int log_syncs_spared;         /* so many go well before that one strikes */
    _Atomic int base_write_error;         /* writing the database, as a checkpoint does */
    _Atomic bool read_only;               /* what is opened from now on cannot be written */
    _Atomic bool hurry;                   /* waits are cut to a hundredth */
    _Atomic bool no_real_syncs;           /* a test that loses no real power needs none */
    _Atomic bool hold_log_sync;           /* a sync of the log waits until this is false */
    _Atomic unsigned log_syncs, log_held; /* of the log: finished well, that had to wait */

    pthread_mutex_t mutex; /* the rest */
    struct fault_plan plan;
    unsigned seen, struck; /* calls that the plan is about; those that it has struck */
    bool shadowing, dead;
    struct shadow shadow;
};

void fault_vfs_install(struct fault_vfs *faults); /* with no faults set */
void fault_vfs_remove(struct fault_vfs *faults);  /* when every database is closed */

/* From now on; NULL: none. */
void fault_vfs_plan(struct fault_vfs *faults, const struct fault_plan *plan);
unsigned fault_vfs_struck(struct fault_vfs *faults);

/* From now on what is synced of the database at `path`, which is open or not, is remembered. */
void fault_vfs_shadow(struct fault_vfs *faults, const char *path, uint64_t seed, unsigned survive);
/* The power goes now, if it has not gone yet. Close everything, then: the files are what the cut
 * has left, and the power is back. */
void fault_vfs_cut(struct fault_vfs *faults);
void fault_vfs_restore(struct fault_vfs *faults);

#endif
