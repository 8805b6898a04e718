/*
 * Recording a publish: it, what is owed and to whom. Where it is for a channel
 * its targets are who is a member at this moment of the writer's.
 */
#include "store/publish_priv.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "ports/store_publish.h"

/* --- who are its targets --- */

static void add_target(struct dm_store_op *op, struct dm_slice user_id, uint32_t *room)
{
    struct dm_store_publish *publish = op->publish;
    if (publish->target_count == *room) {
        *room = *room ? 2 * *room : 16;
        publish->targets = dm_realloc(publish->targets, *room * sizeof *publish->targets);
    }
    publish->targets[publish->target_count++] = dm_store_op_add_text(op, user_id);
}

/* The first column of each row. */
static int add_rows(struct dm_store_op *op, sqlite3_stmt *list)
{
    uint32_t room = 0;
    int rc;
    free(op->publish->targets);
    op->publish->targets = NULL;
    op->publish->target_count = 0;
    while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
        const void *bytes = sqlite3_column_text(list, 0);
        if (!bytes)
            break;
        add_target(op, dm_slice(bytes, (size_t)sqlite3_column_bytes(list, 0)), &room);
    }
    int reset = sqlite3_reset(list);
    if (rc == SQLITE_ROW)
        return SQLITE_CORRUPT;
    return rc == SQLITE_DONE ? reset : rc;
}

/* SQLITE_DONE: they are its targets. SQLITE_ROW: they are too many. What is bound must not move
 * while the statement runs, and op->text does. */
static int take_members(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *list = dm_connection_at(connection, DM_STATEMENT_LIST_ALL_MEMBERS);
    struct dm_buf channel = DM_BUF_INIT;
    dm_buf_add_slice(&channel, dm_store_op_text(op, op->publish->channel));
    dm_statement_bind_text(list, 1, dm_buf_slice(&channel));
    dm_statement_bind_number(list, 2, (uint64_t)op->publish->max_targets + 1);
    int rc = add_rows(op, list);
    dm_statement_bind_none(list, 1);
    dm_buf_dispose(&channel);
    if (rc != SQLITE_OK)
        return rc;
    if (op->publish->target_count <= op->publish->max_targets)
        return SQLITE_DONE;
    op->publish->found = DM_RECORDED_TOO_WIDE;
    op->publish->target_count = 0;
    return SQLITE_ROW;
}

/* It was recorded before: those whose acks still count. */
static int take_targets(struct dm_connection *connection, struct dm_store_op *op,
                        sqlite3_int64 number)
{
    sqlite3_stmt *list = dm_connection_at(connection, DM_STATEMENT_LIST_TARGETS);
    dm_statement_bind_number(list, 1, (uint64_t)number);
    return add_rows(op, list);
}

/* --- its rows --- */

/* SQLITE_ROW: it is. SQLITE_DONE: not. */
static int is_owed_much(struct dm_connection *connection, const struct dm_store_op *op,
                        struct dm_store_text user_id)
{
    sqlite3_stmt *much = dm_connection_at(connection, DM_STATEMENT_IS_OWED_MUCH);
    dm_statement_bind_text(much, 1, dm_store_op_text(op, user_id));
    dm_statement_bind_number(much, 2, op->publish->max_owed);
    int rc = dm_statement_find(much);
    if (rc != SQLITE_ROW)
        return rc;
    rc = sqlite3_reset(much);
    return rc == SQLITE_OK ? SQLITE_ROW : rc;
}

static int check_owed(struct dm_connection *connection, struct dm_store_op *op)
{
    int rc = SQLITE_DONE;
    for (uint32_t i = 0; i < op->publish->target_count && rc == SQLITE_DONE; i++)
        rc = is_owed_much(connection, op, op->publish->targets[i]);
    if (rc == SQLITE_ROW)
        op->publish->found = DM_RECORDED_TOO_MUCH;
    return rc;
}

/* To an empty channel there is nobody to owe it to. */
static bool is_owed(const struct dm_store_op *op)
{
    return op->publish->durable && op->publish->target_count;
}

static int add_publish(struct dm_connection *connection, const struct dm_store_op *op)
{
    const struct dm_store_publish *publish = op->publish;
    sqlite3_stmt *add = dm_connection_at(connection, DM_STATEMENT_ADD_PUBLISH);
    uint64_t over = is_owed(op) ? publish->owed_until : publish->deadline;
    dm_statement_bind_uuid(add, 1, &op->envelope_id);
    dm_statement_bind_text(add, 2, dm_store_op_text(op, publish->principal));
    dm_statement_bind_none(add, 3);
    if (publish->repeatable)
        dm_statement_bind_bytes(add, 3, publish->body_hash, sizeof publish->body_hash);
    dm_statement_bind_number(add, 4, publish->deadline);
    dm_statement_bind_none(add, 5);
    if (is_owed(op))
        dm_statement_bind_number(add, 5, publish->owed_until);
    dm_statement_bind_number(add, 6, over + publish->retention);
    return dm_statement_run(add);
}

static int add_tally(struct dm_connection *connection, const struct dm_store_op *op,
                     sqlite3_int64 number)
{
    sqlite3_stmt *add = dm_connection_at(connection, DM_STATEMENT_ADD_TALLY);
    dm_statement_bind_number(add, 1, (uint64_t)number);
    dm_statement_bind_number(add, 2, op->now);
    return dm_statement_run(add);
}

static int add_envelope(struct dm_connection *connection, const struct dm_store_op *op,
                        sqlite3_int64 number)
{
    const struct dm_store_publish *publish = op->publish;
    sqlite3_stmt *add = dm_connection_at(connection, DM_STATEMENT_ADD_OWED_ENVELOPE);
    dm_statement_bind_number(add, 1, (uint64_t)number);
    dm_statement_bind_number(add, 2, publish->ts);
    dm_statement_bind_text(add, 3, dm_store_op_text(op, publish->type));
    dm_statement_bind_none(add, 4);
    if (publish->payload.len)
        dm_statement_bind_text(add, 4, dm_store_op_text(op, publish->payload));
    dm_statement_bind_none(add, 5);
    if (publish->channel.len)
        dm_statement_bind_text(add, 5, dm_store_op_text(op, publish->channel));
    return dm_statement_run(add);
}

static int add_targets(struct dm_connection *connection, const struct dm_store_op *op,
                       sqlite3_int64 number)
{
    const struct dm_store_publish *publish = op->publish;
    sqlite3_stmt *add = dm_connection_at(connection, DM_STATEMENT_ADD_TARGET);
    int rc = SQLITE_OK;
    for (uint32_t i = 0; i < publish->target_count && rc == SQLITE_OK; i++) {
        dm_statement_bind_number(add, 1, (uint64_t)number);
        dm_statement_bind_text(add, 2, dm_store_op_text(op, publish->targets[i]));
        dm_statement_bind_number(add, 3, publish->durable);
        rc = dm_statement_run(add);
    }
    return rc;
}

static int add(struct dm_connection *connection, struct dm_store_op *op)
{
    int rc = op->publish->channel.len ? take_members(connection, op) : SQLITE_DONE;
    if (rc == SQLITE_DONE && op->publish->durable)
        rc = check_owed(connection, op);
    if (rc != SQLITE_DONE)
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
    rc = add_publish(connection, op);
    sqlite3_int64 number = sqlite3_last_insert_rowid(connection->db);
    if (rc == SQLITE_OK)
        rc = add_tally(connection, op, number);
    if (rc == SQLITE_OK && is_owed(op))
        rc = add_envelope(connection, op, number);
    if (rc == SQLITE_OK)
        rc = add_targets(connection, op, number);
    op->publish->found = DM_RECORDED_NEW;
    op->publish->number = (uint64_t)number;
    return rc;
}

int dm_publish_record(struct dm_connection *connection, struct dm_store_op *op)
{
    struct dm_store_publish asked = *op->publish;
    struct dm_found_publish found;
    int rc = dm_publish_find(connection, op, &found);
    if (rc == SQLITE_ROW && found.expires_at <= op->now) {
        *op->publish = asked;
        rc = dm_publish_forget_wholly(connection, found.number);
        if (rc == SQLITE_OK)
            rc = SQLITE_DONE;
    }
    if (rc == SQLITE_DONE)
        return add(connection, op);
    if (rc == SQLITE_ROW && op->publish->resends && op->publish->found != DM_RECORDED_OTHER)
        return take_targets(connection, op, found.number);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}
