/*
 * The one thread that writes: everything queued goes into one transaction, and
 * comes back after its commit. While that is being synced the next batch
 * gathers, so throughput grows with load.
 */
#ifndef DM_STORE_WRITER_PRIV_H
#define DM_STORE_WRITER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/metrics.h"
#include "store/checkpoint_priv.h"
#include "store/connection_priv.h"
#include "store/queue_priv.h"
#include "store/reader_priv.h"

/*
 *            a commit, or a whole batch, fails: the connection is closed
 *   SERVING ------------------------------------------------------------> DOWN --.
 *      ^                                                                  |  ^   | a try fails:
 *      '------------------------------------------------------------------'  '---' wait longer
 *            reopened, and a probe has committed
 *
 * While DOWN, what is queued comes back unwritten at once.
 */
enum dm_writer_state { DM_WRITER_SERVING, DM_WRITER_DOWN };

struct dm_writer {
    struct dm_queue queue;
    struct dm_connection_settings settings;
    struct dm_post post;
    struct dm_readers *readers; /* are told of damage */
    struct dm_checkpointer checkpointer;
    pthread_t thread;
    bool started;
    bool holds_publishes, holds_presence; /* when it was opened */
    _Atomic int state; /* enum dm_writer_state; changed by the thread, read by any */

    /* the thread's alone, once it runs */
    struct dm_connection connection;
    struct dm_metrics *metrics;
    uint32_t log_pages; /* of the write-ahead log, as the last commit left it */
    uint64_t checkpoints_counted;
    uint64_t retry_at, retry_after; /* while DOWN; monotonic milliseconds */
    bool doubtful;                  /* a sync may have failed: the log is not to be built upon */
    bool slim;                      /* has given back its memory since it last worked */
};

void dm_writer_init(struct dm_writer *writer, const struct dm_connection_settings *settings,
                    const struct dm_post *post, struct dm_metrics *metrics,
                    struct dm_readers *readers);

/* Opens, migrates and sweeps. DM_OK, or an error and a sentence. */
int dm_writer_open(struct dm_writer *writer, struct dm_buf *why) DM_MUST_CHECK;
bool dm_writer_start(struct dm_writer *writer) DM_MUST_CHECK;
void dm_writer_finish(struct dm_writer *writer); /* what is queued; joins the thread */
void dm_writer_stop(
    struct dm_writer *writer); /* finished or not; when its queue is empty; and disposes of it */

#endif
