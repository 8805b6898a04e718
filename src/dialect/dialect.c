/* The dialects, by id and by name. */
#include "dialect/dialect.h"

static const struct dm_dialect *const dialects[DM_DIALECT_COUNT] = {
    [DM_DIALECT_HOPEFLOW] = &dm_dialect_hopeflow,
    [DM_DIALECT_NATIVE] = &dm_dialect_native,
};

const struct dm_dialect *dm_dialect_of(enum dm_dialect_id id)
{
    DM_CHECK((unsigned)id < DM_DIALECT_COUNT);
    return dialects[id];
}

enum dm_dialect_id dm_dialect_named(struct dm_slice name)
{
    unsigned id = 0;
    while (id < DM_DIALECT_COUNT && !dm_slice_eq(dm_slice_of(dialects[id]->name), name))
        id++;
    return (enum dm_dialect_id)id;
}
