/*
 * The threads that read, each with a read-only connection of its own. They
 * also find out, when something could not be read, whether it can be again: a
 * load that failed is tried again until it succeeds; where a write met a page
 * that makes no sense, all pages are looked at.
 */
#ifndef DM_STORE_READER_PRIV_H
#define DM_STORE_READER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

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

    _Atomic uint32_t failing;  /* readers whose load has failed, and not yet succeeded */
    _Atomic bool damaged;      /* a write met damage, which no check has found gone since */
    _Atomic bool checking;     /* one of them looks */
    _Atomic uint64_t check_at; /* when, in monotonic milliseconds */
};

void dm_readers_init(struct dm_readers *readers, const struct dm_connection_settings *settings,
                     const struct dm_post *post, struct dm_metrics *metrics);
bool dm_readers_start(struct dm_readers *readers, uint32_t count) DM_MUST_CHECK;
void dm_readers_stop(struct dm_readers *readers); /* when the queue is empty; and disposes */

/* A write met a damaged page; and: is nothing known that cannot be read? Any thread. */
void dm_readers_suspect(struct dm_readers *readers);
bool dm_readers_well(const struct dm_readers *readers);

#endif
