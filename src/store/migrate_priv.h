/*
 * Bringing a database's tables up to date. The version is the number of the
 * last migration applied, in `user_version`; `application_id` marks the file
 * as ours.
 */
#ifndef DM_STORE_MIGRATE_PRIV_H
#define DM_STORE_MIGRATE_PRIV_H

#include "store/connection_priv.h"

struct dm_migration {
    const char *name, *sql;
};

extern const struct dm_migration dm_migrations[]; /* made at build time from migrations/ */
extern const int dm_migration_count;

enum { DM_APPLICATION_ID = 0x646f726d }; /* "dorm" */

/* Refuses a file of another application or of a newer version, before it is changed at all; then
 * sets WAL mode, empties the log, and applies what is missing, each migration in one transaction.
 * DM_OK, or DM_ERR_UNAVAILABLE and a sentence. */
int dm_migrate(struct dm_connection *connection, const struct dm_migration *migrations, int count,
               struct dm_buf *why) DM_MUST_CHECK;

/* The first two steps of that, which change nothing. Whose file it is: refused if not ours or
 * nobody's; the version of nobody's, an empty file's, is 0. And whether this program knows the
 * version. */
int dm_migrate_version(struct dm_connection *connection, sqlite3_int64 *version,
                       struct dm_buf *why) DM_MUST_CHECK;
int dm_migrate_known(sqlite3_int64 version, int newest, struct dm_buf *why) DM_MUST_CHECK;

#endif
