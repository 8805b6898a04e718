/*
 * A subcommand's own flags, taken out of its arguments; what is left is the
 * configuration's.
 */
#ifndef DM_CMD_OPTIONS_H
#define DM_CMD_OPTIONS_H

#include "cmd/config.h"

enum dm_option_kind {
    DM_OPTION_TEXT, /* const char *: points into the arguments */
    DM_OPTION_MANY, /* struct dm_strings: copies, in order */
    DM_OPTION_SET,  /* bool: takes no value */
};

struct dm_option {
    const char *name; /* "--user" */
    enum dm_option_kind kind;
    void *at;
};

/* Moves what is left to the front of `argv` and says how many are left. False: misused; `why`
 * names the flag. */
bool dm_options_take(int *argc, char **argv, const struct dm_option *options, size_t count,
                     struct dm_buf *why) DM_MUST_CHECK;

#endif
