/*
 * Loads. A read transaction begins after the load was submitted, so it sees
 * every write that had come back by then.
 */
#include "store/reader_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "store/rows_priv.h"
#include "store/thread_priv.h"

enum { IDLE_MS = 1000 }; /* after so long without work the page cache is given back */

struct reader {
    struct dm_readers *all;
    struct dm_connection connection;
    bool failing;
    struct dm_buf key; /* the userId bound: the operation's own text moves as rows are added */
};

static int load_rows(struct reader *reader, struct dm_store_op *op, enum dm_statement id,
                     bool (*add)(struct dm_store_op *, sqlite3_stmt *))
{
    sqlite3_stmt *statement = dm_connection_at(&reader->connection, id);
    dm_statement_bind_text(statement, 1, dm_buf_slice(&reader->key));
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!add(op, statement)) {
            rc = SQLITE_CORRUPT;
            break;
        }
    }
    int reset = sqlite3_reset(statement);
    return rc == SQLITE_DONE ? reset : rc;
}

/* One transaction, so that both reads are of the same moment. */
static int load(struct reader *reader, struct dm_store_op *op)
{
    dm_buf_clear(&reader->key);
    dm_buf_add_slice(&reader->key, dm_store_op_text(op, op->user_id));
    int rc = dm_connection_run(&reader->connection, DM_STATEMENT_READ);
    if (rc == SQLITE_OK)
        rc = load_rows(reader, op, DM_STATEMENT_LOAD_SESSIONS, dm_row_add_session);
    if (rc == SQLITE_OK)
        rc = load_rows(reader, op, DM_STATEMENT_LOAD_PENDING, dm_row_add_pending);
    if (rc == SQLITE_OK)
        rc = dm_connection_run(&reader->connection, DM_STATEMENT_READ_END);
    return rc;
}

static int open_connection(struct reader *reader, struct dm_buf *why)
{
    if (reader->connection.db)
        return SQLITE_OK;
    int rc = dm_connection_open(&reader->connection, &reader->all->settings, why);
    if (rc == SQLITE_OK)
        rc = dm_connection_prepare(&reader->connection, DM_CONNECTION_READER, why);
    return rc;
}

/* The first failure and the recovery: what is between them may be thousands a second. */
static void tell(struct reader *reader, const char *error)
{
    if (error && !reader->failing)
        dm_log(DM_LOG_ERROR, "store_read_failed", "error", error, NULL);
    else if (!error && reader->failing)
        dm_log(DM_LOG_INFO, "store_reads_recovered", NULL);
    reader->failing = error != NULL;
}

/* After any failure the next load starts on a new connection. */
static void serve(struct reader *reader, struct dm_store_op *op)
{
    struct dm_buf why = DM_BUF_INIT;
    size_t text_len = op->text.len;
    int rc = open_connection(reader, &why);
    if (rc == SQLITE_OK) {
        rc = load(reader, op);
        if (rc != SQLITE_OK) {
            dm_buf_add_slice(&why, dm_slice_of(sqlite3_errstr(rc)));
            dm_connection_close(&reader->connection);
        }
    }
    op->err = DM_OK;
    tell(reader, rc == SQLITE_OK ? NULL : dm_buf_text(&why));
    if (rc != SQLITE_OK) {
        op->err = DM_ERR_UNAVAILABLE;
        op->session_count = op->pending_count = 0; /* half a user is none */
        op->text.len = text_len;
    }
    dm_buf_dispose(&why);
}

static void count(struct dm_readers *readers, const struct dm_batch *batch)
{
    pthread_mutex_lock(&readers->mutex);
    dm_metrics_add(readers->metrics, DM_METRIC_STORE_READS, batch->count);
    dm_metrics_set(readers->metrics, DM_METRIC_STORE_READ_QUEUE, batch->left);
    pthread_mutex_unlock(&readers->mutex);
}

static void *run(void *self)
{
    struct reader reader = {.all = self};
    struct dm_readers *all = self;
    struct dm_buf why = DM_BUF_INIT;
    bool slim = true;
    /* Now, while descriptors are at hand; where it fails the first load tries again, and tells. */
    (void)!open_connection(&reader, &why);
    dm_buf_dispose(&why);
    for (;;) {
        struct dm_batch batch =
            dm_queue_take(&all->queue, 1, slim ? DM_QUEUE_FOR_EVER : (int64_t)IDLE_MS);
        if (batch.closed)
            break;
        slim = !batch.first;
        if (batch.first) {
            count(all, &batch);
            serve(&reader, batch.first);
            all->post.send(all->post.self, batch.first->shard, &batch.first->mail);
        } else if (reader.connection.db) {
            sqlite3_db_release_memory(reader.connection.db);
        }
    }
    dm_connection_close(&reader.connection);
    dm_buf_dispose(&reader.key);
    return NULL;
}

void dm_readers_init(struct dm_readers *readers, const struct dm_connection_settings *settings,
                     const struct dm_post *post, struct dm_metrics *metrics)
{
    *readers = (struct dm_readers){.settings = *settings, .post = *post, .metrics = metrics};
    readers->settings.kind = DM_CONNECTION_READER;
    dm_queue_init(&readers->queue);
    pthread_mutex_init(&readers->mutex, NULL);
}

bool dm_readers_start(struct dm_readers *readers, uint32_t count)
{
    while (readers->count < count) {
        if (!dm_thread_start(&readers->threads[readers->count], "dm-reader", run, readers))
            return false;
        readers->count++;
    }
    return true;
}

void dm_readers_stop(struct dm_readers *readers)
{
    dm_queue_close(&readers->queue);
    for (uint32_t i = 0; i < readers->count; i++)
        pthread_join(readers->threads[i], NULL);
    pthread_mutex_destroy(&readers->mutex);
    dm_queue_dispose(&readers->queue);
}
