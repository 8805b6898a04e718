/*
 * The table of configuration keys, and how a value of each type is read and
 * written. Private to the config files.
 */
#ifndef DM_CMD_CONFIG_KEY_H
#define DM_CMD_CONFIG_KEY_H

#include "cmd/config.h"

enum dm_config_type {
    DM_TYPE_ADDRESS,
    DM_TYPE_PATH,
    DM_TYPE_URL,
    DM_TYPE_CHOICE,
    DM_TYPE_TOGGLE,
    DM_TYPE_COUNT,
    DM_TYPE_DURATION,
    DM_TYPE_SIZE,
    DM_TYPE_ORIGINS,
    DM_TYPE_NETWORKS,
    DM_TYPE_TEXTS,
    DM_TYPE_SECRETS,
};

struct dm_config_key {
    const char *name, *standard, *help;
    enum dm_config_type type;
    const char *choices; /* "full|process" */
    uint64_t min, max;
    size_t offset; /* of the field in struct dm_config */
};

extern const struct dm_config_key dm_config_keys[DM_CONFIG_ID_COUNT];

/* A key as it was named: itself, or the `…_file` that a secret also has. */
struct dm_config_name {
    const struct dm_config_key *key; /* NULL: unknown */
    bool file;
};
struct dm_config_name dm_config_find(struct dm_slice name);

/* The known name that `name` is a slip of; NULL if none is near. */
const char *dm_config_nearest(struct dm_slice name);

static inline bool dm_config_is_list(const struct dm_config_key *key)
{
    return key->type == DM_TYPE_ORIGINS || key->type == DM_TYPE_NETWORKS ||
           key->type == DM_TYPE_TEXTS || key->type == DM_TYPE_SECRETS;
}

static inline bool dm_config_is_secret(const struct dm_config_key *key)
{
    return key->type == DM_TYPE_SECRETS;
}

/* Reads one value into its field, or appends it to the field's list. False: `problem`
 * says what is wrong, without the value if it is a secret. */
bool dm_config_read(struct dm_config *config, const struct dm_config_key *key, struct dm_slice text,
                    struct dm_buf *problem) DM_MUST_CHECK;
/* Back to no value; for a scalar that owns nothing there is nothing to do. */
void dm_config_clear(struct dm_config *config, const struct dm_config_key *key);

/* The value as a user would write it; lists in brackets, secrets "(set)" or "(not set)". */
void dm_config_write(const struct dm_config *config, const struct dm_config_key *key,
                     struct dm_buf *out);

/* "10s", "2m", "1h", "500ms", "0"; "64KiB", "1MiB", bytes. False: not such a text, or too large. */
bool dm_duration_read(struct dm_slice text, uint64_t *ms) DM_MUST_CHECK;
bool dm_size_read(struct dm_slice text, uint64_t *bytes) DM_MUST_CHECK;
bool dm_count_read(struct dm_slice text, uint64_t *count) DM_MUST_CHECK;
void dm_duration_write(uint64_t ms, struct dm_buf *out);
void dm_size_write(uint64_t bytes, struct dm_buf *out);

/* A user's text for a message: in quotes, cut short, controls as "?". */
void dm_config_quote(struct dm_slice text, struct dm_buf *out);

void dm_strings_add(struct dm_strings *strings, struct dm_slice text);
void dm_strings_wipe(struct dm_strings *strings); /* overwrites, then frees */

#endif
