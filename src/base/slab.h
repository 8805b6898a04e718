/*
 * Records of one size, named by 32-bit indices. A record never moves while it
 * lives; index 0 is never handed out and means "none". Chunks come from mmap,
 * apart from the heap, so that long-lived records do not pin pages that
 * short-lived allocations have left. One thread.
 */
#ifndef DM_BASE_SLAB_H
#define DM_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct dm_slab {
    char **chunks;
    size_t record_size;
    uint32_t chunk_count, chunk_shift; /* records a chunk: 1 << chunk_shift */
    uint32_t next_unused, first_free;  /* free records are chained by their first 4 bytes */
    uint32_t live;
};

void dm_slab_init(struct dm_slab *slab, size_t record_size); /* at least 4 bytes, a multiple of 4 */
void dm_slab_dispose(struct dm_slab *slab);
uint32_t dm_slab_take(struct dm_slab *slab); /* a zeroed record */
void dm_slab_give(struct dm_slab *slab, uint32_t index);

/* One past the highest index ever handed out: for walks over all records. */
static inline uint32_t dm_slab_end(const struct dm_slab *slab)
{
    return slab->next_unused;
}

static inline void *dm_slab_at(const struct dm_slab *slab, uint32_t index)
{
    DM_CHECK(index != 0 && index < slab->next_unused);
    return slab->chunks[index >> slab->chunk_shift] +
           (index & ((1u << slab->chunk_shift) - 1)) * slab->record_size;
}

#endif
