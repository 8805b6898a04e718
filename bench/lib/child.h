/*
 * A child process that is measured: started with an environment of its own,
 * stopped for certain (it dies with us, whatever becomes of us), and its CPU
 * time read from its own clock, in nanoseconds rather than /proc's 10 ms.
 */
#ifndef DM_BENCH_CHILD_H
#define DM_BENCH_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/check.h"

struct dm_child {
    pid_t pid; /* 0: none */
    clockid_t clock;
};

/* What it prints goes to the end of `log_path`. Returns 0, or -1 after saying why on stderr. */
int dm_child_start(struct dm_child *child, char *const argv[], char *const environment[],
                   const char *log_path) DM_MUST_CHECK;
void dm_child_stop(struct dm_child *child); /* SIGTERM, and SIGKILL after two seconds */
bool dm_child_alive(struct dm_child *child);
uint64_t dm_child_cpu_ns(const struct dm_child *child); /* all its threads, user and system */

#endif
