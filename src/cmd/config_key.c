/* The table made from config.def, and the names in it. */
#include "cmd/config_key.h"

#include "base/rate.h"

#define DM_ANY .min = 0
#define DM_RANGE(least, most) .min = (least), .max = (most)
#define DM_CHOICES(words) .choices = (words)
#define DM_HOURS(n) ((n)*3600000u)
#define DM_MIB(n) ((n)*1048576u)

const struct dm_config_key dm_config_keys[DM_CONFIG_ID_COUNT] = {
#define DM_CONFIG(field, kind, text, bounds, about)                                                \
    {.name = #field,                                                                               \
     .standard = (text),                                                                           \
     .help = (about),                                                                              \
     .type = DM_TYPE_##kind,                                                                       \
     .offset = offsetof(struct dm_config, field),                                                  \
     bounds},
#include "cmd/config.def"
#undef DM_CONFIG
};

struct dm_config_name dm_config_find(struct dm_slice name)
{
    const struct dm_slice suffix = DM_SLICE("_file");
    struct dm_slice stem = name;
    bool file = name.len > suffix.len;
    if (file) {
        stem.len -= suffix.len;
        file = dm_slice_eq(dm_slice_from(name, stem.len), suffix);
    }
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT; i++) {
        const struct dm_config_key *key = &dm_config_keys[i];
        if (dm_slice_eq(name, dm_slice_of(key->name)))
            return (struct dm_config_name){key, false};
        if (file && dm_config_is_secret(key) && dm_slice_eq(stem, dm_slice_of(key->name)))
            return (struct dm_config_name){key, true};
    }
    return (struct dm_config_name){NULL, false};
}

/* Edits between two short texts (Levenshtein), one row at a time. */
static size_t distance(struct dm_slice a, struct dm_slice b)
{
    size_t row[48];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = corner + (a.at[i - 1] != b.at[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b.len];
}

const char *dm_config_nearest(struct dm_slice name)
{
    const char *nearest = NULL;
    size_t best = 4;
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT && name.len < 40; i++) {
        struct dm_slice known = dm_slice_of(dm_config_keys[i].name);
        size_t edits = known.len < 47 ? distance(name, known) : best;
        if (edits < best && edits * 2 < known.len) {
            best = edits;
            nearest = dm_config_keys[i].name;
        }
    }
    return nearest;
}
