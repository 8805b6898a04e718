/* Reading the server's own counters, as far as the benches wait for them. */
#ifndef DM_BENCH_SCRAPE_H
#define DM_BENCH_SCRAPE_H

#include <stdint.h>

#include "lib/target.h"

/* The sum of all samples of /metrics whose line begins with `name` and holds `label` (""
 * for any). -1: they could not be had. */
double dm_scrape(const struct dm_target *target, const char *name, const char *label);

#endif
