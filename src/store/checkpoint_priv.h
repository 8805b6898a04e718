/*
 * Copies the write-ahead log into the database. A helper thread does it while
 * the writer goes on; where the writer stays ahead of it the log would never
 * start over, so above a second bound the writer itself does it between two
 * batches, and finds little left to copy; above a third it waits for the helper first.
 */
#ifndef DM_STORE_CHECKPOINT_PRIV_H
#define DM_STORE_CHECKPOINT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/connection_priv.h"
#include "store/queue_priv.h"

enum { DM_LOG_PAGE_BYTES = 4096 + 24 }; /* SQLite's default, which the house keeps */

struct dm_checkpointer {
    struct dm_connection_settings settings;
    struct dm_queue *poke; /* the writer's: it reports for this thread */
    pthread_t thread;
    bool started;

    pthread_mutex_t mutex; /* the next three */
    pthread_cond_t wake;
    bool wanted, stopping;

    _Atomic uint64_t done;   /* checkpoints by either thread */
    _Atomic bool failing;    /* the last one failed: said once, not at each try */
    _Atomic uint32_t copied; /* pages of the log that the last one left in the database */

    /* the writer's alone */
    uint32_t own_at; /* pages from which the writer does it itself */
};

/* `poke` is the writer's queue. */
void dm_checkpointer_init(struct dm_checkpointer *checkpointer,
                          const struct dm_connection_settings *settings, struct dm_queue *poke);
bool dm_checkpointer_start(struct dm_checkpointer *checkpointer) DM_MUST_CHECK;
void dm_checkpointer_stop(struct dm_checkpointer *checkpointer); /* and disposes of it */

/* The writer's, after each commit, with what its connection knows of the log. */
void dm_checkpointer_mind(struct dm_checkpointer *checkpointer, struct dm_connection *writer,
                          uint32_t log_pages);

#endif
