/*
 * Deadlines in order: an intrusive binary heap. A timer lives in the thing
 * that waits; the heap holds pointers and each timer knows its place, so that
 * removing is O(log n). One thread.
 */
#ifndef DM_BASE_HEAP_H
#define DM_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct dm_timer {
    uint64_t at;    /* monotonic milliseconds */
    uint32_t place; /* 1-based position in the heap; 0: not waiting */
};

struct dm_heap {
    struct dm_timer **timers; /* timers[0] is unused */
    uint32_t count, capacity;
};

void dm_heap_dispose(struct dm_heap *heap);
void dm_heap_add(struct dm_heap *heap, struct dm_timer *timer, uint64_t at); /* not waiting yet */
void dm_heap_remove(struct dm_heap *heap, struct dm_timer *timer); /* no-op if not waiting */
struct dm_timer *dm_heap_first(const struct dm_heap *heap);        /* NULL when empty */

static inline bool dm_timer_waits(const struct dm_timer *timer)
{
    return timer->place != 0;
}

#endif
