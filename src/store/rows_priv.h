/*
 * From rows to an operation: (id, dialect, filters, attachment); (envelope_id,
 * session_id); a result's value; (number, ts, envelope_id, type, payload, channel) of
 * what is owed; (name, since) of members. False where a
 * row holds what the schema forbids. Whichever of the store's threads has the operation.
 */
#ifndef DM_STORE_ROWS_PRIV_H
#define DM_STORE_ROWS_PRIV_H

#include <sqlite3.h>
#include <stdbool.h>

#include "base/check.h"
#include "ports/store.h"

bool dm_row_add_session(struct dm_store_op *op, sqlite3_stmt *row);
bool dm_row_add_pending(struct dm_store_op *op, sqlite3_stmt *row);
bool dm_row_add_result(struct dm_store_op *op, sqlite3_stmt *row);
bool dm_row_add_owed(struct dm_store_op *op, sqlite3_stmt *row);
bool dm_row_add_member(struct dm_store_op *op, sqlite3_stmt *row);

/* Adds all that a bound statement finds, and resets it: SQLITE_OK or an error. What is bound must
 * not be a text of the operation's: those move as rows are added. */
int dm_rows_add(sqlite3_stmt *statement, struct dm_store_op *op,
                bool (*add)(struct dm_store_op *op, sqlite3_stmt *row)) DM_MUST_CHECK;

#endif
