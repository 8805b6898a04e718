/*
 * Random bytes from the kernel, and the struct through which the house asks
 * for them (tests put a seeded one in its place).
 */
#ifndef DM_BASE_RAND_H
#define DM_BASE_RAND_H

#include <stddef.h>

struct dm_rand {
    void *self;
    void (*fill)(void *self, void *out, size_t len);
};

void dm_rand_kernel(void *out, size_t len); /* getrandom(2); any thread */
extern const struct dm_rand dm_rand_system; /* the same, behind the struct */

#endif
