/*
 * The userIds that a publish is for: valid, each once, in the order asked.
 */
#ifndef DM_NET_TARGETS_H
#define DM_NET_TARGETS_H

#include "base/index.h"
#include "net/route.h"

enum { DM_TARGET_INVALID = UINT32_MAX };

struct dm_targets {
    struct dm_slice *ids; /* each on the heap */
    uint32_t count, room;
    uint32_t *target_of; /* for each userId asked: which of `ids`, or DM_TARGET_INVALID */
    uint32_t asked, asked_room;
    uint32_t invalid; /* how many were not valid */
    struct dm_index index;
    uint64_t index_key[2];
};

void dm_targets_dispose(struct dm_targets *targets);

/* False: not a valid userId. */
bool dm_targets_add(struct dm_targets *targets, struct dm_slice user_id);

/* A JSON array of userIds. Says what is wrong through request->why. */
int dm_targets_read(struct dm_request *request, struct dm_slice array,
                    struct dm_targets *targets) DM_MUST_CHECK;

#endif
