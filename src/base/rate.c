/* Token buckets in sets of a few; hides that a bucket is but the time at which it is full again. */
#include "base/rate.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/index.h"
#include "base/rand.h"

enum {
    SETS = 2048,
    WAYS = 16, /* two cache lines a set */
    US_A_MS = 1000,
    SECOND = 1000 * US_A_MS,
    TIME_BITS = 40, /* of microseconds: 12 days, and then from 0 again */
};

static const uint64_t time_mask = (UINT64_C(1) << TIME_BITS) - 1;

/* A bucket is one word, so that it changes at once and needs no lock: above, 24 bits of the key's
 * hash, which with the set's number make 35; below, when it is full again. Until then the time that
 * is left is what is missing. One that is full is as good as free. */
struct set {
    _Atomic uint64_t buckets[WAYS];
};

struct dm_rate {
    uint64_t hash_key[2];
    uint64_t cost;             /* in how many us a token comes back */
    _Atomic uint64_t all_full; /* us: from then on every bucket is */
    struct set sets[SETS];
};

struct dm_rate *dm_rate_create(uint32_t per_second)
{
    DM_CHECK(per_second >= 1 && per_second <= DM_RATE_MAX);
    struct dm_rate *rate = DM_NEW(struct dm_rate);
    dm_rand_kernel(rate->hash_key, sizeof rate->hash_key);
    rate->cost = SECOND / per_second;
    return rate;
}

void dm_rate_destroy(struct dm_rate **rate)
{
    free(*rate);
    *rate = NULL;
}

/* What is missing, in us. More than there can be at all is from before the time began again. */
static uint64_t missing_in(uint64_t bucket, uint64_t now)
{
    uint64_t missing = (bucket - now) & time_mask;
    return missing <= 2 * SECOND ? missing : 0;
}

static bool is_of(uint64_t bucket, uint64_t hash)
{
    return (bucket ^ hash) >> TIME_BITS == 0;
}

/* The key's bucket, or else the fullest; what it holds goes to `seen`. */
static _Atomic uint64_t *find(struct set *set, uint64_t hash, uint64_t now, uint64_t *seen)
{
    _Atomic uint64_t *best = NULL;
    for (int i = 0; i < WAYS; i++) {
        uint64_t bucket = atomic_load_explicit(&set->buckets[i], memory_order_relaxed);
        bool found = is_of(bucket, hash);
        if (!best || found || missing_in(bucket, now) < missing_in(*seen, now)) {
            best = &set->buckets[i];
            *seen = bucket;
        }
        if (found)
            break;
    }
    return best;
}

/* Moved on by a quarter of a second at least, for it is one line of memory for all threads. */
static void note_busy(struct dm_rate *rate, uint64_t full_at)
{
    uint64_t seen = atomic_load_explicit(&rate->all_full, memory_order_relaxed);
    while (seen < full_at &&
           !atomic_compare_exchange_weak_explicit(&rate->all_full, &seen, full_at + SECOND / 4,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

bool dm_rate_take(struct dm_rate *rate, struct dm_slice key, uint64_t now_mono_ms)
{
    uint64_t now = now_mono_ms * US_A_MS, hash = dm_hash(rate->hash_key, key.at, key.len);
    struct set *set = &rate->sets[hash % SETS];
    for (;;) {
        uint64_t seen, missing = rate->cost;
        _Atomic uint64_t *bucket = find(set, hash, now, &seen);
        if (is_of(seen, hash))
            missing += missing_in(seen, now);
        if (missing > SECOND)
            return false;
        uint64_t taken = (hash & ~time_mask) | ((now + missing) & time_mask);
        if (!atomic_compare_exchange_strong_explicit(bucket, &seen, taken, memory_order_relaxed,
                                                     memory_order_relaxed))
            continue; /* another thread has changed it, so that one got on */
        note_busy(rate, now + missing);
        return true;
    }
}

bool dm_rate_is_spent(struct dm_rate *rate, struct dm_slice key, uint64_t now_mono_ms)
{
    uint64_t now = now_mono_ms * US_A_MS, hash = dm_hash(rate->hash_key, key.at, key.len), seen;
    if (dm_rate_is_quiet(rate, now_mono_ms))
        return false;
    (void)find(&rate->sets[hash % SETS], hash, now, &seen);
    return is_of(seen, hash) && missing_in(seen, now) + rate->cost > SECOND;
}

bool dm_rate_is_quiet(const struct dm_rate *rate, uint64_t now_mono_ms)
{
    return now_mono_ms * US_A_MS >= atomic_load_explicit(&rate->all_full, memory_order_relaxed);
}
