/*
 * A JSON object's members, each key once (of several the last, as JSON.parse
 * has it) and in the order of their decoded bytes, so that a key is found in
 * O(log n) however hostile the object. Values are slices of the object's text
 * and live as long as it. One thread.
 */
#ifndef DM_MODEL_FIELDS_H
#define DM_MODEL_FIELDS_H

#include "base/buf.h"

struct dm_fields {
    struct dm_buf entries, keys; /* private to fields.c */
};

void dm_fields_dispose(struct dm_fields *fields);

/* Forgets what was there and reads `object`; of anything else, or of 4 GiB, there are no members.
 */
void dm_fields_read(struct dm_fields *fields, struct dm_slice object);

size_t dm_fields_count(const struct dm_fields *fields);
struct dm_slice dm_fields_key(const struct dm_fields *fields, size_t i); /* decoded (WTF-8) */
struct dm_slice dm_fields_value(const struct dm_fields *fields, size_t i);
struct dm_slice dm_fields_get(const struct dm_fields *fields, struct dm_slice key); /* or absent */

/* Less than, equal to or more than zero: the order that the keys are in. */
int dm_key_order(struct dm_slice a, struct dm_slice b);

#endif
