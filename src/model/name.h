/*
 * What may be a userId or a name: 1 to max bytes of UTF-8 without control or
 * invisible characters (Unicode Cc, Cf, Zl, Zp, Co, Cs and unassigned tags;
 * variation selectors; fillers such as U+115F, U+3164), and not "." or "..". A name that begins
 * with `private-` or `presence-` is of that kind, and none may begin with another case of these
 * (`Private-`).
 */
#ifndef DM_MODEL_NAME_H
#define DM_MODEL_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

bool dm_user_id_valid(struct dm_slice id); /* DM_USER_ID_MAX */
bool dm_name_valid(struct dm_slice name);  /* DM_CHANNEL_NAME_MAX */

bool dm_name_is_presence(struct dm_slice name);
/* Is it a private- or presence- name, which not every user may enter? In any case, so that what
 * only looks like one is no way in. */
bool dm_name_needs_grant(struct dm_slice name);

/*
 * Appends the name that `name` is with a `type` said beside it: `private` and `presence` put their
 * prefix before a name that lacks it; `public`, or none (absent), leaves any name as it is.
 * DM_ERR_INVALID_FIELD: there is no such type. DM_ERR_INVALID_NAME: `name` is none, or has the
 * other prefix, or is too long with its own. After an error nothing was appended.
 */
int dm_name_with_type(struct dm_slice name, struct dm_slice type, struct dm_buf *out) DM_MUST_CHECK;

/* The slot of a userId, 0 to DM_SLOTS - 1: the same for ever, for it is in keys on disk. */
uint32_t dm_slot_of(struct dm_slice user_id);

/* Which of `shards` owns a slot: equal ranges in order. */
uint32_t dm_shard_of_slot(uint32_t slot, uint32_t shards);
void dm_slots_of_shard(uint32_t shard, uint32_t shards, uint32_t *first, uint32_t *last);

#endif
