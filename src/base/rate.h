/*
 * How often each of many keys may do something: a bucket of tokens for each,
 * which holds a second's worth and is filled all the time. In a fixed number of
 * buckets: a key that has none has a full one, and where there is no room the
 * fullest bucket of a few is forgotten, so that a key may get more than its rate
 * among very many others, but never less, or hardly ever: where all buckets are
 * in use, one new key in a million shares another's for its first second.
 * (Rates above 10000 are a little more than was asked for: a token comes back
 * in whole microseconds.)
 *
 * Any thread may call: the loops share one of these, so that a key has one
 * rate however its connections are spread. Nobody waits for another. The clocks
 * of callers may differ by the length of a turn.
 */
#ifndef DM_BASE_RATE_H
#define DM_BASE_RATE_H

#include <stdint.h>

#include "base/slice.h"

struct dm_rate;

enum { DM_RATE_MAX = 1000000 };

struct dm_rate *dm_rate_create(uint32_t per_second); /* 1 to DM_RATE_MAX */
void dm_rate_destroy(struct dm_rate **rate);

/* Takes a token of the key's. False: there is none, and nothing was taken. */
bool dm_rate_take(struct dm_rate *rate, struct dm_slice key, uint64_t now_mono_ms);

/* Would dm_rate_take say no? Takes nothing. */
bool dm_rate_is_spent(struct dm_rate *rate, struct dm_slice key, uint64_t now_mono_ms);

/* Is every bucket full? One load: spares a caller the making of a key. */
bool dm_rate_is_quiet(const struct dm_rate *rate, uint64_t now_mono_ms);

#endif
