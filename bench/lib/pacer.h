/*
 * Publishes at a fixed pace, whatever becomes of those before: each is timed
 * from when it was due, so that a server that stands still is not given credit
 * for what was not asked of it meanwhile. They go to the users of a load, each
 * with one session, half of them to the first few, who so stay awake, and half
 * to all others in turn.
 */
#ifndef DM_BENCH_PACER_H
#define DM_BENCH_PACER_H

#include "lib/load.h"

enum { DM_PACER_CALLS = 64 };

struct dm_pacer_call {
    int fd;
    bool counted, lively;
    uint64_t due_us; /* 0: it is free */
    struct dm_buf in;
};

struct dm_pacer_samples {
    uint32_t *us;
    uint32_t count, room;
};

struct dm_pacer {
    struct dm_load *load;
    uint32_t period_us, lively;
    bool counting; /* set by the caller: those that become due now are samples */
    int epoll;
    uint64_t next_us;
    uint32_t posted, next_call;
    struct dm_pacer_call calls[DM_PACER_CALLS];
    struct dm_pacer_samples samples[2]; /* of the others, and of the lively */
};

/* These return 0, or -1 with the reason in load->failure. Dispose in any case. */
int dm_pacer_init(struct dm_pacer *pacer, struct dm_load *load, uint32_t period_us,
                  uint32_t lively) DM_MUST_CHECK;
void dm_pacer_dispose(struct dm_pacer *pacer);

/* Posts what is due, takes the answers and the frames that are here, and does not wait. */
int dm_pacer_turn(struct dm_pacer *pacer) DM_MUST_CHECK;

#endif
