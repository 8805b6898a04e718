/* Order statistics of small sets of measurements. */
#ifndef DM_BENCH_STATS_H
#define DM_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

enum { DM_RUNS_MAX = 25 };

double dm_stats_median(const double *values, size_t count); /* at most DM_RUNS_MAX of them */

void dm_stats_sort_u32(uint32_t *values, size_t count);
/* The smallest value that at least `part` of them do not exceed; `values` are sorted. */
uint32_t dm_stats_at_u32(const uint32_t *values, size_t count, double part);

#endif
