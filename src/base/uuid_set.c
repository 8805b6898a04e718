/* A sorted array, searched by halves. */
#include "base/uuid_set.h"

#include <string.h>

void dm_uuid_set_dispose(struct dm_uuid_set *set)
{
    dm_buf_dispose(&set->ids);
}

/* Where it stands, or would stand. */
static size_t place_of(const struct dm_uuid_set *set, const struct dm_uuid *id)
{
    const struct dm_uuid *ids = (const void *)set->ids.bytes;
    size_t low = 0, high = set->ids.len / sizeof *ids;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(&ids[middle], id, sizeof *id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool dm_uuid_set_has(const struct dm_uuid_set *set, const struct dm_uuid *id)
{
    const struct dm_uuid *ids = (const void *)set->ids.bytes;
    size_t place = place_of(set, id);
    return place < set->ids.len / sizeof *ids && dm_uuid_eq(&ids[place], id);
}

bool dm_uuid_set_take(struct dm_uuid_set *set, const struct dm_uuid *id)
{
    if (!dm_uuid_set_has(set, id))
        return false;
    size_t end = place_of(set, id) * sizeof *id + sizeof *id;
    char *behind = set->ids.bytes + end;
    memmove(behind - sizeof *id, behind, set->ids.len - end);
    set->ids.len -= sizeof *id;
    return true;
}

void dm_uuid_set_add(struct dm_uuid_set *set, const struct dm_uuid *id)
{
    if (dm_uuid_set_has(set, id))
        return;
    size_t place = place_of(set, id) * sizeof *id, behind = set->ids.len - place;
    dm_buf_reserve(&set->ids, sizeof *id);
    char *at = set->ids.bytes + place;
    memmove(at + sizeof *id, at, behind);
    memcpy(at, id, sizeof *id);
    set->ids.len += sizeof *id;
}
