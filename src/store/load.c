/* Loads: a user that wakes, what it is owed, and a publish that is asked for. */
#include "store/load_priv.h"

#include "ports/store_channel.h"
#include "ports/store_publish.h"
#include "store/channel_priv.h"
#include "store/publish_priv.h"
#include "store/rows_priv.h"

static int load_rows(struct dm_connection *connection, struct dm_store_op *op,
                     struct dm_slice user_id, enum dm_statement id,
                     bool (*add)(struct dm_store_op *, sqlite3_stmt *))
{
    sqlite3_stmt *statement = dm_connection_at(connection, id);
    dm_statement_bind_text(statement, 1, user_id);
    return dm_rows_add(statement, op, add);
}

static int load_user(struct dm_connection *connection, struct dm_store_op *op,
                     struct dm_slice user_id)
{
    int rc = load_rows(connection, op, user_id, DM_STATEMENT_LOAD_SESSIONS, dm_row_add_session);
    if (rc == SQLITE_OK)
        rc = load_rows(connection, op, user_id, DM_STATEMENT_LOAD_PENDING, dm_row_add_pending);
    return rc;
}

static bool is_full(const struct dm_store_op *op)
{
    return op->page->count >= DM_OWED_PAGE_ROWS || op->text.len >= DM_OWED_PAGE_BYTES;
}

static int load_owed(struct dm_connection *connection, struct dm_store_op *op,
                     struct dm_slice user_id)
{
    sqlite3_stmt *statement = dm_connection_at(connection, DM_STATEMENT_LOAD_OWED);
    struct dm_store_page *page = dm_store_op_page(op);
    int rc;
    dm_statement_bind_text(statement, 1, user_id);
    dm_statement_bind_number(statement, 2, page->after);
    dm_statement_bind_number(statement, 3, op->now);
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && !is_full(op))
        if (!dm_row_add_owed(op, statement))
            break;
    page->more = rc == SQLITE_ROW && is_full(op);
    int reset = sqlite3_reset(statement);
    if (rc == SQLITE_ROW)
        return page->more ? reset : SQLITE_CORRUPT;
    return rc == SQLITE_DONE ? reset : rc;
}

static int read(struct dm_connection *connection, struct dm_store_op *op, struct dm_slice user_id)
{
    switch (op->kind) {
    case DM_STORE_LOOK_PUBLISH:
        return dm_publish_look(connection, op);
    case DM_STORE_LOAD_OWED:
        return load_owed(connection, op, user_id);
    case DM_STORE_LOAD_MEMBERS:
        return dm_channel_load_members(connection, op);
    default:
        return load_user(connection, op, user_id);
    }
}

int dm_load(struct dm_connection *connection, struct dm_store_op *op, struct dm_slice user_id)
{
    int rc = dm_connection_run(connection, DM_STATEMENT_READ);
    if (rc == SQLITE_OK)
        rc = read(connection, op, user_id);
    if (rc == SQLITE_OK)
        rc = dm_connection_run(connection, DM_STATEMENT_READ_END);
    return rc;
}

void dm_load_undo(struct dm_store_op *op)
{
    op->session_count = op->pending_count = 0;
    if (op->page)
        op->page->count = 0;
    if (op->channel)
        op->channel->count = 0;
    if (op->publish) {
        op->publish->result_count = 0;
        dm_buf_clear(&op->publish->results);
    }
}
