/*
 * The benches: each starts what it measures, prints its lines of the table,
 * writes OUT/<name>.json and stops all it started.
 */
#ifndef DM_BENCH_BENCH_H
#define DM_BENCH_BENCH_H

#include "lib/target.h"

struct dm_bench_options {
    struct dm_target_place place;
    unsigned runs;     /* of each load, server and floor in turn */
    unsigned sessions; /* of all benches with many */
    bool strict;       /* a missed figure is a failure */
};

enum dm_bench_end { DM_BENCH_REACHED, DM_BENCH_MISSED, DM_BENCH_FAILED };

enum dm_bench_end dm_bench_idle(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_fanout(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_ack(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_durable(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_wake(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_restart(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_channel(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_join(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_channel_wake(const struct dm_bench_options *options);
enum dm_bench_end dm_bench_channel_memory(const struct dm_bench_options *options);

#endif
