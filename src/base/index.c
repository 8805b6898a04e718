/*
 * Linear probing with backward-shift deletion. Only the upper 32 bits of a
 * hash are kept as the tag; the slot is chosen from the tag too, so that the
 * table can grow without asking for keys again.
 */
#include "base/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

enum { SMALLEST = 64 };

static uint32_t tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

void dm_index_dispose(struct dm_index *index)
{
    free(index->slots);
    *index = (struct dm_index){0};
}

uint32_t dm_index_find(const struct dm_index *index, uint64_t hash, dm_index_is is,
                       const void *context, struct dm_slice key)
{
    if (!index->slots)
        return 0;
    uint32_t tag = tag_of(hash);
    for (uint32_t at = tag & index->mask;; at = (at + 1) & index->mask) {
        const struct dm_index_slot *slot = &index->slots[at];
        if (!slot->value)
            return 0;
        if (slot->tag == tag && is(context, slot->value, key))
            return slot->value;
    }
}

static void insert(struct dm_index *index, struct dm_index_slot entry)
{
    uint32_t at = entry.tag & index->mask;
    while (index->slots[at].value)
        at = (at + 1) & index->mask;
    index->slots[at] = entry;
}

static void grow(struct dm_index *index)
{
    struct dm_index old = *index;
    uint32_t size = old.slots ? 2 * (old.mask + 1) : SMALLEST;
    DM_CHECK(size != 0);
    index->slots = dm_calloc(size, sizeof *index->slots);
    index->mask = size - 1;
    for (uint32_t i = 0; old.slots && i <= old.mask; i++)
        if (old.slots[i].value)
            insert(index, old.slots[i]);
    free(old.slots);
}

void dm_index_put(struct dm_index *index, uint64_t hash, uint32_t value)
{
    DM_CHECK(value != 0);
    if (!index->slots || (uint64_t)(index->count + 1) * 4 > (uint64_t)(index->mask + 1) * 3)
        grow(index);
    insert(index, (struct dm_index_slot){tag_of(hash), value});
    index->count++;
}

/* Closes the gap at `hole`, so that no probe that should pass it stops there. */
static void close_gap(struct dm_index *index, uint32_t hole)
{
    for (uint32_t at = (hole + 1) & index->mask; index->slots[at].value;
         at = (at + 1) & index->mask) {
        uint32_t home = index->slots[at].tag & index->mask;
        if (((at - home) & index->mask) >= ((at - hole) & index->mask)) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole] = (struct dm_index_slot){0, 0};
}

void dm_index_remove(struct dm_index *index, uint64_t hash, uint32_t value)
{
    DM_CHECK(index->slots != NULL);
    uint32_t at = tag_of(hash) & index->mask;
    while (index->slots[at].value != value) {
        DM_CHECK(index->slots[at].value != 0);
        at = (at + 1) & index->mask;
    }
    close_gap(index, at);
    index->count--;
}

static inline uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t dm_hash(const uint64_t key[2], const void *bytes, size_t len)
{
    const unsigned char *in = bytes;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    size_t whole = len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, in + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = whole; i < len; i++)
        last |= (uint64_t)in[i] << (8 * (i - whole));
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
