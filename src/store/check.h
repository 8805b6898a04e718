/*
 * Is a database sound? Its pages and indices (SQLite's own check), its tables
 * (are they what the migrations make?), and what we promise of its rows. Read
 * beside the server or without one; changes nothing.
 */
#ifndef DM_STORE_CHECK_H
#define DM_STORE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { DM_CHECK_SHOWN = 20 }; /* findings of one check that are shown; the others are counted */

struct dm_check_options {
    const char *database;
    bool (*dialect_known)(struct dm_slice name);
};

/*
 * Appends to `findings` a line for each thing that is wrong: "<name of the check>: <what>", and
 * counts them; none: it is sound. DM_OK, or DM_ERR_UNAVAILABLE and a sentence: it could not be
 * checked.
 */
int dm_check_database(const struct dm_check_options *options, struct dm_buf *findings,
                      uint64_t *count, struct dm_buf *why) DM_MUST_CHECK;

#endif
