/*
 * A userId as a record keeps it: in place where it is short, as most are, else
 * on the heap. No pointer is aligned in it, so that it fits behind anything.
 */
#ifndef DM_MODEL_SHORT_ID_H
#define DM_MODEL_SHORT_ID_H

#include <stdint.h>

#include "base/slice.h"

enum { DM_SHORT_ID_MAX = 20 };

struct dm_short_id {
    uint8_t len;              /* 0: none */
    char at[DM_SHORT_ID_MAX]; /* or where it is longer a pointer to it */
};

void dm_short_id_set(struct dm_short_id *id, struct dm_slice text); /* valid; into one of none */
struct dm_slice dm_short_id_text(const struct dm_short_id *id);
void dm_short_id_dispose(struct dm_short_id *id);

#endif
