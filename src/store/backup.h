/*
 * A copy of the database, beside a server that goes on writing or without one:
 * all of one moment, and on the disk when it is said to be done. Hides SQLite
 * and the steps to a file that is either whole or not there.
 */
#ifndef DM_STORE_BACKUP_H
#define DM_STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct dm_backup_options {
    const char *database, *file;
    /*
     * While the copy is made the write-ahead log cannot start over, and grows by what is written
     * meanwhile. Nothing is synced in that time, so it is as short as the disk allows; and where
     * the log still comes to more than this many bytes the copy is given up, and the log is free.
     */
    uint64_t log_max;
    bool (*stop)(void *self); /* asked at every 256 pages: give up? NULL: never */
    void *self;
};

struct dm_backup_made {
    uint64_t bytes;     /* of the copy */
    uint64_t log_bytes; /* of the log, at its largest meanwhile */
};

/*
 * Makes `file`, mode 0600, which must not be there. DM_OK; DM_ERR_CONFLICT: it is there, or
 * another backup to it runs; DM_ERR_UNAVAILABLE. `why` is then a sentence, and nothing is left
 * behind. What a killed process leaves is `<file>.partial`; the next one to `file` takes it over.
 */
int dm_backup(const struct dm_backup_options *options, struct dm_backup_made *made,
              struct dm_buf *why) DM_MUST_CHECK;

#endif
