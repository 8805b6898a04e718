/* What is read back of a row, checked: the file may have been through much. */
#include "store/rows_priv.h"

#include <string.h>

static bool column_uuid(sqlite3_stmt *statement, int column, struct dm_uuid *out)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    if (!bytes || sqlite3_column_bytes(statement, column) != sizeof out->bytes)
        return false;
    memcpy(out->bytes, bytes, sizeof out->bytes);
    return true;
}

static bool column_text(sqlite3_stmt *statement, int column, struct dm_slice *out)
{
    const void *bytes = sqlite3_column_text(statement, column);
    *out = dm_slice(bytes, (size_t)sqlite3_column_bytes(statement, column));
    return bytes != NULL;
}

bool dm_row_add_session(struct dm_store_op *op, sqlite3_stmt *row)
{
    struct dm_uuid id;
    struct dm_slice dialect, filters, attachment;
    if (!column_uuid(row, 0, &id) || !column_text(row, 1, &dialect) ||
        !column_text(row, 2, &filters))
        return false;
    (void)!column_text(row, 3, &attachment); /* NULL: none */
    dm_store_op_add_session(op, &id, dialect, filters, attachment);
    return true;
}

bool dm_row_add_pending(struct dm_store_op *op, sqlite3_stmt *row)
{
    struct dm_uuid envelope_id, session_id;
    if (!column_uuid(row, 0, &envelope_id) || !column_uuid(row, 1, &session_id))
        return false;
    dm_store_op_add_pending(op, &envelope_id, &session_id);
    return true;
}
