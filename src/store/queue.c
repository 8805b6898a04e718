/* A mutex, a condition variable and a chain: pushing allocates nothing and holds the mutex for a
 * few instructions. */
#include "store/queue_priv.h"

#include <errno.h>
#include <time.h>

void dm_queue_init(struct dm_queue *queue)
{
    *queue = (struct dm_queue){0};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&queue->mutex, NULL);
}

void dm_queue_dispose(struct dm_queue *queue)
{
    DM_CHECK(!queue->first);
    pthread_cond_destroy(&queue->wake);
    pthread_mutex_destroy(&queue->mutex);
}

void dm_queue_push(struct dm_queue *queue, struct dm_store_op *op)
{
    op->next = NULL;
    pthread_mutex_lock(&queue->mutex);
    DM_CHECK(!queue->closing);
    if (queue->last)
        queue->last->next = op;
    else
        queue->first = op;
    queue->last = op;
    queue->count++;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

void dm_queue_poke(struct dm_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->poked = true;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

void dm_queue_close(struct dm_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closing = true;
    pthread_cond_broadcast(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

static struct timespec after(int64_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += ms % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static void await(struct dm_queue *queue, int64_t timeout_ms)
{
    struct timespec until = after(timeout_ms < 0 ? 0 : timeout_ms);
    int rc = 0;
    while (!queue->first && !queue->poked && !queue->closing && rc != ETIMEDOUT) {
        rc = timeout_ms < 0 ? pthread_cond_wait(&queue->wake, &queue->mutex)
                            : pthread_cond_timedwait(&queue->wake, &queue->mutex, &until);
    }
    queue->poked = false;
}

static struct dm_store_op *take_first(struct dm_queue *queue)
{
    struct dm_store_op *op = queue->first;
    queue->first = op->next;
    if (!queue->first)
        queue->last = NULL;
    queue->count--;
    op->next = NULL;
    return op;
}

struct dm_batch dm_queue_take(struct dm_queue *queue, uint32_t most, int64_t timeout_ms)
{
    struct dm_batch batch = {0};
    struct dm_store_op **end = &batch.first;
    pthread_mutex_lock(&queue->mutex);
    await(queue, timeout_ms);
    while (queue->first && batch.count < most) {
        *end = take_first(queue);
        end = &(*end)->next;
        batch.count++;
    }
    batch.left = queue->count;
    batch.closed = queue->closing && batch.count == 0;
    pthread_mutex_unlock(&queue->mutex);
    return batch;
}
