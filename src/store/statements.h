/*
 * The statements of statements.def, by name: their text, preparing those of
 * one connection, and running one. A connection and what it has prepared
 * belong to one thread at a time.
 */
#ifndef DM_STORE_STATEMENTS_H
#define DM_STORE_STATEMENTS_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/check.h"
#include "base/slice.h"
#include "base/uuid.h"

enum dm_statement {
#define DM_STATEMENT(id, connection, sql) DM_STATEMENT_##id,
#include "store/statements.def"
#undef DM_STATEMENT
    DM_STATEMENT_COUNT
};

enum dm_connection_kind { /* of a statement: which of them prepare it */
                          DM_CONNECTION_NONE = 0,
                          DM_CONNECTION_WRITER = 1,
                          DM_CONNECTION_READER = 2,
                          DM_CONNECTION_BOTH = DM_CONNECTION_WRITER | DM_CONNECTION_READER,
};

struct dm_statements {
    sqlite3_stmt *prepared[DM_STATEMENT_COUNT];
};

const char *dm_statement_sql(enum dm_statement id);

/* SQLite's result codes, here and below. What was prepared is finalized by the second even if the
 * first failed halfway. */
int dm_statements_prepare(struct dm_statements *statements, sqlite3 *db,
                          enum dm_connection_kind kind) DM_MUST_CHECK;
void dm_statements_finalize(struct dm_statements *statements);

/* Binding copies nothing: the value must stay until the statement has run. It
 * fails only on a wrong index (ours to get right: checked) or a value over
 * SQLite's 1 GB, whose text is then NULL, which every column refuses. */
void dm_statement_bind_uuid(sqlite3_stmt *statement, int index, const struct dm_uuid *id);
void dm_statement_bind_text(sqlite3_stmt *statement, int index, struct dm_slice text);
void dm_statement_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t len);
void dm_statement_bind_none(sqlite3_stmt *statement, int index);
void dm_statement_bind_number(sqlite3_stmt *statement, int index, uint64_t number);

/* Runs one that returns no rows, and resets it: SQLITE_OK or an error. */
int dm_statement_run(sqlite3_stmt *statement) DM_MUST_CHECK;

/* The same for one with a row at most: SQLITE_ROW, and it must be reset when that is read;
 * SQLITE_DONE or an error, and it is reset. */
int dm_statement_find(sqlite3_stmt *statement) DM_MUST_CHECK;

#endif
