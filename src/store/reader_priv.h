/* The threads that read, each with a read-only connection of its own. */
#ifndef DM_STORE_READER_PRIV_H
#define DM_STORE_READER_PRIV_H

#include <pthread.h>

#include "base/metrics.h"
#include "store/connection_priv.h"
#include "store/database.h"
#include "store/queue_priv.h"

struct dm_readers {
    struct dm_queue queue;
    struct dm_connection_settings settings;
    struct dm_post post;
    pthread_mutex_t mutex;      /* metrics */
    struct dm_metrics *metrics; /* one for all of them */
    pthread_t threads[DM_DATABASE_READERS_MAX];
    uint32_t count;
};

void dm_readers_init(struct dm_readers *readers, const struct dm_connection_settings *settings,
                     const struct dm_post *post, struct dm_metrics *metrics);
bool dm_readers_start(struct dm_readers *readers, uint32_t count) DM_MUST_CHECK;
void dm_readers_stop(struct dm_readers *readers); /* when the queue is empty; and disposes */

#endif
