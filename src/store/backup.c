/*
 * The copy is made by SQLite page by page, within one read transaction: every
 * page is of the moment at which that began. Its file is nobody's business yet,
 * so it is written without journal and sync; both come when the transaction has
 * ended, for as long as that lasts the server's log cannot start over.
 */
#include "store/backup.h"

#include <sys/stat.h>

#include "base/err.h"
#include "store/backup_file_priv.h"
#include "store/look_priv.h"

enum { CHUNK_PAGES = 256 };

struct copying {
    const struct dm_backup_options *options;
    struct dm_look source;
    sqlite3 *target;
    uint64_t log_start, log_most;
};

static int open_target(struct copying *copying, const char *path, struct dm_buf *why)
{
    int rc =
        sqlite3_open_v2(path, &copying->target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(copying->target,
                          "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                          "PRAGMA cache_size = -1024",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        return DM_OK;
    dm_buf_printf(why, "%s: cannot be opened: %s", path, sqlite3_errstr(rc));
    return DM_ERR_UNAVAILABLE;
}

/* Between two chunks: may it go on? */
static int look_about(struct copying *copying, struct dm_buf *why)
{
    const struct dm_backup_options *options = copying->options;
    if (options->stop && options->stop(options->self)) {
        dm_buf_printf(why, "%s: given up, as asked", options->file);
        return DM_ERR_UNAVAILABLE;
    }
    uint64_t log = dm_look_log_bytes(&copying->source);
    if (log > copying->log_most)
        copying->log_most = log;
    if (log <= options->log_max || log <= copying->log_start)
        return DM_OK;
    dm_buf_printf(why,
                  "%s: given up: the server writes so much that its log grew to %llu bytes in the "
                  "meantime; try at a quieter time, write to a faster disk, or let it grow further",
                  options->file, (unsigned long long)log);
    return DM_ERR_UNAVAILABLE;
}

static int copy_pages(struct copying *copying, struct dm_buf *why)
{
    sqlite3_backup *backup =
        sqlite3_backup_init(copying->target, "main", copying->source.connection.db, "main");
    int rc = backup ? SQLITE_OK : sqlite3_errcode(copying->target), err = DM_OK;
    copying->log_start = copying->log_most = dm_look_log_bytes(&copying->source);
    while (rc == SQLITE_OK && err == DM_OK) {
        rc = sqlite3_backup_step(backup, CHUNK_PAGES);
        if (rc == SQLITE_OK)
            err = look_about(copying, why);
    }
    int finish = sqlite3_backup_finish(backup); /* NULL is a no-op */
    if (err == DM_OK && (rc != SQLITE_DONE || finish != SQLITE_OK)) {
        dm_buf_printf(why, "%s: the copy failed: %s", copying->options->file,
                      sqlite3_errstr(rc != SQLITE_DONE ? rc : finish));
        err = DM_ERR_UNAVAILABLE;
    }
    return err;
}

static int copy(struct copying *copying, const char *path, struct dm_buf *why)
{
    const char *database = copying->options->database;
    int err = open_target(copying, path, why);
    if (err == DM_OK && dm_look_begin(&copying->source) != SQLITE_OK)
        err = dm_look_failed(&copying->source, database, "cannot be read", why);
    if (err == DM_OK)
        err = copy_pages(copying, why);
    int end = dm_look_end(&copying->source);
    if (err == DM_OK && end != SQLITE_OK)
        err = dm_look_failed(&copying->source, database, "cannot be read", why);
    int closed = sqlite3_close(copying->target);
    DM_CHECK(closed == SQLITE_OK); /* nothing is open on it */
    return err;
}

static int measure(const struct dm_backup_file *file, const struct copying *copying,
                   struct dm_backup_made *made)
{
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return DM_ERR_UNAVAILABLE;
    *made = (struct dm_backup_made){(uint64_t)status.st_size, copying->log_most};
    return DM_OK;
}

int dm_backup(const struct dm_backup_options *options, struct dm_backup_made *made,
              struct dm_buf *why)
{
    struct copying copying = {.options = options};
    struct dm_backup_file file;
    int err = dm_look_open(&copying.source, options->database, why);
    if (err != DM_OK)
        return err;
    err = dm_backup_file_begin(&file, options->file, why);
    if (err == DM_OK)
        err = copy(&copying, file.partial, why);
    dm_look_close(&copying.source);
    if (err == DM_OK)
        err = measure(&file, &copying, made);
    if (err == DM_OK)
        err = dm_backup_file_finish(&file, why);
    dm_backup_file_dispose(&file);
    return err;
}
