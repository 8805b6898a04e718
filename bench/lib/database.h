/*
 * The server's database, opened by the benches: filled with one big
 * transaction while the server is not running, or looked into.
 */
#ifndef DM_BENCH_DATABASE_H
#define DM_BENCH_DATABASE_H

#include <stdint.h>

#include "base/check.h"

struct sqlite3;

/* All return 0, or -1 after saying why on stderr. */
int dm_database_open(const char *folder, struct sqlite3 **db) DM_MUST_CHECK;
int dm_database_begin(struct sqlite3 *db) DM_MUST_CHECK; /* without a log or a sync */
int dm_database_commit(struct sqlite3 *db) DM_MUST_CHECK;
/* What is not on the disk yet would be written there while the server is measured. */
int dm_database_sync(const char *folder) DM_MUST_CHECK;
int dm_database_execute(struct sqlite3 *db, const char *sql) DM_MUST_CHECK;
int dm_database_complain(struct sqlite3 *db, const char *what); /* -1 */

/* Users by number: user-00042 for the first `named`, user-00042.7 for the others. */
enum { DM_DATABASE_NAME = 32 };
void dm_database_name(uint32_t user, uint32_t named, char out[DM_DATABASE_NAME]);
uint32_t dm_database_slot(const char *user); /* as the server has it in its keys */

#endif
