/*
 * The metrics as Prometheus text (exposition format 0.0.4), summed over the
 * threads that count.
 */
#ifndef DM_ADMIN_METRICS_TEXT_H
#define DM_ADMIN_METRICS_TEXT_H

#include "base/buf.h"
#include "base/metrics.h"

void dm_metrics_text(const struct dm_metrics *const *all, size_t count, struct dm_buf *out);

#endif
