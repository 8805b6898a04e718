/*
 * The userIds that a publish is for: valid, each once, in the order asked.
 */
#ifndef DM_MODEL_TARGETS_H
#define DM_MODEL_TARGETS_H

#include "base/check.h"
#include "base/index.h"

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

/* Adds those of a JSON array. An error where it is none, or empty, or has more than `most`; `why`
 * may say what is wrong. */
int dm_targets_read(struct dm_targets *targets, struct dm_slice array, uint32_t most,
                    struct dm_slice *why) DM_MUST_CHECK;

#endif
