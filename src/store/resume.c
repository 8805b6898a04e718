/* Opening sessions that can be resumed, resuming them, and letting them go. */
#include "model/name.h"
#include "store/apply_priv.h"
#include "store/rows_priv.h"

/* The first six columns, in their order. */
static void bind_session(sqlite3_stmt *statement, const struct dm_store_op *op,
                         const struct dm_store_session *session)
{
    struct dm_slice user_id = dm_store_op_text(op, op->user_id);
    dm_statement_bind_uuid(statement, 1, &session->id);
    dm_statement_bind_number(statement, 2, dm_slot_of(user_id));
    dm_statement_bind_text(statement, 3, user_id);
    dm_statement_bind_text(statement, 4, dm_store_op_text(op, session->dialect));
    dm_statement_bind_text(statement, 5, dm_store_op_text(op, session->filters));
    if (session->attachment.len)
        dm_statement_bind_text(statement, 6, dm_store_op_text(op, session->attachment));
    else
        dm_statement_bind_none(statement, 6);
}

int dm_apply_save(struct dm_connection *connection, const struct dm_store_op *op,
                  const struct dm_store_session *session)
{
    sqlite3_stmt *save = dm_connection_at(connection, DM_STATEMENT_SAVE_SESSION);
    bind_session(save, op, session);
    return dm_statement_run(save);
}

int dm_apply_reopen(struct dm_connection *connection, const struct dm_store_op *op)
{
    sqlite3_stmt *reopen = dm_connection_at(connection, DM_STATEMENT_REOPEN_SESSION);
    bind_session(reopen, op, &op->sessions[0]);
    dm_statement_bind_bytes(reopen, 7, op->next_resume, sizeof op->next_resume);
    dm_statement_bind_bytes(reopen, 8, op->resume, sizeof op->resume);
    return dm_statement_run(reopen);
}

int dm_apply_end_user(struct dm_connection *connection, const struct dm_store_op *op)
{
    static const enum dm_statement statements[] = {DM_STATEMENT_END_USER,
                                                   DM_STATEMENT_FORGET_DROPPED};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < DM_COUNT(statements) && rc == SQLITE_OK; i++) {
        sqlite3_stmt *statement = dm_connection_at(connection, statements[i]);
        dm_statement_bind_text(statement, 1, dm_store_op_text(op, op->user_id));
        rc = dm_statement_run(statement);
    }
    return rc;
}

int dm_apply_open(struct dm_connection *connection, const struct dm_store_op *op)
{
    sqlite3_stmt *open = dm_connection_at(connection, DM_STATEMENT_OPEN_SESSION);
    bind_session(open, op, &op->sessions[0]);
    dm_statement_bind_bytes(open, 7, op->next_resume, sizeof op->next_resume);
    return dm_statement_run(open);
}

/* What was bound must not move while the statement runs, and op->text does as rows are added. */
static int find(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *find = dm_connection_at(connection, DM_STATEMENT_FIND_SESSION);
    struct dm_buf key = DM_BUF_INIT;
    dm_buf_add_slice(&key, dm_store_op_text(op, op->user_id));
    size_t user_len = key.len;
    dm_buf_add_slice(&key, dm_store_op_text(op, op->sessions[0].dialect));
    dm_statement_bind_text(find, 1, dm_slice(key.bytes, user_len));
    dm_statement_bind_text(find, 2, dm_slice_from(dm_buf_slice(&key), user_len));
    dm_statement_bind_bytes(find, 3, op->resume, sizeof op->resume);
    dm_statement_bind_number(find, 4, op->oldest);
    int rc = dm_rows_add(find, op, dm_row_add_session);
    dm_statement_bind_none(find, 1);
    dm_statement_bind_none(find, 2);
    dm_buf_dispose(&key);
    return rc;
}

static int take_over(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *resume = dm_connection_at(connection, DM_STATEMENT_RESUME_SESSION);
    sqlite3_stmt *pending = dm_connection_at(connection, DM_STATEMENT_FIND_SESSION_PENDING);
    struct dm_uuid id = op->sessions[1].id;
    dm_statement_bind_uuid(resume, 1, &id);
    dm_statement_bind_bytes(resume, 2, op->next_resume, sizeof op->next_resume);
    dm_statement_bind_bytes(resume, 3, op->resume, sizeof op->resume);
    int rc = dm_statement_run(resume);
    if (rc != SQLITE_OK)
        return rc;
    dm_statement_bind_uuid(pending, 1, &id);
    return dm_rows_add(pending, op, dm_row_add_pending);
}

int dm_apply_resume(struct dm_connection *connection, struct dm_store_op *op)
{
    int rc = find(connection, op);
    if (rc != SQLITE_OK)
        return rc;
    op->resumed = op->session_count > 1;
    return op->resumed ? take_over(connection, op) : dm_apply_open(connection, op);
}

int dm_apply_confirm(struct dm_connection *connection, const struct dm_store_op *op)
{
    sqlite3_stmt *confirm = dm_connection_at(connection, DM_STATEMENT_CONFIRM_SESSION);
    dm_statement_bind_uuid(confirm, 1, &op->session_id);
    dm_statement_bind_bytes(confirm, 2, op->next_resume, DM_RESUME_PRINT_LEN);
    return dm_statement_run(confirm);
}

int dm_apply_expire(struct dm_connection *connection, const struct dm_store_op *op)
{
    static const enum dm_statement statements[] = {DM_STATEMENT_EXPIRE_PENDING,
                                                   DM_STATEMENT_EXPIRE_SESSIONS};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < DM_COUNT(statements) && rc == SQLITE_OK; i++) {
        sqlite3_stmt *statement = dm_connection_at(connection, statements[i]);
        dm_statement_bind_number(statement, 1, op->oldest);
        rc = dm_statement_run(statement);
    }
    return rc;
}
