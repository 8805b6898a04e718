/* Batches, their commits, and the way back from a disk that failed. */
#include "store/writer_priv.h"

#include <malloc.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/apply_priv.h"
#include "store/migrate_priv.h"
#include "store/thread_priv.h"

enum {
    BATCH_MAX = 1024, /* operations a commit */
    IDLE_MS = 1000,   /* after so long without work the page cache is given back */
    RETRY_MS_MIN = 50,
    RETRY_MS_MAX = 2000,
};

static int note_log(void *self, sqlite3 *db, const char *schema, int pages)
{
    (void)db, (void)schema;
    ((struct dm_writer *)self)->log_pages = (uint32_t)pages;
    return SQLITE_OK;
}

static int prepare(struct dm_writer *writer, struct dm_buf *why)
{
    int rc = dm_connection_prepare(&writer->connection, DM_CONNECTION_WRITER, why);
    if (rc == SQLITE_OK)
        sqlite3_wal_hook(writer->connection.db, note_log, writer);
    return rc;
}

/* At once after a first failure, then less and less often, until a batch is written: a probe may
 * fit where a batch does not. */
static void wait_to_retry(struct dm_writer *writer)
{
    writer->retry_at = dm_clock_mono_ms() + writer->retry_after;
    writer->retry_after = writer->retry_after ? 2 * writer->retry_after : RETRY_MS_MIN;
    if (writer->retry_after > RETRY_MS_MAX)
        writer->retry_after = RETRY_MS_MAX;
}

/* A disk that is full, and a file that is locked or read-only, say so before any sync. */
static void note_doubt(struct dm_writer *writer, int rc)
{
    rc &= 0xff;
    if (rc != SQLITE_FULL && rc != SQLITE_BUSY && rc != SQLITE_READONLY)
        writer->doubtful = true;
    if (rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB)
        dm_readers_suspect(writer->readers);
}

/* Logs, and leaves the connection closed, whatever state its transaction was in. */
static void go_down(struct dm_writer *writer, const char *event)
{
    char code[16]; /* "disk I/O error" has some thirty kinds */
    int rc = sqlite3_extended_errcode(writer->connection.db);
    snprintf(code, sizeof code, "%d", rc);
    note_doubt(writer, rc);
    dm_log(DM_LOG_ERROR, event, "error", dm_connection_error(&writer->connection), "sqlite_code",
           code, NULL);
    atomic_store(&writer->state, DM_WRITER_DOWN);
    if (!sqlite3_get_autocommit(writer->connection.db))
        (void)!dm_connection_run(&writer->connection, DM_STATEMENT_ROLLBACK); /* closing does too */
    dm_connection_close(&writer->connection);
    wait_to_retry(writer);
}

/* A small commit that changes nothing but writes a page: that the file opens says little of
 * whether the disk takes writes. */
static int probe(struct dm_writer *writer)
{
    struct dm_connection *connection = &writer->connection;
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", dm_migration_count);
    int rc = writer->doubtful ? dm_connection_empty_log(connection) : SQLITE_OK;
    if (rc == SQLITE_OK)
        rc = dm_connection_run(connection, DM_STATEMENT_BEGIN);
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, sql);
    if (rc == SQLITE_OK)
        rc = dm_connection_run(connection, DM_STATEMENT_COMMIT);
    if (rc != SQLITE_OK)
        note_doubt(writer, rc);
    return rc;
}

static void try_again(struct dm_writer *writer)
{
    struct dm_buf why = DM_BUF_INIT;
    int rc = dm_connection_open(&writer->connection, &writer->settings, &why);
    if (rc == SQLITE_OK)
        rc = prepare(writer, &why);
    if (rc == SQLITE_OK) {
        dm_connection_set_patience(&writer->connection, false); /* requests are waiting */
        rc = probe(writer);
        dm_connection_set_patience(&writer->connection, true);
        if (rc != SQLITE_OK) {
            dm_buf_add_slice(&why, dm_slice_of(dm_connection_error(&writer->connection)));
            dm_connection_close(&writer->connection); /* rolls back */
        }
    }
    if (rc == SQLITE_OK) {
        writer->doubtful = false;
        atomic_store(&writer->state, DM_WRITER_SERVING);
        dm_log(DM_LOG_INFO, "store_recovered", NULL);
    } else {
        bool first = writer->retry_after <= RETRY_MS_MIN;
        dm_log(first ? DM_LOG_WARN : DM_LOG_DEBUG, "store_still_down", "error", dm_buf_text(&why),
               NULL);
        wait_to_retry(writer);
    }
    dm_buf_dispose(&why);
}

static bool is_down(const struct dm_writer *writer)
{
    return atomic_load_explicit(&writer->state, memory_order_relaxed) == DM_WRITER_DOWN;
}

/* Sets each operation's err as if the commit came to pass; DM_APPLIED if it is to be tried. */
static enum dm_applied apply_all(struct dm_writer *writer, struct dm_store_op *first)
{
    for (struct dm_store_op *op = first; op; op = op->next) {
        enum dm_applied applied = dm_apply(&writer->connection, op);
        if (applied == DM_APPLY_LOST || applied == DM_APPLY_DAMAGE)
            return applied;
        op->err = applied == DM_APPLIED ? DM_OK : DM_ERR_UNAVAILABLE;
    }
    return DM_APPLIED;
}

/* Those that had failed alone keep their error: of them it is known that nothing was written. */
static void fail_all(struct dm_store_op *first, int err)
{
    for (struct dm_store_op *op = first; op; op = op->next) {
        if (err == DM_ERR_UNAVAILABLE || op->err == DM_OK)
            op->err = err;
    }
}

static void write_each(struct dm_writer *writer, struct dm_store_op *first);

/* Nothing of the batch has been written. The one that met the damage fails, so that nobody else
 * has to: each now goes in a transaction of its own. */
static void step_around(struct dm_writer *writer, struct dm_store_op *first)
{
    dm_readers_suspect(writer->readers);
    fail_all(first, DM_ERR_UNAVAILABLE);
    if (dm_connection_run(&writer->connection, DM_STATEMENT_ROLLBACK) != SQLITE_OK) {
        go_down(writer, "store_batch_failed");
        return;
    }
    sqlite3_db_release_memory(writer->connection.db); /* the next one reads the page again */
    if (first->next)
        write_each(writer, first);
}

static void write_all(struct dm_writer *writer, struct dm_store_op *first)
{
    enum dm_applied applied = DM_APPLY_LOST;
    if (dm_connection_run(&writer->connection, DM_STATEMENT_BEGIN) == SQLITE_OK)
        applied = apply_all(writer, first);
    if (applied == DM_APPLY_LOST) {
        go_down(writer, "store_batch_failed");
        fail_all(first, DM_ERR_UNAVAILABLE);
    } else if (applied == DM_APPLY_DAMAGE) {
        step_around(writer, first);
    } else if (dm_connection_run(&writer->connection, DM_STATEMENT_COMMIT) != SQLITE_OK) {
        dm_metrics_add(writer->metrics, DM_METRIC_STORE_COMMIT_FAILURES, 1);
        go_down(writer, "store_commit_failed");
        fail_all(first, DM_ERR_COMMIT_UNKNOWN);
    } else {
        writer->retry_after = 0;
    }
}

static void write_each(struct dm_writer *writer, struct dm_store_op *first)
{
    for (struct dm_store_op *op = first; op && !is_down(writer); op = op->next) {
        struct dm_store_op *next = op->next;
        op->next = NULL;
        write_all(writer, op);
        op->next = next;
    }
}

static void count(struct dm_writer *writer, const struct dm_batch *batch, uint64_t began_us)
{
    uint64_t good = 0;
    for (const struct dm_store_op *op = batch->first; op; op = op->next)
        good += op->err == DM_OK;
    dm_metrics_add(writer->metrics, DM_METRIC_STORE_OPERATIONS, good);
    dm_metrics_add(writer->metrics, DM_METRIC_STORE_OPERATION_FAILURES, batch->count - good);
    if (is_down(writer))
        return;
    dm_metrics_add(writer->metrics, DM_METRIC_STORE_COMMITS, 1);
    dm_histogram_add(&writer->metrics->commit_rows, batch->count);
    dm_histogram_add(&writer->metrics->commit_tenths, (dm_clock_mono_us() - began_us) / 100);
}

/* To one shard all that are its own; the rest is returned. */
static struct dm_store_op *send_to_one(struct dm_writer *writer, struct dm_store_op *op)
{
    struct dm_mail *mails[BATCH_MAX];
    struct dm_store_op *rest = NULL, **end = &rest;
    uint32_t shard = op->shard;
    size_t count = 0;
    for (; op; op = op->next) {
        if (op->shard == shard) {
            mails[count++] = &op->mail;
        } else {
            *end = op;
            end = &op->next;
        }
    }
    *end = NULL;
    dm_post_all(&writer->post, shard, mails, count); /* whoever gets one may free it at once */
    return rest;
}

static void send_back(struct dm_writer *writer, struct dm_store_op *op)
{
    while (op)
        op = send_to_one(writer, op);
}

static void serve(struct dm_writer *writer, const struct dm_batch *batch)
{
    uint64_t began_us = dm_clock_mono_us();
    dm_metrics_set(writer->metrics, DM_METRIC_STORE_QUEUE, batch->count + batch->left);
    if (is_down(writer))
        fail_all(batch->first, DM_ERR_UNAVAILABLE);
    else
        write_all(writer, batch->first);
    count(writer, batch, began_us);
    dm_metrics_set(writer->metrics, DM_METRIC_STORE_QUEUE, batch->left);
    send_back(writer, batch->first);
    if (!is_down(writer))
        dm_checkpointer_mind(&writer->checkpointer, &writer->connection, writer->log_pages);
    writer->slim = false;
}

static void report(struct dm_writer *writer)
{
    uint64_t done = atomic_load(&writer->checkpointer.done);
    dm_metrics_add(writer->metrics, DM_METRIC_STORE_CHECKPOINTS,
                   done - writer->checkpoints_counted);
    writer->checkpoints_counted = done;
    dm_metrics_set(writer->metrics, DM_METRIC_STORE_WAL_BYTES,
                   (uint64_t)writer->log_pages * DM_LOG_PAGE_BYTES);
    dm_metrics_set(writer->metrics, DM_METRIC_STORE_WRITES_DOWN, is_down(writer));
}

static int64_t patience(const struct dm_writer *writer)
{
    if (!is_down(writer))
        return writer->slim ? DM_QUEUE_FOR_EVER : IDLE_MS;
    uint64_t now = dm_clock_mono_ms();
    return writer->retry_at > now ? (int64_t)(writer->retry_at - now) : 0;
}

/* After a burst its pages go back to SQLite's heap, and from there to the kernel. */
static void slim(struct dm_writer *writer)
{
    sqlite3_db_release_memory(writer->connection.db);
    malloc_trim(0);
    writer->slim = true;
}

static void *run(void *self)
{
    struct dm_writer *writer = self;
    for (;;) {
        if (is_down(writer) && dm_clock_mono_ms() >= writer->retry_at)
            try_again(writer);
        struct dm_batch batch = dm_queue_take(&writer->queue, BATCH_MAX, patience(writer));
        if (batch.closed)
            return NULL;
        if (batch.first)
            serve(writer, &batch);
        else if (!is_down(writer))
            slim(writer);
        report(writer);
    }
}

void dm_writer_init(struct dm_writer *writer, const struct dm_connection_settings *settings,
                    const struct dm_post *post, struct dm_metrics *metrics,
                    struct dm_readers *readers)
{
    *writer = (struct dm_writer){
        .settings = *settings, .post = *post, .metrics = metrics, .readers = readers};
    writer->settings.kind = DM_CONNECTION_WRITER;
    dm_queue_init(&writer->queue);
    dm_checkpointer_init(&writer->checkpointer, settings, &writer->queue);
}

/* Whatever sockets these rows were of died with the process that wrote them. Sessions that can be
 * resumed have dropped now; all others are gone. No ack is awaited: those of the publishes that
 * outlive their process count by their target. */
static int sweep(struct dm_connection *connection)
{
    int rc = dm_connection_exec(connection, dm_statement_sql(DM_STATEMENT_BEGIN));
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, dm_statement_sql(DM_STATEMENT_SWEEP_SESSIONS));
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, dm_statement_sql(DM_STATEMENT_SWEEP_DROPPED));
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, dm_statement_sql(DM_STATEMENT_SWEEP_PENDING));
    if (rc == SQLITE_OK)
        rc = dm_connection_exec(connection, dm_statement_sql(DM_STATEMENT_COMMIT));
    return rc;
}

static int look(struct dm_writer *writer)
{
    sqlite3_int64 holds = 0;
    int rc = dm_connection_number(&writer->connection,
                                  dm_statement_sql(DM_STATEMENT_HOLDS_PUBLISHES), &holds);
    writer->holds_publishes = holds != 0;
    if (rc == SQLITE_OK)
        rc = dm_connection_number(&writer->connection,
                                  dm_statement_sql(DM_STATEMENT_HOLDS_PRESENCE), &holds);
    writer->holds_presence = holds != 0;
    return rc;
}

static int set_up(struct dm_writer *writer, struct dm_buf *why)
{
    if (sqlite3_db_readonly(writer->connection.db, "main") != 0) {
        dm_buf_lit(why, "the database is read-only for this user; make it writable");
        return DM_ERR_UNAVAILABLE;
    }
    int err = dm_migrate(&writer->connection, dm_migrations, dm_migration_count, why);
    if (err == DM_OK && (sweep(&writer->connection) != SQLITE_OK || look(writer) != SQLITE_OK)) {
        dm_buf_printf(why, "the database cannot be written: %s",
                      dm_connection_error(&writer->connection));
        err = DM_ERR_UNAVAILABLE;
    }
    if (err == DM_OK && prepare(writer, why) != SQLITE_OK)
        err = DM_ERR_UNAVAILABLE;
    return err;
}

int dm_writer_open(struct dm_writer *writer, struct dm_buf *why)
{
    if (dm_connection_open(&writer->connection, &writer->settings, why) != SQLITE_OK)
        return DM_ERR_UNAVAILABLE;
    return set_up(writer, why);
}

bool dm_writer_start(struct dm_writer *writer)
{
    if (!dm_checkpointer_start(&writer->checkpointer))
        return false;
    writer->started = dm_thread_start(&writer->thread, "dm-writer", run, writer);
    return writer->started;
}

void dm_writer_finish(struct dm_writer *writer)
{
    dm_queue_close(&writer->queue);
    if (writer->started)
        pthread_join(writer->thread, NULL);
    writer->started = false;
}

void dm_writer_stop(struct dm_writer *writer)
{
    dm_writer_finish(writer);
    dm_checkpointer_stop(&writer->checkpointer);
    dm_connection_close(&writer->connection); /* the last one: copies the log and removes it */
    dm_queue_dispose(&writer->queue);
}
