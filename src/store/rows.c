/* What is read back of a row, checked: the file may have been through much. */
#include "store/rows_priv.h"

#include <string.h>

#include "ports/store_channel.h"
#include "ports/store_publish.h"

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

bool dm_row_add_result(struct dm_store_op *op, sqlite3_stmt *row)
{
    struct dm_slice value;
    if (!column_text(row, 0, &value))
        return false;
    dm_store_publish_add_result(dm_store_op_publish(op), value);
    return true;
}

bool dm_row_add_owed(struct dm_store_op *op, sqlite3_stmt *row)
{
    struct dm_slice type, payload, channel;
    struct dm_store_owed owed = {.number = (uint64_t)sqlite3_column_int64(row, 0),
                                 .ts = (uint64_t)sqlite3_column_int64(row, 1)};
    if (!column_uuid(row, 2, &owed.envelope_id) || !column_text(row, 3, &type))
        return false;
    (void)!column_text(row, 4, &payload); /* NULL: none */
    (void)!column_text(row, 5, &channel);
    dm_store_page_add(op, &owed, type, payload, channel);
    return true;
}

bool dm_row_add_member(struct dm_store_op *op, sqlite3_stmt *row)
{
    struct dm_slice name;
    if (!column_text(row, 0, &name))
        return false;
    dm_store_channel_add(op, name, (uint64_t)sqlite3_column_int64(row, 1));
    return true;
}

int dm_rows_add(sqlite3_stmt *statement, struct dm_store_op *op,
                bool (*add)(struct dm_store_op *op, sqlite3_stmt *row))
{
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && add(op, statement))
        ;
    int reset = sqlite3_reset(statement);
    if (rc == SQLITE_ROW)
        return SQLITE_CORRUPT;
    return rc == SQLITE_DONE ? reset : rc;
}
