/*
 * A set of ids, sorted in one block: made for some dozens, fast for thousands
 * that come in order. Zeroed is empty.
 */
#ifndef DM_BASE_UUID_SET_H
#define DM_BASE_UUID_SET_H

#include "base/buf.h"
#include "base/uuid.h"

struct dm_uuid_set {
    struct dm_buf ids; /* struct dm_uuid, private to uuid_set.c */
};

void dm_uuid_set_dispose(struct dm_uuid_set *set);
void dm_uuid_set_add(struct dm_uuid_set *set, const struct dm_uuid *id);
bool dm_uuid_set_take(struct dm_uuid_set *set, const struct dm_uuid *id); /* was it there? */
bool dm_uuid_set_has(const struct dm_uuid_set *set, const struct dm_uuid *id);

#endif
