/*
 * The configuration, made of three layers: flags over DORMOUSE_ variables over
 * the YAML file. Keys, defaults and bounds are config.def's. Values of secrets
 * never appear in a message or in anything printed here. One thread.
 */
#ifndef DM_CMD_CONFIG_H
#define DM_CMD_CONFIG_H

#include <stdint.h>

#include "base/buf.h"
#include "base/log.h"
#include "model/limits.h"

enum dm_durability { DM_DURABILITY_FULL, DM_DURABILITY_PROCESS };
enum dm_metrics_access { DM_METRICS_LOCAL, DM_METRICS_PUBLIC };

struct dm_strings {
    char **all;
    size_t count;
};

/* What the types of config.def are in C. A CHOICE counts from 0 in the order of its words:
 * enum dm_durability, dm_metrics_access, dm_log_level, dm_log_format. */
#define DM_FIELD_ADDRESS(name) char *name;
#define DM_FIELD_PATH(name) char *name;
#define DM_FIELD_URL(name) char *name;
#define DM_FIELD_CHOICE(name) unsigned name;
#define DM_FIELD_TOGGLE(name) bool name;
#define DM_FIELD_COUNT(name) uint32_t name;
#define DM_FIELD_DURATION(name) uint64_t name; /* milliseconds */
#define DM_FIELD_SIZE(name) uint64_t name;     /* bytes */
#define DM_FIELD_ORIGINS(name) struct dm_strings name;
#define DM_FIELD_NETWORKS(name) struct dm_strings name;
#define DM_FIELD_TEXTS(name) struct dm_strings name;
#define DM_FIELD_SECRETS(name) struct dm_strings name;

enum dm_config_id {
#define DM_CONFIG(name, type, standard, bounds, help) DM_CONFIG_ID_##name,
#include "cmd/config.def"
#undef DM_CONFIG
    DM_CONFIG_ID_COUNT
};

struct dm_config {
#define DM_CONFIG(name, type, standard, bounds, help) DM_FIELD_##type(name)
#include "cmd/config.def"
#undef DM_CONFIG
    char *origin[DM_CONFIG_ID_COUNT]; /* "dormouse.yaml:3", "--listen"; NULL: the default */
    struct dm_buf warnings;           /* lines; what is allowed but unwise */
    int argc;                         /* what it was loaded from, to load it again: borrowed */
    char **argv, **env;
};

/*
 * Loads all of it. `argv` is what follows the subcommand; `env` ends with
 * NULL. The file is the one that --config names, else DORMOUSE_CONFIG, else none.
 * On DM_ERR_BAD_REQUEST (a flag) or DM_ERR_INVALID_FIELD (file or variable) `why` is
 * one line that names the place: "dormouse.yaml:3: hibernate_after: …". Dispose in either case.
 */
int dm_config_load(struct dm_config *config, int argc, char **argv, char **env,
                   struct dm_buf *why) DM_MUST_CHECK;
void dm_config_dispose(struct dm_config *config); /* wipes the secrets */

struct dm_limits dm_config_limits(const struct dm_config *config);

/* For people: the values and where each is from, secrets as "(set)"; the flags, for --help;
 * and the table of all keys in Markdown. */
void dm_config_print(const struct dm_config *config, struct dm_buf *out);
void dm_config_help(struct dm_buf *out);
void dm_config_markdown(struct dm_buf *out);

#endif
