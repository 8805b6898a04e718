/* Medians and percentiles. */
#include "lib/stats.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

static int compare_doubles(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

double dm_stats_median(const double *values, size_t count)
{
    double sorted[DM_RUNS_MAX];
    DM_CHECK(count > 0 && count <= DM_RUNS_MAX);
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

void dm_stats_sort_u32(uint32_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare_u32);
}

uint32_t dm_stats_at_u32(const uint32_t *values, size_t count, double part)
{
    if (!count)
        return 0;
    size_t rank = (size_t)((double)count * part);
    return values[rank < count ? rank : count - 1];
}
