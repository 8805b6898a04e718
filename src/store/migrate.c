/* Whose file is it, how old is it, and the steps from there to now. */
#include "store/migrate_priv.h"

#include "base/err.h"
#include "base/log.h"

static int refuse(struct dm_connection *connection, struct dm_buf *why, const char *what)
{
    dm_buf_printf(why, "the database %s: %s", what, dm_connection_error(connection));
    return DM_ERR_UNAVAILABLE;
}

int dm_migrate_version(struct dm_connection *connection, sqlite3_int64 *version, struct dm_buf *why)
{
    sqlite3_int64 application = 0, things = 0;
    int rc = dm_connection_number(connection, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK)
        rc = dm_connection_number(connection, "PRAGMA user_version", version);
    if (rc == SQLITE_OK)
        rc = dm_connection_number(connection, "SELECT count(*) FROM sqlite_schema", &things);
    if (rc != SQLITE_OK)
        return refuse(connection, why, "cannot be read");
    bool empty = application == 0 && *version == 0 && things == 0;
    if (application == DM_APPLICATION_ID || empty)
        return DM_OK;
    dm_buf_lit(why, "the database belongs to another application; name another file");
    return DM_ERR_UNAVAILABLE;
}

int dm_migrate_known(sqlite3_int64 version, int newest, struct dm_buf *why)
{
    if (version >= 0 && version <= newest)
        return DM_OK;
    dm_buf_printf(why,
                  "the database has version %lld, made by a newer dormouse; this one (" DM_VERSION
                  ") knows versions up to %d: use the newer program, or a backup from before it",
                  (long long)version, newest);
    return DM_ERR_UNAVAILABLE;
}

static int set_wal(struct dm_connection *connection, struct dm_buf *why)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(connection->db, "PRAGMA journal_mode = WAL", -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    bool wal = rc == SQLITE_ROW &&
               sqlite3_stricmp((const char *)sqlite3_column_text(statement, 0), "wal") == 0;
    sqlite3_finalize(statement);
    if (wal)
        return DM_OK;
    if (rc != SQLITE_ROW)
        return refuse(connection, why, "cannot be written");
    dm_buf_lit(why, "the database cannot have a write-ahead log there; "
                    "put it on a local file system");
    return DM_ERR_UNAVAILABLE;
}

/* What the process before has left: see dm_connection_empty_log. A backup that runs beside the
 * start must not prevent it. */
static int empty_log(struct dm_connection *connection, struct dm_buf *why)
{
    dm_connection_set_patience(connection, false);
    int rc = dm_connection_empty_log(connection);
    dm_connection_set_patience(connection, true);
    if (rc == SQLITE_OK)
        return DM_OK;
    if ((rc & 0xff) != SQLITE_BUSY)
        return refuse(connection, why, "cannot be written");
    dm_log(DM_LOG_WARN, "store_log_kept", "why", "another process reads the database", NULL);
    return DM_OK;
}

static int apply(struct dm_connection *connection, const struct dm_migration *migration, int number,
                 struct dm_buf *why)
{
    struct dm_buf mark = DM_BUF_INIT;
    dm_buf_printf(&mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                  DM_APPLICATION_ID, number);
    int rc = dm_connection_exec(connection, "BEGIN IMMEDIATE");
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, migration->sql);
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, dm_buf_text(&mark));
    dm_buf_dispose(&mark);
    if (rc == SQLITE_OK) {
        dm_log(DM_LOG_INFO, "store_migrated", "migration", migration->name, NULL);
        return DM_OK;
    }
    dm_buf_printf(why, "the database's migration %s failed: %s", migration->name,
                  dm_connection_error(connection));
    if (!sqlite3_get_autocommit(connection->db))
        (void)!dm_connection_exec(connection, "ROLLBACK"); /* else closing does it */
    return DM_ERR_UNAVAILABLE;
}

int dm_migrate(struct dm_connection *connection, const struct dm_migration *migrations, int count,
               struct dm_buf *why)
{
    sqlite3_int64 version = 0;
    int err = dm_migrate_version(connection, &version, why);
    if (err == DM_OK)
        err = dm_migrate_known(version, count, why);
    if (err == DM_OK)
        err = set_wal(connection, why);
    if (err == DM_OK)
        err = empty_log(connection, why);
    for (int i = (int)version; i < count && err == DM_OK; i++)
        err = apply(connection, &migrations[i], i + 1, why);
    return err;
}
