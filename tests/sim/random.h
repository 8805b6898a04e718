/* A small generator (splitmix64, Steele, Lea and Flood), so that a seed gives the same run
 * everywhere. */
#ifndef DM_TESTS_SIM_RANDOM_H
#define DM_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sim_rand {
    uint64_t state;
};

static inline uint64_t rand_next(struct sim_rand *rand)
{
    uint64_t z = (rand->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint32_t rand_below(struct sim_rand *rand, uint32_t bound)
{
    return bound ? (uint32_t)(rand_next(rand) % bound) : 0;
}

static inline bool rand_chance(struct sim_rand *rand, uint32_t percent)
{
    return rand_below(rand, 100) < percent;
}

/* As dm_rand wants it; `self` is the struct. */
static inline void rand_fill(void *self, void *out, size_t len)
{
    char *at = out;
    while (len) {
        uint64_t word = rand_next(self);
        size_t some = len < sizeof word ? len : sizeof word;
        memcpy(at, &word, some);
        at += some;
        len -= some;
    }
}

#endif
