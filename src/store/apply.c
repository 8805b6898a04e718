/*
 * What each kind of operation writes. An operation of several statements runs
 * inside a savepoint, so that it fails whole and alone; a single statement
 * undoes itself.
 */
#include "store/apply_priv.h"

#include "base/log.h"
#include "ports/store_channel.h"
#include "ports/store_publish.h"
#include "store/channel_priv.h"
#include "store/publish_priv.h"

static int run_pair(struct dm_connection *connection, enum dm_statement id,
                    const struct dm_uuid *session_id, const struct dm_uuid *envelope_id)
{
    sqlite3_stmt *statement = dm_connection_at(connection, id);
    dm_statement_bind_uuid(statement, 1, session_id);
    dm_statement_bind_uuid(statement, 2, envelope_id);
    return dm_statement_run(statement);
}

static int run_one(struct dm_connection *connection, enum dm_statement id,
                   const struct dm_uuid *key)
{
    sqlite3_stmt *statement = dm_connection_at(connection, id);
    dm_statement_bind_uuid(statement, 1, key);
    return dm_statement_run(statement);
}

static int save_user(struct dm_connection *connection, const struct dm_store_op *op)
{
    int rc = SQLITE_OK;
    for (uint32_t i = 0; i < op->session_count && rc == SQLITE_OK; i++)
        rc = dm_apply_save(connection, op, &op->sessions[i]);
    for (uint32_t i = 0; i < op->pending_count && rc == SQLITE_OK; i++)
        rc = run_pair(connection, DM_STATEMENT_SAVE_PENDING, &op->pending[i].session_id,
                      &op->pending[i].envelope_id);
    return rc;
}

static int forget_session(struct dm_connection *connection, const struct dm_store_op *op)
{
    int rc = run_one(connection, DM_STATEMENT_FORGET_SESSION, &op->session_id);
    if (rc == SQLITE_OK)
        rc = run_one(connection, DM_STATEMENT_FORGET_SESSION_PENDING, &op->session_id);
    return rc;
}

static int drop_session(struct dm_connection *connection, const struct dm_store_op *op)
{
    sqlite3_stmt *statement = dm_connection_at(connection, DM_STATEMENT_DROP_SESSION);
    dm_statement_bind_uuid(statement, 1, &op->session_id);
    dm_statement_bind_number(statement, 2, op->now);
    return dm_statement_run(statement);
}

static int forget_user(struct dm_connection *connection, struct dm_store_op *op)
{
    int rc = dm_channel_forget_user(connection, op);
    return rc == SQLITE_OK ? dm_publish_forget_user(connection, op) : rc;
}

static int carry_out(struct dm_connection *connection, struct dm_store_op *op)
{
    switch (op->kind) {
    case DM_STORE_OPEN_SESSION:
        return dm_apply_open(connection, op);
    case DM_STORE_RESUME_SESSION:
        return dm_apply_resume(connection, op);
    case DM_STORE_CONFIRM_SESSION:
        return dm_apply_confirm(connection, op);
    case DM_STORE_CONNECT_SESSION:
        return run_one(connection, DM_STATEMENT_CONNECT_SESSION, &op->session_id);
    case DM_STORE_END_SESSION:
        return run_one(connection, DM_STATEMENT_END_SESSION, &op->session_id);
    case DM_STORE_DROP_SESSION:
        return drop_session(connection, op);
    case DM_STORE_END_USER:
        return dm_apply_end_user(connection, op);
    case DM_STORE_REOPEN_SESSION:
        return dm_apply_reopen(connection, op);
    case DM_STORE_EXPIRE_SESSIONS:
        return dm_apply_expire(connection, op);
    case DM_STORE_SAVE_USER:
        return save_user(connection, op);
    case DM_STORE_FORGET_SESSION:
        return forget_session(connection, op);
    case DM_STORE_FORGET_PENDING:
        return run_pair(connection, DM_STATEMENT_FORGET_PENDING, &op->session_id, &op->envelope_id);
    case DM_STORE_FORGET_ENVELOPE:
        return run_one(connection, DM_STATEMENT_FORGET_ENVELOPE, &op->envelope_id);
    case DM_STORE_RECORD_PUBLISH:
        return dm_publish_record(connection, op);
    case DM_STORE_COUNT_PUBLISH:
        return dm_publish_count(connection, op);
    case DM_STORE_FINISH_PUBLISH:
        return dm_publish_finish(connection, op);
    case DM_STORE_FORGET_PUBLISH:
        return dm_publish_forget(connection, op);
    case DM_STORE_RECORD_ACK:
        return dm_publish_ack(connection, op);
    case DM_STORE_EXPIRE_PUBLISHES:
        return dm_publish_expire(connection, op);
    case DM_STORE_JOIN_CHANNEL:
        return dm_channel_join(connection, op);
    case DM_STORE_LEAVE_CHANNEL:
        return dm_channel_leave(connection, op);
    case DM_STORE_FORGET_CHANNEL:
        return dm_channel_forget(connection, op);
    case DM_STORE_FORGET_USER:
        return forget_user(connection, op);
    case DM_STORE_LOOK_PRESENCE:
        return dm_channel_look(connection, op);
    case DM_STORE_LOAD_USER:
    case DM_STORE_LOAD_OWED:
    case DM_STORE_LOAD_MEMBERS:
    case DM_STORE_LOOK_PUBLISH:
        break; /* the readers' */
    }
    DM_CHECK(!dm_store_reads(op->kind));
    return SQLITE_MISUSE;
}

static bool is_one_statement(const struct dm_store_op *op)
{
    switch (op->kind) {
    case DM_STORE_SAVE_USER:
        return op->session_count + op->pending_count <= 1;
    case DM_STORE_FORGET_SESSION:
    case DM_STORE_RESUME_SESSION:
    case DM_STORE_END_USER:
    case DM_STORE_EXPIRE_SESSIONS:
    case DM_STORE_RECORD_PUBLISH:
    case DM_STORE_FINISH_PUBLISH:
    case DM_STORE_FORGET_PUBLISH:
    case DM_STORE_RECORD_ACK:
    case DM_STORE_EXPIRE_PUBLISHES:
    case DM_STORE_JOIN_CHANNEL:
    case DM_STORE_LEAVE_CHANNEL:
    case DM_STORE_FORGET_USER:
        return false;
    default:
        return true;
    }
}

/* Undoes what a failed operation has done so far; SQLite may have rolled all back already. */
static enum dm_applied undo(struct dm_connection *connection, bool savepoint)
{
    int rc = sqlite3_errcode(connection->db) & 0xff;
    dm_log(DM_LOG_WARN, "store_operation_failed", "error", dm_connection_error(connection), NULL);
    if (sqlite3_get_autocommit(connection->db))
        return DM_APPLY_LOST;
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
        return DM_APPLY_DAMAGE;
    if (!savepoint)
        return DM_APPLY_FAILED;
    if (dm_connection_run(connection, DM_STATEMENT_ROLLBACK_TO) != SQLITE_OK ||
        dm_connection_run(connection, DM_STATEMENT_RELEASE) != SQLITE_OK)
        return DM_APPLY_LOST;
    return DM_APPLY_FAILED;
}

/* It may have been tried before, in a transaction that met a damaged page. */
static void forget_what_was_read(struct dm_store_op *op)
{
    if (op->kind == DM_STORE_RESUME_SESSION) {
        op->session_count = 1;
        op->pending_count = 0;
    }
    if (op->publish) {
        op->publish->result_count = 0;
        dm_buf_clear(&op->publish->results);
        op->publish->more = false;
    }
    if (op->channel)
        op->channel->count = 0;
}

enum dm_applied dm_apply(struct dm_connection *connection, struct dm_store_op *op)
{
    forget_what_was_read(op);
    bool savepoint = !is_one_statement(op);
    int rc = savepoint ? dm_connection_run(connection, DM_STATEMENT_SAVEPOINT) : SQLITE_OK;
    if (rc == SQLITE_OK)
        rc = carry_out(connection, op);
    if (rc == SQLITE_OK && savepoint)
        rc = dm_connection_run(connection, DM_STATEMENT_RELEASE);
    return rc == SQLITE_OK ? DM_APPLIED : undo(connection, savepoint);
}
