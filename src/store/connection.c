/* Opening a connection with the house's settings, and running single statements on it. */
#include "store/connection_priv.h"

/* How long a statement waits for another process (a backup, someone's shell) that holds the file.
 * The house's own connections never wait for one another in WAL mode. */
enum { BUSY_TIMEOUT_MS = 5000, BRIEF_TIMEOUT_MS = 100 };

static const char *cache_setting(enum dm_connection_kind kind)
{
    return kind == DM_CONNECTION_WRITER ? "PRAGMA cache_size = -1024;"
                                        : "PRAGMA cache_size = -512;";
}

static int set(struct dm_connection *connection, const struct dm_connection_settings *settings)
{
    sqlite3 *db = connection->db;
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    sqlite3_wal_autocheckpoint(db, 0); /* checkpoint.c's */
    int rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (rc ==
        SQLITE_OK) /* the lookaside's 48 KiB a connection are worth 8 bytes an asleep session */
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
                                            "PRAGMA secure_delete = FAST;"
                                            "PRAGMA journal_size_limit = 16777216;");
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, settings->sync_full ? "PRAGMA synchronous = FULL;"
                                                                : "PRAGMA synchronous = NORMAL;");
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, cache_setting(settings->kind));
    return rc;
}

static int failed(struct dm_connection *connection, int rc, struct dm_buf *why)
{
    dm_buf_add_slice(
        why, dm_slice_of(connection->db ? dm_connection_error(connection) : sqlite3_errstr(rc)));
    dm_connection_close(connection);
    return rc;
}

int dm_connection_open(struct dm_connection *connection,
                       const struct dm_connection_settings *settings, struct dm_buf *why)
{
    *connection = (struct dm_connection){0};
    int flags =
        settings->kind == DM_CONNECTION_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    int rc = sqlite3_open_v2(settings->path, &connection->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = set(connection, settings);
    return rc == SQLITE_OK ? rc : failed(connection, rc, why);
}

int dm_connection_prepare(struct dm_connection *connection, enum dm_connection_kind kind,
                          struct dm_buf *why)
{
    int rc = dm_statements_prepare(&connection->statements, connection->db, kind);
    return rc == SQLITE_OK ? rc : failed(connection, rc, why);
}

void dm_connection_close(struct dm_connection *connection)
{
    dm_statements_finalize(&connection->statements);
    int rc = sqlite3_close(connection->db); /* NULL is a no-op */
    DM_CHECK(rc == SQLITE_OK);              /* else a statement is still open: ours to prevent */
    connection->db = NULL;
}

int dm_connection_exec(struct dm_connection *connection, const char *sql)
{
    return sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
}

int dm_connection_run(struct dm_connection *connection, enum dm_statement id)
{
    return dm_statement_run(dm_connection_at(connection, id));
}

int dm_connection_number(struct dm_connection *connection, const char *sql, sqlite3_int64 *out)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    int final = sqlite3_finalize(statement);
    if (rc == SQLITE_ROW)
        return SQLITE_OK;
    return final == SQLITE_OK ? SQLITE_ERROR : final; /* no row is a failure too */
}

void dm_connection_set_patience(struct dm_connection *connection, bool patient)
{
    sqlite3_busy_timeout(connection->db, patient ? BUSY_TIMEOUT_MS : BRIEF_TIMEOUT_MS);
}

int dm_connection_empty_log(struct dm_connection *connection)
{
    return sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

const char *dm_connection_error(const struct dm_connection *connection)
{
    return sqlite3_errmsg(connection->db);
}
