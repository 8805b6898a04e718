/* Slab of equal records in mmapped chunks of about 64 KiB. */
#include "base/slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"

enum { CHUNK_BYTES = 64 * 1024 };

static size_t chunk_bytes(const struct dm_slab *slab)
{
    return slab->record_size << slab->chunk_shift;
}

void dm_slab_init(struct dm_slab *slab, size_t record_size)
{
    DM_CHECK(record_size >= 4 && record_size % 4 == 0 && record_size <= CHUNK_BYTES);
    *slab = (struct dm_slab){.record_size = record_size, .next_unused = 1};
    while ((record_size << (slab->chunk_shift + 1)) <= CHUNK_BYTES)
        slab->chunk_shift++;
}

void dm_slab_dispose(struct dm_slab *slab)
{
    for (uint32_t i = 0; i < slab->chunk_count; i++)
        munmap(slab->chunks[i], chunk_bytes(slab));
    free(slab->chunks);
    *slab = (struct dm_slab){0};
}

static void add_chunk(struct dm_slab *slab)
{
    void *at =
        mmap(NULL, chunk_bytes(slab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    DM_CHECK(at != MAP_FAILED);
    if ((slab->chunk_count & (slab->chunk_count - 1)) == 0) {
        size_t room = slab->chunk_count ? 2 * (size_t)slab->chunk_count : 1;
        slab->chunks = dm_realloc(slab->chunks, room * sizeof *slab->chunks);
    }
    slab->chunks[slab->chunk_count++] = at;
}

uint32_t dm_slab_take(struct dm_slab *slab)
{
    uint32_t index = slab->first_free;
    if (index) {
        memcpy(&slab->first_free, dm_slab_at(slab, index), sizeof slab->first_free);
    } else {
        index = slab->next_unused;
        DM_CHECK(index != UINT32_MAX);
        if ((index >> slab->chunk_shift) >= slab->chunk_count)
            add_chunk(slab);
        slab->next_unused++;
    }
    slab->live++;
    memset(dm_slab_at(slab, index), 0, slab->record_size);
    return index;
}

void dm_slab_give(struct dm_slab *slab, uint32_t index)
{
    void *record = dm_slab_at(slab, index);
    memset(record, 0, slab->record_size);
    memcpy(record, &slab->first_free, sizeof slab->first_free);
    slab->first_free = index;
    slab->live--;
}
