/*
 * A hash index over records kept elsewhere: open addressing over {tag, value}
 * pairs of 32 bits, 8 bytes a slot, no pointers. The caller hashes its key and
 * compares candidates itself, so the index knows no key type. Value 0 is never
 * stored. One thread.
 */
#ifndef DM_BASE_INDEX_H
#define DM_BASE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct dm_index_slot {
    uint32_t tag, value;
};

struct dm_index {
    struct dm_index_slot *slots;
    uint32_t mask, count;
};

/* Is `value` the record with the key looked for? */
typedef bool (*dm_index_is)(const void *context, uint32_t value, struct dm_slice key);

void dm_index_dispose(struct dm_index *index);
uint32_t dm_index_find(const struct dm_index *index, uint64_t hash, dm_index_is is,
                       const void *context, struct dm_slice key); /* 0: not there */
void dm_index_put(struct dm_index *index, uint64_t hash,
                  uint32_t value); /* key must not be there */
void dm_index_remove(struct dm_index *index, uint64_t hash, uint32_t value);

/* A keyed hash (SipHash-1-3, Aumasson and Bernstein), so that hostile keys
 * cannot be made to collide. */
uint64_t dm_hash(const uint64_t key[2], const void *bytes, size_t len);

#endif
