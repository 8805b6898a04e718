/*
 * A connection to look at a database with, beside the server or without one:
 * it makes no file, migrates nothing and sweeps nothing. Closing the last
 * connection to a database tidies its write-ahead log away, as ever.
 */
#ifndef DM_STORE_LOOK_PRIV_H
#define DM_STORE_LOOK_PRIV_H

#include "store/connection_priv.h"

struct dm_look {
    struct dm_connection connection;
    sqlite3_int64 version;
};

/* DM_OK, or DM_ERR_UNAVAILABLE and a sentence that names the file: it is not there, not a
 * database, not ours, or one that no server has made its tables in. */
int dm_look_open(struct dm_look *look, const char *path, struct dm_buf *why) DM_MUST_CHECK;
/* For who reads the tables: refuses a version that is not this program's. */
int dm_look_is_current(const struct dm_look *look, const char *path,
                       struct dm_buf *why) DM_MUST_CHECK;
void dm_look_close(struct dm_look *look);

/* Everything read from here to the end is of one moment. SQLite's result codes. */
int dm_look_begin(struct dm_look *look) DM_MUST_CHECK;
int dm_look_end(struct dm_look *look) DM_MUST_CHECK;

/* What the write-ahead log takes on the disk; 0 when there is none. */
uint64_t dm_look_log_bytes(const struct dm_look *look);

/* Appends "<path>: <what>: <SQLite's words>"; DM_ERR_UNAVAILABLE. */
int dm_look_failed(const struct dm_look *look, const char *path, const char *what,
                   struct dm_buf *why);

#endif
