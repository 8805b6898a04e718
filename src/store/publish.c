/*
 * Recorded publishes: who has published what, whom it is for, and what was
 * acked.
 *
 *   recorded ──► open ── answered, or its deadline passed ──► done ── expires_at ──► gone
 *
 * and beside that, where it is durable:
 *
 *   owed to each target ── its first ack, or owed_until ──► not owed
 *
 * Acks count while it is open or owed to the acking user. When the last target
 * is settled the envelope goes, and the rest stays for as long as its publisher
 * may ask.
 */
#include "store/publish_priv.h"

#include <string.h>

#include "model/limits.h"
#include "ports/store_channel.h"
#include "ports/store_publish.h"
#include "store/rows_priv.h"

static uint64_t column_number(sqlite3_stmt *row, int column)
{
    return (uint64_t)sqlite3_column_int64(row, column);
}

static void bind_key(sqlite3_stmt *statement, sqlite3_int64 number)
{
    dm_statement_bind_number(statement, 1, (uint64_t)number);
}

static int run_for(struct dm_connection *connection, enum dm_statement id, sqlite3_int64 number)
{
    sqlite3_stmt *statement = dm_connection_at(connection, id);
    bind_key(statement, number);
    return dm_statement_run(statement);
}

static int run_each(struct dm_connection *connection, const enum dm_statement *ids, size_t count,
                    sqlite3_int64 number)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
        rc = run_for(connection, ids[i], number);
    return rc;
}

enum { ROWS_AT_ONCE = 512 /* as the statements of the two below say it */ };

/* SQLITE_ROW: there may be more; SQLITE_OK: all are gone. */
static int forget_some(struct dm_connection *connection, enum dm_statement id, sqlite3_int64 number)
{
    int rc = run_for(connection, id, number);
    return rc == SQLITE_OK && sqlite3_changes(connection->db) == ROWS_AT_ONCE ? SQLITE_ROW : rc;
}

static int end_debts(struct dm_connection *connection, sqlite3_int64 number)
{
    static const enum dm_statement ids[] = {DM_STATEMENT_FORGET_OWED_ENVELOPE,
                                            DM_STATEMENT_CANCEL_DEBT};
    int rc = forget_some(connection, DM_STATEMENT_FORGET_TARGETS, number);
    return rc == SQLITE_OK ? run_each(connection, ids, DM_COUNT(ids), number) : rc;
}

static int forget(struct dm_connection *connection, sqlite3_int64 number)
{
    static const enum dm_statement ids[] = {DM_STATEMENT_FORGET_TALLY, DM_STATEMENT_FORGET_PUBLISH};
    int rc = forget_some(connection, DM_STATEMENT_FORGET_RESULTS, number);
    if (rc == SQLITE_OK)
        rc = end_debts(connection, number);
    return rc == SQLITE_OK ? run_each(connection, ids, DM_COUNT(ids), number) : rc;
}

int dm_publish_forget_wholly(struct dm_connection *connection, sqlite3_int64 number)
{
    int rc = SQLITE_ROW;
    while (rc == SQLITE_ROW)
        rc = forget(connection, number);
    return rc;
}

/* --- reading --- */

static bool is_column(sqlite3_stmt *row, int column, struct dm_slice value)
{
    const char *bytes = sqlite3_column_blob(row, column);
    size_t len = (size_t)sqlite3_column_bytes(row, column);
    return bytes && dm_slice_eq(dm_slice(bytes, len), value);
}

static bool is_its_principal(const struct dm_store_op *op, sqlite3_stmt *row)
{
    return is_column(row, 7, dm_store_op_text(op, op->publish->principal));
}

static bool is_the_same(const struct dm_store_op *op, sqlite3_stmt *row)
{
    const struct dm_store_publish *publish = op->publish;
    struct dm_slice hash = dm_slice((const char *)publish->body_hash, sizeof publish->body_hash);
    return publish->repeatable && is_its_principal(op, row) && is_column(row, 8, hash);
}

int dm_publish_find(struct dm_connection *connection, struct dm_store_op *op,
                    struct dm_found_publish *found)
{
    sqlite3_stmt *find = dm_connection_at(connection, DM_STATEMENT_FIND_PUBLISH);
    struct dm_store_publish *publish = op->publish;
    dm_statement_bind_uuid(find, 1, &op->envelope_id);
    int rc = dm_statement_find(find);
    if (rc != SQLITE_ROW)
        return rc;
    *found = (struct dm_found_publish){.number = sqlite3_column_int64(find, 0),
                                       .done = sqlite3_column_int(find, 1),
                                       .deadline = column_number(find, 2),
                                       .owed_until = column_number(find, 3),
                                       .expires_at = column_number(find, 6)};
    publish->found =
        found->done || found->deadline <= op->now ? DM_RECORDED_DONE : DM_RECORDED_OPEN;
    if (op->kind == DM_STORE_RECORD_PUBLISH && !is_the_same(op, find))
        publish->found = DM_RECORDED_OTHER;
    publish->client_count = (uint32_t)column_number(find, 4);
    publish->delivered = (uint32_t)column_number(find, 5);
    publish->deadline = found->deadline;
    publish->number = (uint64_t)found->number;
    bool hidden =
        op->kind == DM_STORE_LOOK_PUBLISH && !publish->anybodys && !is_its_principal(op, find);
    rc = sqlite3_reset(find);
    return rc != SQLITE_OK ? rc : hidden ? SQLITE_DONE : SQLITE_ROW;
}

static int read_results(struct dm_connection *connection, struct dm_store_op *op,
                        sqlite3_int64 number)
{
    sqlite3_stmt *list = dm_connection_at(connection, DM_STATEMENT_LIST_RESULTS);
    bind_key(list, number);
    return dm_rows_add(list, op, dm_row_add_result);
}

static int count_owed(struct dm_connection *connection, struct dm_store_op *op,
                      const struct dm_found_publish *found)
{
    op->publish->owed = 0;
    if (found->owed_until <= op->now)
        return SQLITE_OK;
    sqlite3_stmt *count = dm_connection_at(connection, DM_STATEMENT_COUNT_DEBTORS);
    bind_key(count, found->number);
    int rc = dm_statement_find(count);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_ERROR : rc;
    op->publish->owed = (uint32_t)column_number(count, 0);
    return sqlite3_reset(count);
}

static int read_answer(struct dm_connection *connection, struct dm_store_op *op,
                       const struct dm_found_publish *found)
{
    int rc = read_results(connection, op, found->number);
    return rc == SQLITE_OK ? count_owed(connection, op, found) : rc;
}

int dm_publish_look(struct dm_connection *connection, struct dm_store_op *op)
{
    struct dm_found_publish found;
    int rc = dm_publish_find(connection, op, &found);
    if (rc == SQLITE_ROW && found.expires_at > op->now)
        return read_answer(connection, op, &found);
    op->publish->found = DM_RECORDED_NOT;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- answering --- */

static void bind_counts(sqlite3_stmt *statement, const struct dm_store_op *op)
{
    dm_statement_bind_uuid(statement, 1, &op->envelope_id);
    dm_statement_bind_number(statement, 2, op->publish->client_count);
    dm_statement_bind_number(statement, 3, op->publish->delivered);
}

int dm_publish_count(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *count = dm_connection_at(connection, DM_STATEMENT_COUNT_PUBLISH);
    bind_counts(count, op);
    return dm_statement_run(count);
}

int dm_publish_finish(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_stmt *finish = dm_connection_at(connection, DM_STATEMENT_FINISH_PUBLISH);
    struct dm_found_publish found;
    bind_counts(finish, op);
    dm_statement_bind_number(finish, 4, op->now + op->publish->retention);
    int rc = dm_statement_run(finish);
    op->publish->found = DM_RECORDED_NOT;
    if (rc == SQLITE_OK)
        rc = dm_publish_find(connection, op, &found);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
    return run_for(connection, DM_STATEMENT_FORGET_SETTLED, found.number);
}

int dm_publish_forget(struct dm_connection *connection, struct dm_store_op *op)
{
    struct dm_found_publish found;
    int rc = dm_publish_find(connection, op, &found);
    if (rc == SQLITE_ROW)
        return dm_publish_forget_wholly(connection, found.number);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* --- acks --- */

/* What an ack meets: the publish, and the acking user among its targets. */
struct target {
    sqlite3_int64 number;
    bool open, owed;
    uint64_t result_bytes;
};

/* One that is open counts the acks of those who were sent it. Whom a process before this one has
 * sent it nobody knows: there it is every session that was there then. */
static bool is_open(const struct dm_store_op *op, sqlite3_stmt *row)
{
    uint64_t deadline = column_number(row, 2), asked_at = column_number(row, 5);
    if (sqlite3_column_int(row, 1))
        return false;
    return op->publish->awaited ||
           (deadline > op->now && asked_at < op->oldest && dm_uuid_ms(&op->session_id) <= asked_at);
}

/* SQLITE_ROW, SQLITE_DONE or an error. */
static int find_target(struct dm_connection *connection, const struct dm_store_op *op,
                       struct target *target)
{
    sqlite3_stmt *find = dm_connection_at(connection, DM_STATEMENT_FIND_TARGET);
    dm_statement_bind_uuid(find, 1, &op->envelope_id);
    dm_statement_bind_text(find, 2, dm_store_op_text(op, op->user_id));
    int rc = dm_statement_find(find);
    if (rc != SQLITE_ROW)
        return rc;
    target->number = sqlite3_column_int64(find, 0);
    target->open = is_open(op, find);
    target->result_bytes = column_number(find, 6);
    target->owed = sqlite3_column_int(find, 3) && column_number(find, 4) > op->now;
    rc = sqlite3_reset(find);
    return rc == SQLITE_OK ? SQLITE_ROW : rc;
}

static int end_debt(struct dm_connection *connection, const struct dm_store_op *op,
                    sqlite3_int64 number)
{
    sqlite3_stmt *end = dm_connection_at(connection, DM_STATEMENT_END_DEBT);
    bind_key(end, number);
    dm_statement_bind_number(end, 2, op->now);
    dm_statement_bind_number(end, 3, op->publish->retention);
    int rc = dm_statement_run(end);
    if (rc == SQLITE_OK && sqlite3_changes(connection->db) > 0)
        rc = run_for(connection, DM_STATEMENT_FORGET_OWED_ENVELOPE, number);
    return rc;
}

static int settle(struct dm_connection *connection, const struct dm_store_op *op,
                  const struct target *target)
{
    sqlite3_stmt *settle = dm_connection_at(connection, target->open ? DM_STATEMENT_SETTLE_TARGET
                                                                     : DM_STATEMENT_FORGET_TARGET);
    bind_key(settle, target->number);
    dm_statement_bind_text(settle, 2, dm_store_op_text(op, op->user_id));
    int rc = dm_statement_run(settle);
    return rc == SQLITE_OK ? end_debt(connection, op, target->number) : rc;
}

/* --- a user that is forgotten --- */

static int list_debts(struct dm_connection *connection, const struct dm_store_op *op,
                      sqlite3_int64 *numbers, size_t *count)
{
    sqlite3_stmt *list = dm_connection_at(connection, DM_STATEMENT_LIST_DEBTS);
    int rc;
    dm_statement_bind_text(list, 1, dm_store_op_text(op, op->user_id));
    dm_statement_bind_number(list, 2, DM_FORGOTTEN_AT_ONCE);
    for (*count = 0; (rc = sqlite3_step(list)) == SQLITE_ROW;)
        numbers[(*count)++] = sqlite3_column_int64(list, 0);
    int reset = sqlite3_reset(list);
    return rc == SQLITE_DONE ? reset : rc;
}

int dm_publish_forget_user(struct dm_connection *connection, struct dm_store_op *op)
{
    sqlite3_int64 numbers[DM_FORGOTTEN_AT_ONCE];
    size_t count = 0;
    int rc = list_debts(connection, op, numbers, &count);
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
        const struct target target = {.number = numbers[i], .open = false};
        rc = settle(connection, op, &target);
    }
    op->channel->more |= count == DM_FORGOTTEN_AT_ONCE;
    return rc;
}

/* --- acks --- */

static int tally(struct dm_connection *connection, const struct target *target, size_t bytes)
{
    sqlite3_stmt *tally = dm_connection_at(connection, DM_STATEMENT_TALLY_RESULT);
    bind_key(tally, target->number);
    dm_statement_bind_number(tally, 2, bytes);
    return dm_statement_run(tally);
}

/* SQLITE_DONE: the session has acked before. */
static int add_result(struct dm_connection *connection, struct dm_store_op *op,
                      const struct target *target)
{
    struct dm_slice value = dm_store_op_text(op, op->publish->result);
    sqlite3_stmt *add = dm_connection_at(connection, DM_STATEMENT_ADD_RESULT);
    op->publish->cut = target->result_bytes + value.len > DM_RESULT_BYTES_MAX;
    if (op->publish->cut)
        value = DM_SLICE("null");
    bind_key(add, target->number);
    dm_statement_bind_uuid(add, 2, &op->session_id);
    dm_statement_bind_text(add, 3, value);
    int rc = dm_statement_run(add);
    if (rc != SQLITE_OK || sqlite3_changes(connection->db) == 0)
        return rc == SQLITE_OK ? SQLITE_DONE : rc;
    return tally(connection, target, value.len);
}

int dm_publish_ack(struct dm_connection *connection, struct dm_store_op *op)
{
    struct target target = {0};
    op->publish->found = DM_RECORDED_NOT;
    int rc = find_target(connection, op, &target);
    if (rc == SQLITE_ROW && (target.open || target.owed))
        rc = add_result(connection, op, &target);
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return SQLITE_OK;
    if (rc == SQLITE_OK)
        op->publish->found = target.open ? DM_RECORDED_OPEN : DM_RECORDED_DONE;
    return rc == SQLITE_OK && target.owed ? settle(connection, op, &target) : rc;
}

/* --- the end --- */

enum { PUBLISHES_AT_ONCE = 64 };

/* Ends what a statement finds, one by one, until it finds none or has done much. */
static int end_found(struct dm_connection *connection, struct dm_store_op *op,
                     enum dm_statement find_id,
                     int (*end)(struct dm_connection *connection, sqlite3_int64 number))
{
    sqlite3_stmt *find = dm_connection_at(connection, find_id);
    for (int i = 0; i < PUBLISHES_AT_ONCE; i++) {
        dm_statement_bind_number(find, 1, op->now);
        if (find_id == DM_STATEMENT_FIND_EXPIRED)
            dm_statement_bind_number(find, 2, op->oldest);
        int rc = dm_statement_find(find);
        if (rc != SQLITE_ROW)
            return rc == SQLITE_DONE ? SQLITE_OK : rc;
        sqlite3_int64 number = sqlite3_column_int64(find, 0);
        rc = sqlite3_reset(find);
        if (rc == SQLITE_OK)
            rc = end(connection, number);
        if (rc != SQLITE_OK && rc != SQLITE_ROW)
            return rc;
        op->publish->more |= rc == SQLITE_ROW;
        if (rc == SQLITE_ROW)
            return SQLITE_OK;
    }
    op->publish->more = true;
    return SQLITE_OK;
}

int dm_publish_expire(struct dm_connection *connection, struct dm_store_op *op)
{
    int rc = end_found(connection, op, DM_STATEMENT_FIND_OVERDUE, end_debts);
    return rc == SQLITE_OK ? end_found(connection, op, DM_STATEMENT_FIND_EXPIRED, forget) : rc;
}
