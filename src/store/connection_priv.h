/*
 * One SQLite connection with its settings and its prepared statements. Used by
 * one thread at a time; nothing in it is shared with another connection but
 * the file.
 */
#ifndef DM_STORE_CONNECTION_PRIV_H
#define DM_STORE_CONNECTION_PRIV_H

#include "base/buf.h"
#include "store/statements.h"

struct dm_connection {
    sqlite3 *db; /* NULL: closed */
    struct dm_statements statements;
};

struct dm_connection_settings {
    const char *path; /* absolute; the file is there */
    bool sync_full;
    enum dm_connection_kind kind; /* NONE: only for checkpoints */
};

/* Opens and sets, and prepares nothing, so that it does for a file that has no tables yet and
 * changes no file that is not ours. SQLite's result codes; `connection` is closed on failure,
 * and `why` then says what SQLite says. */
int dm_connection_open(struct dm_connection *connection,
                       const struct dm_connection_settings *settings,
                       struct dm_buf *why) DM_MUST_CHECK;
int dm_connection_prepare(struct dm_connection *connection, enum dm_connection_kind kind,
                          struct dm_buf *why) DM_MUST_CHECK;
void dm_connection_close(struct dm_connection *connection); /* nothing to do when closed */

int dm_connection_exec(struct dm_connection *connection, const char *sql) DM_MUST_CHECK;
int dm_connection_run(struct dm_connection *connection, enum dm_statement id) DM_MUST_CHECK;
int dm_connection_number(struct dm_connection *connection, const char *sql,
                         sqlite3_int64 *out) DM_MUST_CHECK; /* the first column of the first row */

/* How long a statement waits for another process that holds the file; at first some seconds. */
void dm_connection_set_patience(struct dm_connection *connection, bool patient);

/*
 * Copies all of the log into the database and syncs that, so that the log
 * starts anew with the next commit. Of a log that was read back from the file
 * nobody knows what has reached the disk: where a sync has failed since it was
 * written, the system shows pages that it will never write. SQLITE_BUSY: a
 * reader of another process holds on to it.
 */
int dm_connection_empty_log(struct dm_connection *connection) DM_MUST_CHECK;

static inline sqlite3_stmt *dm_connection_at(struct dm_connection *connection, enum dm_statement id)
{
    return connection->statements.prepared[id];
}

/* What the connection's last failure was, in SQLite's words: names of tables, never values. */
const char *dm_connection_error(const struct dm_connection *connection);

#endif
