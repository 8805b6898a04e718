/*
 * Publishers: HTTP connections that post again as soon as they are answered,
 * until a burst's publishes are done and every frame has come.
 */
#ifndef DM_BENCH_PUBLISHER_H
#define DM_BENCH_PUBLISHER_H

#include "lib/load.h"

struct dm_publisher {
    int fd;
    uint64_t posted_us; /* 0: not waiting for an answer */
    struct dm_buf in;
};

struct dm_burst {
    const struct dm_plan *plan;
    struct dm_publisher *publishers;
    uint32_t posted, answered, arrived;
    uint32_t copies;        /* of the one that is on its way, where they go one by one */
    uint64_t posted_us;     /* the last one */
    uint32_t *latencies_us; /* by order of the answers */
    uint32_t *expected;     /* a user: frames that each of its sessions must get */
    struct dm_buf request;
};

#endif
