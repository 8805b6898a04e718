/* Collecting userIds without repeats. */
#include "model/targets.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/rand.h"
#include "codec/json.h"
#include "model/member.h"
#include "model/name.h"

void dm_targets_dispose(struct dm_targets *targets)
{
    for (uint32_t i = 0; i < targets->count; i++)
        free((char *)targets->ids[i].at);
    free(targets->ids);
    free(targets->target_of);
    dm_index_dispose(&targets->index);
    *targets = (struct dm_targets){0};
}

/* The index knows no 0: a target's value there is one more than its number. */
static bool is_target(const void *context, uint32_t value, struct dm_slice key)
{
    return dm_slice_eq(((const struct dm_targets *)context)->ids[value - 1], key);
}

static uint64_t hash_of(const struct dm_targets *targets, struct dm_slice user_id)
{
    return dm_hash(targets->index_key, user_id.at, user_id.len);
}

/* One target, which is most publishes, needs no index. */
static uint32_t find_or_add(struct dm_targets *targets, struct dm_slice user_id)
{
    if (targets->count == 1 && !targets->index.slots) {
        dm_rand_kernel(targets->index_key, sizeof targets->index_key);
        dm_index_put(&targets->index, hash_of(targets, targets->ids[0]), 1);
    }
    uint32_t found =
        dm_index_find(&targets->index, hash_of(targets, user_id), is_target, targets, user_id);
    if (found)
        return found - 1;
    if (targets->count == targets->room) {
        targets->room = targets->room ? 2 * targets->room : 1;
        targets->ids = dm_realloc(targets->ids, targets->room * sizeof *targets->ids);
    }
    targets->ids[targets->count] = dm_slice(dm_memdup(user_id.at, user_id.len), user_id.len);
    targets->count++;
    if (targets->count > 1)
        dm_index_put(&targets->index, hash_of(targets, user_id), targets->count);
    return targets->count - 1;
}

static void note_asked(struct dm_targets *targets, uint32_t target)
{
    if (targets->asked == targets->asked_room) {
        targets->asked_room = targets->asked_room ? 2 * targets->asked_room : 4;
        targets->target_of =
            dm_realloc(targets->target_of, targets->asked_room * sizeof *targets->target_of);
    }
    targets->target_of[targets->asked++] = target;
}

bool dm_targets_add(struct dm_targets *targets, struct dm_slice user_id)
{
    bool valid = dm_user_id_valid(user_id);
    if (valid) {
        note_asked(targets, find_or_add(targets, user_id));
    } else {
        note_asked(targets, DM_TARGET_INVALID);
        targets->invalid++;
    }
    return valid;
}

int dm_targets_read(struct dm_targets *targets, struct dm_slice array, uint32_t most,
                    struct dm_slice *why)
{
    struct dm_slice key, value;
    struct dm_buf scratch = DM_BUF_INIT;
    int err = DM_OK;
    if (dm_json_kind(array) != DM_JSON_ARRAY) {
        *why = DM_SLICE("userIds must be an array of strings");
        return DM_ERR_INVALID_FIELD;
    }
    struct dm_json_walk walk = dm_json_walk(array);
    while (!err && dm_json_next(&walk, &key, &value)) {
        bool text = dm_json_kind(value) == DM_JSON_STRING;
        if (targets->asked == most)
            err = DM_ERR_TOO_MANY_TARGETS;
        else
            (void)dm_targets_add(targets, text ? dm_string_text(value, &scratch) : DM_SLICE(""));
    }
    dm_buf_dispose(&scratch);
    if (!err && targets->asked == 0) {
        *why = DM_SLICE("userIds must not be empty");
        err = DM_ERR_INVALID_FIELD;
    }
    return err;
}
