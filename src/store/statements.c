/* The table of SQL statements, made from statements.def, and running them. */
#include "store/statements.h"

static const struct {
    enum dm_connection_kind kind;
    const char *sql;
} table[DM_STATEMENT_COUNT] = {
#define DM_STATEMENT(id, connection, sql) [DM_STATEMENT_##id] = {DM_CONNECTION_##connection, sql},
#include "store/statements.def"
#undef DM_STATEMENT
};

const char *dm_statement_sql(enum dm_statement id)
{
    return table[id].sql;
}

int dm_statements_prepare(struct dm_statements *statements, sqlite3 *db,
                          enum dm_connection_kind kind)
{
    int rc = SQLITE_OK;
    for (int id = 0; id < DM_STATEMENT_COUNT && rc == SQLITE_OK; id++) {
        if (table[id].kind & kind)
            rc = sqlite3_prepare_v3(db, table[id].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                    &statements->prepared[id], NULL);
    }
    return rc;
}

void dm_statements_finalize(struct dm_statements *statements)
{
    for (int id = 0; id < DM_STATEMENT_COUNT; id++) {
        sqlite3_finalize(statements->prepared[id]);
        statements->prepared[id] = NULL;
    }
}

void dm_statement_bind_uuid(sqlite3_stmt *statement, int index, const struct dm_uuid *id)
{
    int rc = sqlite3_bind_blob(statement, index, id->bytes, sizeof id->bytes, SQLITE_STATIC);
    DM_CHECK(rc == SQLITE_OK);
}

void dm_statement_bind_text(sqlite3_stmt *statement, int index, struct dm_slice text)
{
    int rc = sqlite3_bind_text64(statement, index, text.at, text.len, SQLITE_STATIC, SQLITE_UTF8);
    DM_CHECK(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

void dm_statement_bind_bytes(sqlite3_stmt *statement, int index, const void *bytes, size_t len)
{
    int rc = sqlite3_bind_blob64(statement, index, bytes, len, SQLITE_STATIC);
    DM_CHECK(rc == SQLITE_OK || rc == SQLITE_TOOBIG);
}

void dm_statement_bind_none(sqlite3_stmt *statement, int index)
{
    int rc = sqlite3_bind_null(statement, index);
    DM_CHECK(rc == SQLITE_OK);
}

void dm_statement_bind_number(sqlite3_stmt *statement, int index, uint64_t number)
{
    int rc = sqlite3_bind_int64(statement, index, (sqlite3_int64)number);
    DM_CHECK(rc == SQLITE_OK);
}

int dm_statement_run(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    return rc == SQLITE_DONE ? reset : rc;
}

int dm_statement_find(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        return rc;
    int reset = sqlite3_reset(statement);
    return rc == SQLITE_DONE && reset != SQLITE_OK ? reset : rc;
}
