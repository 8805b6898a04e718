/* Members of channels: joining, leaving, and pages of them. */
#include "store/channel_priv.h"

#include "model/name.h"
#include "ports/store_channel.h"
#include "store/rows_priv.h"

/* --- changing --- */

/* The key of a row: channel, slot, user. */
static void bind_member(sqlite3_stmt *statement, const struct dm_store_op *op)
{
    struct dm_slice user_id = dm_store_op_text(op, op->user_id);
    dm_statement_bind_text(statement, 1, dm_store_op_text(op, op->channel->name));
    dm_statement_bind_number(statement, 2, dm_slot_of(user_id));
    dm_statement_bind_text(statement, 3, user_id);
}

/* A row's first number: SQLITE_ROW and `out`, SQLITE_DONE, or an error. */
static int find_number(sqlite3_stmt *statement, uint64_t *out)
{
    int rc = dm_statement_find(statement);
    if (rc != SQLITE_ROW)
        return rc;
    *out = (uint64_t)sqlite3_column_int64(statement, 0);
    rc = sqlite3_reset(statement);
    return rc == SQLITE_OK ? SQLITE_ROW : rc;
}

/* SQLITE_ROW: the user is in as many as it may be. */
static int is_full(struct dm_connection *connection, const struct dm_store_op *op)
{
    sqlite3_stmt *has = dm_connection_at(connection, DM_STATEMENT_HAS_CHANNELS);
    uint64_t found;
    dm_statement_bind_text(has, 1, dm_store_op_text(op, op->user_id));
    dm_statement_bind_number(has, 2, op->channel->max_channels - 1);
    return find_number(has, &found);
}

static int add(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *insert = dm_connection_at(connection, DM_STATEMENT_ADD_MEMBER);
    int rc = op->channel->max_channels ? is_full(connection, op) : SQLITE_DONE;
    if (rc == SQLITE_ROW) {
        op->channel->was = DM_MEMBER_TOO_MANY;
        return SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        return rc;
    bind_member(insert, op);
    dm_statement_bind_number(insert, 4, op->now);
    rc = dm_statement_run(insert);
    op->channel->was = DM_MEMBER_CHANGED;
    op->channel->joined_at = op->now;
    return rc;
}

int dm_channel_join(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *find = dm_connection_at(connection, DM_STATEMENT_FIND_MEMBER);
    bind_member(find, op);
    int rc = find_number(find, &op->channel->joined_at);
    if (rc == SQLITE_DONE)
        return add(connection, op);
    op->channel->was = DM_MEMBER_ALREADY;
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int dm_channel_leave(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *forget = dm_connection_at(connection, DM_STATEMENT_FORGET_MEMBER);
    bind_member(forget, op);
    int rc = dm_statement_run(forget);
    op->channel->was = sqlite3_changes(connection->db) > 0 ? DM_MEMBER_CHANGED : DM_MEMBER_NOT;
    return rc;
}

int dm_channel_forget(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *forget = dm_connection_at(connection, DM_STATEMENT_FORGET_MEMBERS);
    dm_statement_bind_text(forget, 1, dm_store_op_text(op, op->channel->name));
    dm_statement_bind_number(forget, 2, DM_MEMBERS_AT_ONCE);
    int rc = dm_statement_run(forget);
    op->channel->more = rc == SQLITE_OK && sqlite3_changes(connection->db) == DM_MEMBERS_AT_ONCE;
    return rc;
}

/* --- reading --- */

/* What is bound must not move while the statement runs, and op->text does as rows are added. */
static int add_rows(sqlite3_stmt *statement, struct dm_store_op *op, struct dm_store_text first,
                    struct dm_store_text second, bool (*row)(struct dm_store_op *, sqlite3_stmt *))
{
    struct dm_buf keys = DM_BUF_INIT;
    dm_buf_add_slice(&keys, dm_store_op_text(op, first));
    dm_buf_add_slice(&keys, dm_store_op_text(op, second));
    struct dm_slice both = dm_buf_slice(&keys);
    op->channel->count = 0;
    dm_statement_bind_text(statement, 1, dm_slice(both.at, first.len));
    if (sqlite3_bind_parameter_count(statement) == 5)
        dm_statement_bind_text(statement, 3,
                               second.len ? dm_slice_from(both, first.len) : DM_SLICE(""));
    int rc = dm_rows_add(statement, op, row);
    (void)sqlite3_clear_bindings(statement);
    dm_buf_dispose(&keys);
    return rc;
}

static const struct dm_store_text nothing;

int dm_channel_look(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *list = dm_connection_at(connection, DM_STATEMENT_LIST_PRESENCE_CHANNELS);
    return add_rows(list, op, op->user_id, nothing, dm_row_add_member);
}

/* A member's rows: of one user in each of the channels found. */
static int forget_each(struct dm_connection *connection, const struct dm_store_op *op)
{
    sqlite3_stmt *forget = dm_connection_at(connection, DM_STATEMENT_FORGET_MEMBER);
    struct dm_slice user_id = dm_store_op_text(op, op->user_id);
    int rc = SQLITE_OK;
    for (uint32_t i = 0; i < op->channel->count && rc == SQLITE_OK; i++) {
        dm_statement_bind_text(forget, 1, dm_store_op_text(op, op->channel->rows[i].name));
        dm_statement_bind_number(forget, 2, dm_slot_of(user_id));
        dm_statement_bind_text(forget, 3, user_id);
        rc = dm_statement_run(forget);
    }
    return rc;
}

int dm_channel_forget_user(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *list = dm_connection_at(connection, DM_STATEMENT_LIST_CHANNELS);
    dm_statement_bind_number(list, 2, DM_FORGOTTEN_AT_ONCE);
    int rc = add_rows(list, op, op->user_id, nothing, dm_row_add_member);
    op->channel->more = op->channel->count == DM_FORGOTTEN_AT_ONCE;
    return rc == SQLITE_OK ? forget_each(connection, op) : rc;
}

int dm_channel_load_members(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *load = dm_connection_at(connection, DM_STATEMENT_LOAD_MEMBERS);
    struct dm_store_channel *channel = op->channel;
    struct dm_slice after = dm_store_op_text(op, channel->after);
    dm_statement_bind_number(load, 2, after.len ? dm_slot_of(after) : channel->first_slot);
    dm_statement_bind_number(load, 4, channel->last_slot);
    dm_statement_bind_number(load, 5, (uint64_t)channel->limit + 1);
    int rc = add_rows(load, op, channel->name, channel->after, dm_row_add_member);
    channel->more = channel->count > channel->limit;
    channel->count -= channel->more;
    return rc;
}
