/*
 * The server and the floor side by side: both started, both with the same
 * sessions connected, and loaded in turn. Absolute figures drift on a shared
 * machine; the ratio of two runs that follow each other does not.
 */
#ifndef DM_BENCH_PAIR_H
#define DM_BENCH_PAIR_H

#include "lib/load.h"
#include "lib/report.h"

struct dm_pair {
    struct dm_target server, floor;
    struct dm_load server_load, floor_load;
    struct dm_buf payload; /* JSON, NUL-terminated */
    size_t frame_len;      /* of the frames that the server sends; the floor's are as long */
};

struct dm_pair_options {
    const struct dm_target_place *place;
    const char *const *settings; /* the server's */
    uint32_t sessions, users;    /* user i % users */
    bool acks;
};

/* Medians over the runs. CPU is the target's own, for one delivery. */
struct dm_pair_result {
    double ratio; /* of the CPU times in each pair */
    double server_cpu_us, floor_cpu_us;
    double server_p50_us, server_p99_us, floor_p50_us, floor_p99_us;
    double server_rate, floor_rate; /* publishes a second */
};

/* Both return 0, or -1 after saying why on stderr. Dispose in any case. */
int dm_pair_start(struct dm_pair *pair, const struct dm_pair_options *options) DM_MUST_CHECK;
int dm_pair_run(struct dm_pair *pair, const struct dm_plan *plan, unsigned runs, const char *name,
                struct dm_report *report, struct dm_pair_result *result) DM_MUST_CHECK;
void dm_pair_dispose(struct dm_pair *pair);

#endif
