/*
 * One layer of the configuration (file, variables or flags) being put into it.
 * Private to the config files.
 */
#ifndef DM_CMD_CONFIG_LOAD_H
#define DM_CMD_CONFIG_LOAD_H

#include "cmd/config_key.h"

enum { DM_CONFIG_FILE_MAX = 1024 * 1024 };

struct dm_config_layer {
    struct dm_config *config;
    struct dm_buf *why;
    bool given[DM_CONFIG_ID_COUNT]; /* in this layer, to find what is given twice */
};

/* Where a value was found: how it is named in errors, and in check-config. */
struct dm_config_place {
    const char *where, *origin; /* "dormouse.yaml:3: listen", "dormouse.yaml:3" */
};

/* Puts one value or a whole list. Appends to `why` and says false when it cannot be. */
bool dm_config_put(struct dm_config_layer *layer, struct dm_config_name name,
                   struct dm_config_place place, const struct dm_strings *values,
                   bool is_list) DM_MUST_CHECK;

/* The same from a flag or a variable, where a list is one text with commas. */
bool dm_config_put_text(struct dm_config_layer *layer, struct dm_config_name name,
                        const char *where, struct dm_slice text) DM_MUST_CHECK;

/* Appends "where: …" to `why`; false, so that it can be returned. */
bool dm_config_fail(struct dm_buf *why, const char *where, const char *format, ...) DM_PRINTF(3, 4);

/* "is no configuration key", and the one that was perhaps meant. */
bool dm_config_unknown(struct dm_buf *why, const char *where, struct dm_slice name);

/* The layers. `name` is the file's name as messages have it. */
bool dm_config_from_yaml(struct dm_config_layer *layer, const char *name,
                         struct dm_slice text) DM_MUST_CHECK;
bool dm_config_from_environ(struct dm_config_layer *layer, char **env) DM_MUST_CHECK;
bool dm_config_from_flags(struct dm_config_layer *layer, int argc, char **argv) DM_MUST_CHECK;

/* The value of --config, NULL if it is not there; false when it has none. */
bool dm_config_file_flag(int argc, char **argv, const char **path,
                         struct dm_buf *why) DM_MUST_CHECK;

/* A whole file of at most DM_CONFIG_FILE_MAX bytes; warns when it holds a secret and others may
 * read it. */
bool dm_config_read_file(const char *path, struct dm_buf *text, bool *others_read,
                         struct dm_buf *problem) DM_MUST_CHECK;

/* Overwrites what may have been a secret, then frees it. */
void dm_config_wipe(struct dm_buf *text);

#endif
