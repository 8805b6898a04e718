/* Waiting until the server sleeps. */
#ifndef DM_BENCH_ASLEEP_H
#define DM_BENCH_ASLEEP_H

#include "lib/load.h"

/* Until what each of `count` sessions opened with is handled and every user sleeps. These return
 * 0, or -1 with the reason in load->failure. */
int dm_load_wait_asleep(struct dm_load *load, uint32_t count) DM_MUST_CHECK;

/* Until no channel has its members in memory. */
int dm_load_wait_channels_asleep(struct dm_load *load) DM_MUST_CHECK;

#endif
