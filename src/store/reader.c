/*
 * Loads. A read transaction begins after the load was submitted, so it sees
 * every write that had come back by then.
 */
#include "store/reader_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/load_priv.h"
#include "store/thread_priv.h"

enum {
    IDLE_MS = 1000, /* after so long without work the page cache is given back */
    RETRY_MS_MIN = 50,
    RETRY_MS_MAX = 2000,
    CHECK_REST = 50, /* after a check of all pages, so many times as long until the next */
};

/*
 *           a load fails
 *    WELL ---------------> FAILING --.
 *     ^                      |  ^    | tried again, or another load fails
 *     '----------------------'  '----'
 *        that load succeeds
 */
struct reader {
    struct dm_readers *all;
    struct dm_connection connection;
    struct dm_buf key; /* the userId bound: the operation's own text moves as rows are added */
    bool failing;
    struct dm_buf failed_key;       /* whose load it was */
    uint64_t retry_at, retry_after; /* while failing; monotonic milliseconds */
};

static int open_connection(struct reader *reader, struct dm_buf *why)
{
    if (reader->connection.db)
        return SQLITE_OK;
    int rc = dm_connection_open(&reader->connection, &reader->all->settings, why);
    if (rc == SQLITE_OK)
        rc = dm_connection_prepare(&reader->connection, DM_CONNECTION_READER, why);
    return rc;
}

static bool is_the_failed(const struct reader *reader)
{
    return dm_slice_eq(dm_buf_slice(&reader->key), dm_buf_slice(&reader->failed_key));
}

static void note_failure(struct reader *reader, const char *error)
{
    if (!reader->failing) { /* the first is told: there may be thousands a second */
        dm_log(DM_LOG_ERROR, "store_read_failed", "error", error, NULL);
        reader->failing = true;
        reader->retry_after = RETRY_MS_MIN;
        dm_buf_clear(&reader->failed_key);
        dm_buf_add_slice(&reader->failed_key, dm_buf_slice(&reader->key));
        atomic_fetch_add(&reader->all->failing, 1);
    } else if (is_the_failed(reader) && reader->retry_after < RETRY_MS_MAX) {
        reader->retry_after *= 2;
    }
    reader->retry_at = dm_clock_mono_ms() + reader->retry_after;
}

/* Another load's success says nothing of the one that failed. */
static void note_success(struct reader *reader)
{
    if (!reader->failing || !is_the_failed(reader))
        return;
    reader->failing = false;
    atomic_fetch_sub(&reader->all->failing, 1);
    dm_log(DM_LOG_INFO, "store_reads_recovered", NULL);
}

/* After any failure the next load starts on a new connection. */
static void serve(struct reader *reader, struct dm_store_op *op)
{
    struct dm_buf why = DM_BUF_INIT;
    size_t text_len = op->text.len;
    dm_buf_clear(&reader->key);
    dm_buf_add_slice(&reader->key, dm_store_op_text(op, op->user_id));
    int rc = open_connection(reader, &why);
    if (rc == SQLITE_OK) {
        rc = dm_load(&reader->connection, op, dm_buf_slice(&reader->key));
        if (rc != SQLITE_OK) {
            dm_buf_add_slice(&why, dm_slice_of(sqlite3_errstr(rc)));
            dm_connection_close(&reader->connection);
        }
    }
    op->err = DM_OK;
    if (rc == SQLITE_OK) {
        note_success(reader);
    } else {
        note_failure(reader, dm_buf_text(&why));
        op->err = DM_ERR_UNAVAILABLE;
        dm_load_undo(op); /* half a user is none */
        op->text.len = text_len;
    }
    dm_buf_dispose(&why);
}

/* --- is it over? --- */

static void load_again(struct reader *reader)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_LOAD_USER, 0, NULL);
    op->user_id = dm_store_op_add_text(op, dm_buf_slice(&reader->failed_key));
    serve(reader, op);
    dm_store_op_destroy(op);
}

static void check_pages(struct reader *reader)
{
    struct dm_readers *all = reader->all;
    struct dm_buf why = DM_BUF_INIT;
    sqlite3_int64 wrong = 1;
    uint64_t began = dm_clock_mono_ms();
    int rc = open_connection(reader, &why);
    if (rc == SQLITE_OK)
        rc = dm_connection_number(&reader->connection, dm_statement_sql(DM_STATEMENT_QUICK_CHECK),
                                  &wrong);
    if (rc != SQLITE_OK)
        dm_connection_close(&reader->connection);
    dm_buf_dispose(&why);
    uint64_t now = dm_clock_mono_ms(), rest = (now - began) * CHECK_REST;
    atomic_store(&all->check_at, now + (rest > RETRY_MS_MAX ? rest : RETRY_MS_MAX));
    if (rc == SQLITE_OK && wrong == 0) {
        atomic_store(&all->damaged, false);
        dm_log(DM_LOG_INFO, "store_damage_gone", NULL);
    }
}

/* Milliseconds until something is to be tried again; DM_QUEUE_FOR_EVER. */
static int64_t until_try(const struct reader *reader)
{
    const struct dm_readers *all = reader->all;
    uint64_t at = reader->failing ? reader->retry_at : UINT64_MAX, now = dm_clock_mono_ms();
    if (atomic_load(&all->damaged) && !atomic_load(&all->checking))
        at = dm_clock_earlier(at, atomic_load(&all->check_at));
    if (at == UINT64_MAX)
        return DM_QUEUE_FOR_EVER;
    return at > now ? (int64_t)(at - now) : 0;
}

static void try_again(struct reader *reader)
{
    struct dm_readers *all = reader->all;
    uint64_t now = dm_clock_mono_ms();
    if (reader->failing && now >= reader->retry_at)
        load_again(reader);
    if (atomic_load(&all->damaged) && now >= atomic_load(&all->check_at) &&
        !atomic_exchange(&all->checking, true)) {
        check_pages(reader);
        atomic_store(&all->checking, false);
    }
}

void dm_readers_suspect(struct dm_readers *readers)
{
    if (atomic_exchange(&readers->damaged, true))
        return;
    dm_log(DM_LOG_ERROR, "store_damaged", "what", "a page of the database makes no sense", "see",
           "dormouse check", NULL);
    dm_queue_poke(&readers->queue);
}

bool dm_readers_well(const struct dm_readers *readers)
{
    return atomic_load(&readers->failing) == 0 && !atomic_load(&readers->damaged);
}

static void count(struct dm_readers *readers, const struct dm_batch *batch)
{
    uint64_t failed = 0;
    for (const struct dm_store_op *op = batch->first; op; op = op->next)
        failed += op->err != DM_OK;
    pthread_mutex_lock(&readers->mutex);
    dm_metrics_add(readers->metrics, DM_METRIC_STORE_READS, batch->count);
    dm_metrics_add(readers->metrics, DM_METRIC_STORE_READ_FAILURES, failed);
    dm_metrics_set(readers->metrics, DM_METRIC_STORE_READ_QUEUE, batch->left);
    pthread_mutex_unlock(&readers->mutex);
}

static void report(struct dm_readers *readers)
{
    pthread_mutex_lock(&readers->mutex);
    dm_metrics_set(readers->metrics, DM_METRIC_STORE_READS_DOWN, !dm_readers_well(readers));
    pthread_mutex_unlock(&readers->mutex);
}

/* The failed are counted before whoever asked can look. */
static void serve_batch(struct reader *reader, const struct dm_batch *batch)
{
    struct dm_readers *all = reader->all;
    serve(reader, batch->first);
    count(all, batch);
    report(all);
    all->post.send(all->post.self, batch->first->shard, &batch->first->mail);
}

static int64_t patience(const struct reader *reader, bool slim)
{
    int64_t until = until_try(reader), idle = slim ? (int64_t)DM_QUEUE_FOR_EVER : IDLE_MS;
    if (until == DM_QUEUE_FOR_EVER || (idle != DM_QUEUE_FOR_EVER && idle < until))
        return idle;
    return until;
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
        struct dm_batch batch = dm_queue_take(&all->queue, 1, patience(&reader, slim));
        if (batch.closed)
            break;
        slim = !batch.first;
        if (batch.first)
            serve_batch(&reader, &batch);
        else if (reader.connection.db)
            sqlite3_db_release_memory(reader.connection.db);
        try_again(&reader);
        report(all);
    }
    dm_connection_close(&reader.connection);
    dm_buf_dispose(&reader.key);
    dm_buf_dispose(&reader.failed_key);
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
