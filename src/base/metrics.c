/* Histogram buckets by powers of two. */
#include "base/metrics.h"

void dm_histogram_add(struct dm_histogram *histogram, uint64_t value)
{
    int bucket = 0;
    while (bucket < DM_HISTOGRAM_BUCKETS - 1 && value > (uint64_t)1 << bucket)
        bucket++;
    dm_metric_bump(&histogram->buckets[bucket], 1);
    dm_metric_bump(&histogram->sum, value);
}
