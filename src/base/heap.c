/* Binary heap of timers, earliest first. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"

static void put(struct dm_heap *heap, uint32_t place, struct dm_timer *timer)
{
    heap->timers[place] = timer;
    timer->place = place;
}

static void rise(struct dm_heap *heap, uint32_t place, struct dm_timer *timer)
{
    while (place > 1 && heap->timers[place / 2]->at > timer->at) {
        put(heap, place, heap->timers[place / 2]);
        place /= 2;
    }
    put(heap, place, timer);
}

static void sink(struct dm_heap *heap, uint32_t place, struct dm_timer *timer)
{
    for (;;) {
        uint32_t child = 2 * place;
        if (child > heap->count)
            break;
        if (child < heap->count && heap->timers[child + 1]->at < heap->timers[child]->at)
            child++;
        if (heap->timers[child]->at >= timer->at)
            break;
        put(heap, place, heap->timers[child]);
        place = child;
    }
    put(heap, place, timer);
}

void dm_heap_dispose(struct dm_heap *heap)
{
    free(heap->timers);
    *heap = (struct dm_heap){0};
}

void dm_heap_add(struct dm_heap *heap, struct dm_timer *timer, uint64_t at)
{
    DM_CHECK(timer->place == 0);
    if (heap->count + 1 >= heap->capacity) {
        heap->capacity = heap->capacity ? 2 * heap->capacity : 16;
        heap->timers = dm_realloc(heap->timers, heap->capacity * sizeof(struct dm_timer *));
    }
    timer->at = at;
    heap->count++;
    rise(heap, heap->count, timer);
}

void dm_heap_remove(struct dm_heap *heap, struct dm_timer *timer)
{
    uint32_t place = timer->place;
    if (place == 0)
        return;
    DM_CHECK(place <= heap->count && heap->timers[place] == timer);
    struct dm_timer *last = heap->timers[heap->count--];
    timer->place = 0;
    if (last == timer)
        return;
    if (place > 1 && heap->timers[place / 2]->at > last->at)
        rise(heap, place, last);
    else
        sink(heap, place, last);
}

struct dm_timer *dm_heap_first(const struct dm_heap *heap)
{
    return heap->count ? heap->timers[1] : NULL;
}
