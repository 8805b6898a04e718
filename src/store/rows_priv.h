/*
 * From rows to an operation: (id, dialect, filters, attachment), and
 * (envelope_id, session_id). False where a row holds what the schema forbids.
 * Whichever of the store's threads has the operation.
 */
#ifndef DM_STORE_ROWS_PRIV_H
#define DM_STORE_ROWS_PRIV_H

#include <sqlite3.h>
#include <stdbool.h>

#include "ports/store.h"

bool dm_row_add_session(struct dm_store_op *op, sqlite3_stmt *row);
bool dm_row_add_pending(struct dm_store_op *op, sqlite3_stmt *row);

#endif
