/*
 * Records of one size, named by 32-bit indices. A record never moves while it
 * lives; index 0 is never handed out and means "none". Chunks come from mmap,
 * apart from the heap, so that long-lived records do not pin pages that
 * short-lived allocations have left; a chunk whose records are all free goes
 * back to the kernel (the last such one only with dm_slab_trim, so that a
 * single record that comes and goes costs no system call). One thread.
 */
#ifndef DM_BASE_SLAB_H
#define DM_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct dm_slab_chunk {
    char *records;             /* NULL: gone back */
    uint32_t live, first_free; /* of its records; free ones are chained by their first 4 bytes */
    uint32_t untouched;        /* records from here on were never handed out */
    uint32_t next, prev;       /* neighbours on the list that it is on, plus 1; 0: none */
};

struct dm_slab {
    struct dm_slab_chunk *chunks;
    size_t record_size;
    uint32_t chunk_count, chunk_shift; /* records a chunk: 1 << chunk_shift */
    uint32_t roomy, vacant; /* lists: chunks with a free record; chunks without memory (plus 1) */
    uint32_t empty;         /* the chunk that is all free and kept, plus 1 */
    uint32_t live;
};

void dm_slab_init(struct dm_slab *slab, size_t record_size); /* at least 4 bytes, a multiple of 4 */
void dm_slab_dispose(struct dm_slab *slab);
uint32_t dm_slab_take(struct dm_slab *slab); /* a zeroed record */
void dm_slab_give(struct dm_slab *slab, uint32_t index);
void dm_slab_trim(struct dm_slab *slab);

/* One past the highest index there can be now: for walks over all with dm_slab_peek. */
static inline uint32_t dm_slab_end(const struct dm_slab *slab)
{
    if (!slab->chunk_count)
        return 1;
    uint32_t last = slab->chunk_count - 1;
    return (last << slab->chunk_shift) + slab->chunks[last].untouched;
}

/* The place of a record that may be free by now: then it is zeroed but for its first 4 bytes, or
 * NULL. For handles with a generation, which is not in those bytes. */
static inline void *dm_slab_peek(const struct dm_slab *slab, uint32_t index)
{
    DM_CHECK(index >> slab->chunk_shift < slab->chunk_count);
    char *records = slab->chunks[index >> slab->chunk_shift].records;
    return records ? records + (index & ((1u << slab->chunk_shift) - 1)) * slab->record_size : NULL;
}

static inline void *dm_slab_at(const struct dm_slab *slab, uint32_t index)
{
    void *record = dm_slab_peek(slab, index);
    DM_CHECK(index != 0 && record != NULL);
    return record;
}

#endif
