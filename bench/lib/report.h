/*
 * What a bench found: lines of a table on the terminal as they come, and one
 * JSON file with every run's raw figures, the host and the versions.
 */
#ifndef DM_BENCH_REPORT_H
#define DM_BENCH_REPORT_H

#include <stdbool.h>

#include "base/buf.h"
#include "lib/target.h"

struct dm_report {
    const char *bench;
    struct dm_buf host, figures, runs; /* JSON: an object's members, array elements */
    char heading[64];                  /* the figure that the next indented ones belong to */
    bool missed;
};

void dm_report_init(struct dm_report *report, const char *bench,
                    const struct dm_target_place *place);

/* A figure with a target: at most `asked`. */
void dm_report_figure(struct dm_report *report, const char *name, const char *unit, double asked,
                      double reached);
/* The same, at least `asked`. */
void dm_report_least(struct dm_report *report, const char *name, const char *unit, double asked,
                     double reached);
/* A figure that is only told; one whose name is indented belongs to the one above. */
void dm_report_told(struct dm_report *report, const char *name, const char *unit, double reached);

/* Begins a run's JSON object in report->runs; the caller adds members and ends it with '}'. */
void dm_report_run(struct dm_report *report, const char *kind, unsigned pair);

/* Writes OUT/<bench>.json and disposes of the report. 0, or -1 after saying why. */
int dm_report_finish(struct dm_report *report, const struct dm_target_place *place) DM_MUST_CHECK;

#endif
