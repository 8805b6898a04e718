/*
 * A process's resident memory as the kernel counts it (/proc/PID/smaps), in
 * bytes, split by what the pages belong to, so that growth can be put down to
 * something. Memory that the kernel holds for sockets is in none of it.
 */
#ifndef DM_BENCH_MEMORY_H
#define DM_BENCH_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"

enum dm_memory_part {
    DM_MEMORY_HEAP,      /* [heap]: malloc on the main thread */
    DM_MEMORY_ANONYMOUS, /* other anonymous maps: slabs, thread heaps, thread stacks */
    DM_MEMORY_STACK,     /* the main thread's */
    DM_MEMORY_CODE,      /* the program and its libraries, their data pages too */
    DM_MEMORY_FILES,     /* other mapped files (SQLite's -shm) */
    DM_MEMORY_PARTS
};

struct dm_memory {
    uint64_t rss, pss, anonymous;
    uint64_t parts[DM_MEMORY_PARTS]; /* of rss */
};

const char *dm_memory_part_name(enum dm_memory_part part);

int dm_memory_read(pid_t pid, struct dm_memory *memory) DM_MUST_CHECK; /* 0, or -1 */

/* Idle means idle: reads it once it has stood still for a while, so that what a server gives back a
 * little after a burst is not counted as a session's. */
int dm_memory_settle(pid_t pid, struct dm_memory *memory) DM_MUST_CHECK;

#endif
