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
    WAYS = 7, /* two cache lines a set */
    TRIES = 64,
    NS_A_MS = 1000000,
    SECOND = 1000 * NS_A_MS,
};

/* Full from `full_at` on, and then as good as free; until then `full_at - now` is what is missing,
 * as the time in which it comes back. */
struct bucket {
    uint64_t hash, full_at; /* ns */
};

struct set {
    atomic_bool busy;
    struct bucket ways[WAYS];
};

struct dm_rate {
    uint64_t hash_key[2];
    uint64_t cost;             /* ns in which a token comes back */
    _Atomic uint64_t all_full; /* ns: from then on every bucket is */
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

/* Its holder may have been put off the processor: then it is not waited for. */
static bool enter(struct set *set)
{
    for (int i = 0; i < TRIES; i++)
        if (!atomic_exchange_explicit(&set->busy, true, memory_order_acquire))
            return true;
    return false;
}

static void leave(struct set *set)
{
    atomic_store_explicit(&set->busy, false, memory_order_release);
}

/* The key's bucket, or else the fullest. */
static struct bucket *find(struct set *set, uint64_t hash)
{
    struct bucket *best = &set->ways[0];
    for (int i = 0; i < WAYS; i++) {
        if (set->ways[i].hash == hash)
            return &set->ways[i];
        if (set->ways[i].full_at < best->full_at)
            best = &set->ways[i];
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
    uint64_t now = now_mono_ms * NS_A_MS, hash = dm_hash(rate->hash_key, key.at, key.len);
    struct set *set = &rate->sets[hash % SETS];
    if (!enter(set))
        return true;
    struct bucket *bucket = find(set, hash);
    if (bucket->hash != hash)
        *bucket = (struct bucket){hash, now};
    uint64_t full_at = (bucket->full_at > now ? bucket->full_at : now) + rate->cost;
    bool ok = full_at <= now + SECOND;
    if (ok)
        bucket->full_at = full_at;
    leave(set);
    if (ok)
        note_busy(rate, full_at);
    return ok;
}

bool dm_rate_is_spent(struct dm_rate *rate, struct dm_slice key, uint64_t now_mono_ms)
{
    uint64_t now = now_mono_ms * NS_A_MS, hash = dm_hash(rate->hash_key, key.at, key.len);
    struct set *set = &rate->sets[hash % SETS];
    if (dm_rate_is_quiet(rate, now_mono_ms) || !enter(set))
        return false;
    const struct bucket *bucket = find(set, hash);
    bool spent = bucket->hash == hash && bucket->full_at + rate->cost > now + SECOND;
    leave(set);
    return spent;
}

bool dm_rate_is_quiet(const struct dm_rate *rate, uint64_t now_mono_ms)
{
    return now_mono_ms * NS_A_MS >= atomic_load_explicit(&rate->all_full, memory_order_relaxed);
}
