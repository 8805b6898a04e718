/* Slab of equal records in mmapped chunks of at most 64 KiB. */
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

static struct dm_slab_chunk *chunk_at(const struct dm_slab *slab, uint32_t number)
{
    return &slab->chunks[number - 1];
}

void dm_slab_init(struct dm_slab *slab, size_t record_size)
{
    DM_CHECK(record_size >= 4 && record_size % 4 == 0 && record_size <= CHUNK_BYTES);
    *slab = (struct dm_slab){.record_size = record_size};
    while ((record_size << (slab->chunk_shift + 1)) <= CHUNK_BYTES)
        slab->chunk_shift++;
}

void dm_slab_dispose(struct dm_slab *slab)
{
    for (uint32_t i = 0; i < slab->chunk_count; i++)
        if (slab->chunks[i].records)
            munmap(slab->chunks[i].records, chunk_bytes(slab));
    free(slab->chunks);
    *slab = (struct dm_slab){0};
}

/* --- lists of chunks --- */

static void link_chunk(struct dm_slab *slab, uint32_t *list, uint32_t number)
{
    struct dm_slab_chunk *chunk = chunk_at(slab, number);
    chunk->prev = 0;
    chunk->next = *list;
    if (*list)
        chunk_at(slab, *list)->prev = number;
    *list = number;
}

static void unlink_chunk(struct dm_slab *slab, uint32_t *list, uint32_t number)
{
    struct dm_slab_chunk *chunk = chunk_at(slab, number);
    if (chunk->next)
        chunk_at(slab, chunk->next)->prev = chunk->prev;
    if (chunk->prev)
        chunk_at(slab, chunk->prev)->next = chunk->next;
    else
        *list = chunk->next;
}

/* --- chunks --- */

static uint32_t new_number(struct dm_slab *slab)
{
    DM_CHECK(slab->chunk_count < UINT32_MAX >> slab->chunk_shift);
    if ((slab->chunk_count & (slab->chunk_count - 1)) == 0) {
        size_t room = slab->chunk_count ? 2 * (size_t)slab->chunk_count : 1;
        slab->chunks = dm_realloc(slab->chunks, room * sizeof *slab->chunks);
    }
    slab->chunks[slab->chunk_count++] = (struct dm_slab_chunk){.records = NULL};
    return slab->chunk_count;
}

static uint32_t add_chunk(struct dm_slab *slab)
{
    uint32_t number = slab->vacant;
    if (number)
        unlink_chunk(slab, &slab->vacant, number);
    else
        number = new_number(slab);
    void *at =
        mmap(NULL, chunk_bytes(slab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    DM_CHECK(at != MAP_FAILED);
    *chunk_at(slab, number) =
        (struct dm_slab_chunk){.records = at, .untouched = number == 1 ? 1 : 0};
    link_chunk(slab, &slab->roomy, number);
    return number;
}

static void drop_chunk(struct dm_slab *slab, uint32_t number)
{
    struct dm_slab_chunk *chunk = chunk_at(slab, number);
    unlink_chunk(slab, &slab->roomy, number);
    munmap(chunk->records, chunk_bytes(slab));
    chunk->records = NULL;
    link_chunk(slab, &slab->vacant, number);
}

void dm_slab_trim(struct dm_slab *slab)
{
    if (slab->empty)
        drop_chunk(slab, slab->empty);
    slab->empty = 0;
}

/* --- records --- */

static bool is_full(const struct dm_slab *slab, const struct dm_slab_chunk *chunk)
{
    return !chunk->first_free && chunk->untouched == 1u << slab->chunk_shift;
}

uint32_t dm_slab_take(struct dm_slab *slab)
{
    uint32_t number = slab->roomy ? slab->roomy : add_chunk(slab);
    struct dm_slab_chunk *chunk = chunk_at(slab, number);
    uint32_t index = chunk->first_free;
    if (index)
        memcpy(&chunk->first_free, dm_slab_at(slab, index), sizeof chunk->first_free);
    else
        index = ((number - 1) << slab->chunk_shift) + chunk->untouched++;
    chunk->live++;
    slab->live++;
    if (slab->empty == number)
        slab->empty = 0;
    if (is_full(slab, chunk))
        unlink_chunk(slab, &slab->roomy, number);
    memset(dm_slab_at(slab, index), 0, slab->record_size);
    return index;
}

void dm_slab_give(struct dm_slab *slab, uint32_t index)
{
    uint32_t number = (index >> slab->chunk_shift) + 1;
    void *record = dm_slab_at(slab, index);
    struct dm_slab_chunk *chunk = chunk_at(slab, number);
    if (is_full(slab, chunk))
        link_chunk(slab, &slab->roomy, number);
    memset(record, 0, slab->record_size);
    memcpy(record, &chunk->first_free, sizeof chunk->first_free);
    chunk->first_free = index;
    slab->live--;
    if (--chunk->live)
        return;
    if (slab->empty)
        drop_chunk(slab, number);
    else
        slab->empty = number;
}
