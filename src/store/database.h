/*
 * The database: one SQLite file in WAL mode behind ports/store.h. One thread
 * writes, everything queued in one transaction each time; others read and
 * checkpoint. Hides SQLite, its threads, and recovery from a disk that fails.
 */
#ifndef DM_STORE_DATABASE_H
#define DM_STORE_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "ports/store.h"

struct dm_database;

enum { DM_DATABASE_READERS_MAX = 8 };

struct dm_database_options {
    const char *path;
    bool sync_full;   /* a commit is synced before it comes back; else it survives the process
                         but maybe not a power cut */
    uint32_t readers; /* reading threads; 0 counts as 1 */
};

/*
 * Opens the file, made with mode 0600 if it is not there, brings its tables up
 * to date, sweeps the rows of sessions that cannot come back, and starts the
 * threads. DM_OK, or an error with a sentence in `why` that a person can act
 * on. `post` is copied; the metrics are changed by the store's threads until
 * the database is closed, and by nobody else.
 */
int dm_database_open(const struct dm_database_options *options, const struct dm_post *post,
                     struct dm_metrics *writer_metrics, struct dm_metrics *reader_metrics,
                     struct dm_database **out, struct dm_buf *why) DM_MUST_CHECK;

struct dm_store dm_database_store(struct dm_database *database);

/*
 * Can it write and read? False from a commit that failed until one has
 * succeeded; from a load that failed until that one has; and from a write that
 * met a damaged page until all pages have been found well. It tries all three
 * by itself. Any thread.
 */
bool dm_database_ready(const struct dm_database *database);

/* Finishes everything queued (completions are still posted), checkpoints and
 * joins the threads. Nobody may submit any more. */
void dm_database_close(struct dm_database **database);

#endif
