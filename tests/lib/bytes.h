/*
 * Bytes for tests: exact-sized heap copies, so that a sanitizer sees any read
 * past their end, whole files, and random bytes that are the same each run.
 */
#ifndef DM_TESTS_LIB_BYTES_H
#define DM_TESTS_LIB_BYTES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/rand.h"

/* A copy with nothing behind it; freed with free((void *)copy.at). */
static inline struct dm_slice bytes_exact(struct dm_slice text)
{
    return dm_slice(dm_memdup(text.at, text.len), text.len);
}

static inline void bytes_free(struct dm_slice copy)
{
    free((void *)(uintptr_t)copy.at);
}

/* Appends a whole file; false when it cannot be read. */
static inline bool bytes_read_file(struct dm_buf *out, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    size_t got;
    while ((got = fread(dm_buf_reserve(out, 65536), 1, 65536, file)) > 0)
        out->len += got;
    bool whole = !ferror(file);
    fclose(file);
    return whole;
}

/* xorshift64*: small, good enough for tests, the same for the same seed. */
struct bytes_dice {
    uint64_t state;
};

static inline uint64_t bytes_roll(struct bytes_dice *dice)
{
    uint64_t x = dice->state ? dice->state : 0x9e3779b97f4a7c15u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    dice->state = x;
    return x * 0x2545f4914f6cdd1du;
}

static inline uint32_t bytes_below(struct bytes_dice *dice, uint32_t limit)
{
    return (uint32_t)((bytes_roll(dice) >> 32) % limit);
}

/* For struct dm_rand: `self` is a struct bytes_dice. */
static inline void bytes_fill(void *self, void *out, size_t len)
{
    unsigned char *at = out;
    for (size_t i = 0; i < len; i++)
        at[i] = (unsigned char)(bytes_roll(self) >> 56);
}

#endif
