/* Opening a database to look at it: what is refused, and in which words. */
#include "store/look_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/migrate_priv.h"

static int refuse(struct dm_buf *why, const char *path, const char *what)
{
    dm_buf_printf(why, "%s: %s", path, what);
    return DM_ERR_UNAVAILABLE;
}

/* SQLite would say only that it cannot open the file. */
static int find_file(const char *path, struct dm_buf *why)
{
    struct stat file;
    if (stat(path, &file) != 0) {
        if (errno == ENOENT)
            return refuse(why, path, "there is no such database; name it with --database");
        return refuse(why, path, strerror(errno));
    }
    return S_ISREG(file.st_mode) ? DM_OK : refuse(why, path, "is not a file");
}

static int look_around(struct dm_look *look, struct dm_buf *why)
{
    int err = dm_migrate_version(&look->connection, &look->version, why);
    if (err == DM_OK && look->version == 0) {
        dm_buf_lit(why, "the database is empty; start the server once, it makes the tables");
        err = DM_ERR_UNAVAILABLE;
    }
    return err;
}

int dm_look_open(struct dm_look *look, const char *path, struct dm_buf *why)
{
    struct dm_connection_settings settings = {.path = path, .sync_full = true};
    struct dm_buf reason = DM_BUF_INIT;
    *look = (struct dm_look){0};
    int err = find_file(path, why);
    if (err != DM_OK)
        return err;
    if (dm_connection_open(&look->connection, &settings, &reason) != SQLITE_OK)
        err = DM_ERR_UNAVAILABLE;
    else
        err = look_around(look, &reason);
    if (err != DM_OK) {
        refuse(why, path, dm_buf_text(&reason));
        dm_look_close(look);
    }
    dm_buf_dispose(&reason);
    return err;
}

int dm_look_is_current(const struct dm_look *look, const char *path, struct dm_buf *why)
{
    size_t start = why->len;
    dm_buf_printf(why, "%s: ", path);
    int err = dm_migrate_known(look->version, dm_migration_count, why);
    if (err != DM_OK)
        return err;
    if (look->version < dm_migration_count) {
        dm_buf_printf(why,
                      "the database has version %lld, made by an older dormouse; start this one "
                      "once, it brings it up to version %d",
                      (long long)look->version, dm_migration_count);
        return DM_ERR_UNAVAILABLE;
    }
    why->len = start;
    return DM_OK;
}

void dm_look_close(struct dm_look *look)
{
    dm_connection_close(&look->connection);
}

/* A transaction begins with its first read: so one is made here. */
int dm_look_begin(struct dm_look *look)
{
    sqlite3_int64 version;
    int rc = dm_connection_exec(&look->connection, dm_statement_sql(DM_STATEMENT_READ));
    if (rc == SQLITE_OK)
        rc = dm_connection_number(&look->connection, "PRAGMA user_version", &version);
    return rc;
}

int dm_look_end(struct dm_look *look)
{
    if (sqlite3_get_autocommit(look->connection.db)) /* some failures have ended it already */
        return SQLITE_OK;
    return dm_connection_exec(&look->connection, dm_statement_sql(DM_STATEMENT_READ_END));
}

uint64_t dm_look_log_bytes(const struct dm_look *look)
{
    struct stat file;
    const char *path = sqlite3_filename_wal(sqlite3_db_filename(look->connection.db, "main"));
    return stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
}

int dm_look_failed(const struct dm_look *look, const char *path, const char *what,
                   struct dm_buf *why)
{
    dm_buf_printf(why, "%s: %s: %s", path, what, dm_connection_error(&look->connection));
    return DM_ERR_UNAVAILABLE;
}
