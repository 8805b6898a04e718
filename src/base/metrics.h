/*
 * Counters. Each thread that counts owns one struct dm_metrics and alone
 * changes it (a relaxed load and store, as cheap as a plain one); any thread
 * may read it. The scrape sums over all of them. Refusals are counted by
 * error code, and the store's batches and commits in histograms.
 */
#ifndef DM_BASE_METRICS_H
#define DM_BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

enum dm_metric {
#define DM_METRIC(id, kind, name, labels, help) DM_METRIC_##id,
#include "base/metrics.def"
#undef DM_METRIC
    DM_METRIC_COUNT
};

enum { DM_HISTOGRAM_BUCKETS = 16 }; /* upper bounds 1, 2, 4 … 2^14, then +Inf */

struct dm_histogram {
    _Atomic uint64_t buckets[DM_HISTOGRAM_BUCKETS], sum;
};

struct dm_metrics {
    _Atomic uint64_t values[DM_METRIC_COUNT];
    _Atomic uint64_t refusals[DM_ERR_COUNT];
    struct dm_histogram commit_rows;   /* operations a commit */
    struct dm_histogram commit_tenths; /* tenths of a millisecond a commit */
};

static inline void dm_metric_bump(_Atomic uint64_t *value, uint64_t by)
{
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

static inline void dm_metrics_add(struct dm_metrics *metrics, enum dm_metric id, uint64_t by)
{
    dm_metric_bump(&metrics->values[id], by);
}

static inline void dm_metrics_sub(struct dm_metrics *metrics, enum dm_metric id, uint64_t by)
{
    dm_metric_bump(&metrics->values[id], (uint64_t)0 - by);
}

static inline void dm_metrics_set(struct dm_metrics *metrics, enum dm_metric id, uint64_t to)
{
    atomic_store_explicit(&metrics->values[id], to, memory_order_relaxed);
}

static inline void dm_metrics_refuse(struct dm_metrics *metrics, int err)
{
    dm_metric_bump(&metrics->refusals[err], 1);
}

void dm_histogram_add(struct dm_histogram *histogram, uint64_t value);

#endif
