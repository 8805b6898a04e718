/* Short ids in place, long ones on the heap. */
#include "model/short_id.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"
#include "model/limits.h"

static char *far_text(const struct dm_short_id *id)
{
    char *far;
    memcpy(&far, id->at, sizeof far);
    return far;
}

struct dm_slice dm_short_id_text(const struct dm_short_id *id)
{
    return dm_slice(id->len <= DM_SHORT_ID_MAX ? id->at : far_text(id), id->len);
}

void dm_short_id_set(struct dm_short_id *id, struct dm_slice text)
{
    DM_CHECK(text.len >= 1 && text.len <= DM_USER_ID_MAX);
    id->len = (uint8_t)text.len;
    if (text.len <= DM_SHORT_ID_MAX) {
        memcpy(id->at, text.at, text.len);
        return;
    }
    char *far = dm_memdup(text.at, text.len);
    memcpy(id->at, &far, sizeof far);
}

void dm_short_id_dispose(struct dm_short_id *id)
{
    if (id->len > DM_SHORT_ID_MAX)
        free(far_text(id));
    id->len = 0;
}
