/* The file that a backup goes to: it is written under another name, and gets its own when whole. */
#ifndef DM_STORE_BACKUP_FILE_PRIV_H
#define DM_STORE_BACKUP_FILE_PRIV_H

#include "base/buf.h"
#include "base/check.h"

struct dm_backup_file {
    const char *path;
    char *partial; /* what it is called meanwhile */
    int fd;        /* of that, locked: one backup at a time */
};

/* Makes the partial file, empty. DM_OK, DM_ERR_CONFLICT or DM_ERR_UNAVAILABLE, and a sentence. */
int dm_backup_file_begin(struct dm_backup_file *file, const char *path,
                         struct dm_buf *why) DM_MUST_CHECK;
/* Syncs it, gives it its name, syncs the folder. */
int dm_backup_file_finish(struct dm_backup_file *file, struct dm_buf *why) DM_MUST_CHECK;
/* In any case, last; what is still partial is removed. */
void dm_backup_file_dispose(struct dm_backup_file *file);

#endif
