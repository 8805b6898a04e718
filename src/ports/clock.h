/*
 * Time as the hub sees it. The real one is base/clock; the simulation has its
 * own. Called on any shard's thread.
 */
#ifndef DM_PORTS_CLOCK_H
#define DM_PORTS_CLOCK_H

#include <stdint.h>

struct dm_clock {
    void *self;
    uint64_t (*mono_ms)(void *self); /* for timers */
    uint64_t (*wall_ms)(void *self); /* for timestamps and expiries */
};

#endif
