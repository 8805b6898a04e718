/*
 * UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random
 * bits. A minter belongs to one thread; its ids grow strictly, by a counter
 * in rand_a and rand_b's head where two fall into one millisecond.
 */
#ifndef DM_BASE_UUID_H
#define DM_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/rand.h"
#include "base/slice.h"

struct dm_uuid {
    uint8_t bytes[16];
};

enum { DM_UUID_TEXT_LEN = 36 };

struct dm_uuid_minter {
    const struct dm_rand *rand;
    uint64_t last_ms;
    uint32_t counter;  /* 26 bits: 12 of rand_a, 14 of rand_b */
    uint8_t pool[512]; /* random bytes fetched ahead: a call to the kernel a mint is dear */
    uint32_t pool_left;
};

void dm_uuid_minter_init(struct dm_uuid_minter *minter, const struct dm_rand *rand);
struct dm_uuid dm_uuid_mint(struct dm_uuid_minter *minter, uint64_t wall_ms);
uint64_t dm_uuid_ms(const struct dm_uuid *id);                             /* when it was minted */
void dm_uuid_format(const struct dm_uuid *id, char out[DM_UUID_TEXT_LEN]); /* lower case, no NUL */
bool dm_uuid_parse(struct dm_slice text, struct dm_uuid *out) DM_MUST_CHECK;

static inline bool dm_uuid_eq(const struct dm_uuid *a, const struct dm_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

#endif
