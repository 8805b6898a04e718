/* When to copy the log, and the helper thread that does. */
#include "store/checkpoint_priv.h"

#include "base/log.h"
#include "store/thread_priv.h"

enum {
    HELPER_PAGES = 4 * 1024 * 1024 / DM_LOG_PAGE_BYTES,
    WRITER_PAGES = 16 * 1024 * 1024 / DM_LOG_PAGE_BYTES,
    WAIT_PAGES = 32 * 1024 * 1024 / DM_LOG_PAGE_BYTES,
};

void dm_checkpointer_init(struct dm_checkpointer *checkpointer,
                          const struct dm_connection_settings *settings, struct dm_queue *poke)
{
    *checkpointer =
        (struct dm_checkpointer){.settings = *settings, .poke = poke, .own_at = WRITER_PAGES};
    checkpointer->settings.kind = DM_CONNECTION_NONE;
    pthread_mutex_init(&checkpointer->mutex, NULL);
    pthread_cond_init(&checkpointer->wake, NULL);
}

static void complain(struct dm_checkpointer *checkpointer, const char *error)
{
    if (!atomic_exchange(&checkpointer->failing, true))
        dm_log(DM_LOG_WARN, "store_checkpoint_failed", "error", error, NULL);
}

/* Never waits: a passive one copies what no reader still needs from before, and is SQLITE_BUSY
 * while the other thread is at it. */
static int copy(struct dm_checkpointer *checkpointer, struct dm_connection *connection)
{
    int pages = 0, copied = 0;
    int rc =
        sqlite3_wal_checkpoint_v2(connection->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
    rc &= 0xff; /* without the finer distinctions */
    if (rc == SQLITE_OK) {
        atomic_store(&checkpointer->copied, copied > 0 ? (uint32_t)copied : 0);
        atomic_fetch_add(&checkpointer->done, 1);
        atomic_store(&checkpointer->failing, false);
    } else if (rc != SQLITE_BUSY) {
        complain(checkpointer, dm_connection_error(connection));
    }
    return rc;
}

static bool await(struct dm_checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    while (!checkpointer->wanted && !checkpointer->stopping)
        pthread_cond_wait(&checkpointer->wake, &checkpointer->mutex);
    bool go_on = !checkpointer->stopping;
    pthread_mutex_unlock(&checkpointer->mutex);
    return go_on;
}

/* Only now, so that what was asked for meanwhile is not done once more. */
static void finish(struct dm_checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->wanted = false;
    pthread_cond_broadcast(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
    dm_queue_poke(checkpointer->poke);
}

static bool open_connection(struct dm_checkpointer *checkpointer, struct dm_connection *connection)
{
    struct dm_buf why = DM_BUF_INIT;
    bool open = connection->db ||
                dm_connection_open(connection, &checkpointer->settings, &why) == SQLITE_OK;
    if (!open)
        complain(checkpointer, dm_buf_text(&why));
    dm_buf_dispose(&why);
    return open;
}

/* After any failure the next copy starts on a new connection. */
static void copy_aside(struct dm_checkpointer *checkpointer, struct dm_connection *connection)
{
    if (!open_connection(checkpointer, connection))
        return;
    int rc = copy(checkpointer, connection);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        dm_connection_close(connection);
}

static void *run(void *self)
{
    struct dm_checkpointer *checkpointer = self;
    struct dm_connection connection = {0};
    (void)!open_connection(checkpointer, &connection); /* while descriptors are at hand */
    while (await(checkpointer)) {
        copy_aside(checkpointer, &connection);
        finish(checkpointer);
    }
    dm_connection_close(&connection);
    return NULL;
}

bool dm_checkpointer_start(struct dm_checkpointer *checkpointer)
{
    checkpointer->started =
        dm_thread_start(&checkpointer->thread, "dm-checkpoint", run, checkpointer);
    return checkpointer->started;
}

void dm_checkpointer_stop(struct dm_checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->stopping = true;
    pthread_cond_broadcast(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
    if (checkpointer->started)
        pthread_join(checkpointer->thread, NULL);
    pthread_cond_destroy(&checkpointer->wake);
    pthread_mutex_destroy(&checkpointer->mutex);
}

static void ask(struct dm_checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    checkpointer->wanted = true;
    pthread_cond_broadcast(&checkpointer->wake);
    pthread_mutex_unlock(&checkpointer->mutex);
}

/* While the helper is at it the writer's own is SQLITE_BUSY, and the log grows on. */
static void await_helper(struct dm_checkpointer *checkpointer)
{
    pthread_mutex_lock(&checkpointer->mutex);
    while (checkpointer->wanted)
        pthread_cond_wait(&checkpointer->wake, &checkpointer->mutex);
    pthread_mutex_unlock(&checkpointer->mutex);
}

/* A reader that stays on an old snapshot (a backup, say) keeps the log from starting over: then
 * not at every commit, but each time so much has been added. */
static void copy_between_batches(struct dm_checkpointer *checkpointer, struct dm_connection *writer,
                                 uint32_t log_pages)
{
    if (log_pages >= WAIT_PAGES)
        await_helper(checkpointer);
    if (copy(checkpointer, writer) != SQLITE_BUSY) /* another process may be at it, too */
        checkpointer->own_at = log_pages + HELPER_PAGES;
}

void dm_checkpointer_mind(struct dm_checkpointer *checkpointer, struct dm_connection *writer,
                          uint32_t log_pages)
{
    uint32_t copied = atomic_load(&checkpointer->copied);
    if (log_pages < copied) /* it has started over */
        atomic_store(&checkpointer->copied, copied = 0);
    if (log_pages < WRITER_PAGES)
        checkpointer->own_at = WRITER_PAGES;
    if (log_pages >= checkpointer->own_at)
        copy_between_batches(checkpointer, writer, log_pages);
    else if (log_pages - copied >= HELPER_PAGES)
        ask(checkpointer);
}
