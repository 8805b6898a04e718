/*
 * The queue in front of a storing thread: any thread pushes, operations are
 * chained by their own `next` and come out in the order in which they went in.
 */
#ifndef DM_STORE_QUEUE_PRIV_H
#define DM_STORE_QUEUE_PRIV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "ports/store.h"

struct dm_queue {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct dm_store_op *first, *last;
    uint32_t count;
    bool poked, closing;
};

/* What a take brought. */
struct dm_batch {
    struct dm_store_op *first; /* NULL: the time is over, a poke came, or the queue has closed */
    uint32_t count, left;      /* left: still queued */
    bool closed;               /* nothing is queued and nothing will be */
};

enum { DM_QUEUE_FOR_EVER = -1 };

void dm_queue_init(struct dm_queue *queue);
void dm_queue_dispose(struct dm_queue *queue); /* must be empty */
void dm_queue_push(struct dm_queue *queue, struct dm_store_op *op);
void dm_queue_poke(struct dm_queue *queue);  /* wakes one taker with nothing */
void dm_queue_close(struct dm_queue *queue); /* wakes all takers; what is queued still comes out */

/* Waits until something is there, then takes at most `most`. */
struct dm_batch dm_queue_take(struct dm_queue *queue, uint32_t most, int64_t timeout_ms);

#endif
