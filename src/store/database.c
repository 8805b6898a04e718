/* Puts the store together: the claim on the file, the writer, the readers; and the port. */
#include "store/database.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "base/log.h"
#include "store/absent_priv.h"
#include "store/claim_priv.h"
#include "store/reader_priv.h"
#include "store/writer_priv.h"

struct dm_database {
    struct dm_claim claim;
    struct dm_writer writer;
    struct dm_readers readers;
};

static int start(struct dm_database *database, uint32_t readers, struct dm_buf *why)
{
    if (dm_writer_start(&database->writer) && dm_readers_start(&database->readers, readers))
        return DM_OK;
    dm_buf_lit(why, "the store's threads cannot be started; allow this user more processes");
    return DM_ERR_UNAVAILABLE;
}

static uint32_t reader_count(uint32_t asked)
{
    if (asked == 0)
        return 1;
    return asked < DM_DATABASE_READERS_MAX ? asked : DM_DATABASE_READERS_MAX;
}

/* Names the file in front of what SQLite or the migrations said. */
static int explain(struct dm_buf *why, const char *path, const struct dm_buf *reason, int err)
{
    if (err != DM_OK) {
        dm_buf_printf(why, "%s: ", path);
        dm_buf_add_slice(why, dm_buf_slice(reason));
    }
    return err;
}

int dm_database_open(const struct dm_database_options *options, const struct dm_post *post,
                     struct dm_metrics *writer_metrics, struct dm_metrics *reader_metrics,
                     struct dm_database **out, struct dm_buf *why)
{
    *out = NULL;
    /* SQLite's own memory statistics put one lock around every allocation. Too late is no harm. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    struct dm_database *database = DM_NEW(struct dm_database);
    int err = dm_claim_take(&database->claim, options->path, why);
    if (err != DM_OK) {
        free(database);
        return err;
    }
    struct dm_connection_settings settings = {.path = database->claim.path,
                                              .sync_full = options->sync_full};
    dm_writer_init(&database->writer, &settings, post, writer_metrics, &database->readers);
    dm_readers_init(&database->readers, &settings, post, reader_metrics);
    struct dm_buf reason = DM_BUF_INIT;
    err = dm_writer_open(&database->writer, &reason);
    if (err == DM_OK)
        err = start(database, reader_count(options->readers), &reason);
    err = explain(why, options->path, &reason, err);
    dm_buf_dispose(&reason);
    if (err == DM_OK)
        *out = database;
    else
        dm_database_close(&database);
    return err;
}

static void submit(void *self, struct dm_store_op *op)
{
    struct dm_database *database = self;
    bool reads = dm_store_reads(op->kind);
    op->err = DM_OK;
    dm_queue_push(reads ? &database->readers.queue : &database->writer.queue, op);
}

/* On a connection of its own: a shard asks before anything else is asked. Where it cannot be read,
 * nobody is there who has no socket. */
static void each_absent(void *self,
                        void (*see)(void *context, struct dm_slice user_id,
                                    const struct dm_uuid *session_id, uint64_t dropped_at),
                        void *context)
{
    struct dm_database *database = self;
    struct dm_connection_settings settings = database->readers.settings;
    struct dm_connection connection;
    struct dm_buf why = DM_BUF_INIT;
    int rc = dm_connection_open(&connection, &settings, &why);
    if (rc == SQLITE_OK) {
        rc = dm_absent_list(&connection, see, context);
        if (rc != SQLITE_OK)
            dm_buf_add_slice(&why, dm_slice_of(dm_connection_error(&connection)));
        dm_connection_close(&connection);
    }
    if (rc != SQLITE_OK)
        dm_log(DM_LOG_ERROR, "store_read_failed", "error", dm_buf_text(&why), NULL);
    dm_buf_dispose(&why);
}

struct dm_store dm_database_store(struct dm_database *database)
{
    return (struct dm_store){database, submit, database->writer.holds_publishes,
                             database->writer.holds_presence, each_absent};
}

bool dm_database_ready(const struct dm_database *database)
{
    return atomic_load(&database->writer.state) == DM_WRITER_SERVING &&
           dm_readers_well(&database->readers);
}

void dm_database_close(struct dm_database **database)
{
    struct dm_database *closing = *database;
    if (!closing)
        return;
    *database = NULL;
    dm_writer_finish(&closing->writer); /* it may still tell the readers of damage */
    dm_readers_stop(&closing->readers);
    dm_writer_stop(&closing->writer); /* last: its connection's end tidies the file */
    dm_claim_drop(&closing->claim);
    free(closing);
}
