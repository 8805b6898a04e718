/* The counts, one statement each, within one read transaction. */
#include "store/inspect.h"

#include "base/err.h"
#include "store/look_priv.h"

static int number(struct dm_look *look, enum dm_statement id, uint64_t *out)
{
    sqlite3_int64 value = 0;
    int rc = dm_connection_number(&look->connection, dm_statement_sql(id), &value);
    *out = (uint64_t)value;
    return rc;
}

static int count(struct dm_look *look, struct dm_inspection *out)
{
    uint64_t page_size = 0;
    const struct {
        enum dm_statement id;
        uint64_t *at;
    } counts[] = {
        {DM_STATEMENT_COUNT_USERS, &out->users},
        {DM_STATEMENT_COUNT_SESSIONS, &out->sessions},
        {DM_STATEMENT_COUNT_PENDING, &out->pending_acks},
        {DM_STATEMENT_COUNT_PUBLISHES, &out->publishes},
        {DM_STATEMENT_COUNT_OWED, &out->owed},
        {DM_STATEMENT_COUNT_CHANNELS, &out->channels},
        {DM_STATEMENT_COUNT_MEMBERS, &out->members},
        {DM_STATEMENT_PAGE_SIZE, &page_size},
        {DM_STATEMENT_PAGE_COUNT, &out->bytes},
        {DM_STATEMENT_FREE_PAGES, &out->free_bytes},
    };
    int rc = dm_look_begin(look);
    for (size_t i = 0; i < DM_COUNT(counts) && rc == SQLITE_OK; i++)
        rc = number(look, counts[i].id, counts[i].at);
    out->bytes *= page_size;
    out->free_bytes *= page_size;
    return rc == SQLITE_OK ? dm_look_end(look) : rc;
}

int dm_inspect(const char *path, struct dm_inspection *out, struct dm_buf *why)
{
    struct dm_look look;
    *out = (struct dm_inspection){0};
    int err = dm_look_open(&look, path, why);
    if (err != DM_OK)
        return err;
    err = dm_look_is_current(&look, path, why);
    out->version = (uint64_t)look.version;
    out->log_bytes = dm_look_log_bytes(&look);
    if (err == DM_OK && count(&look, out) != SQLITE_OK)
        err = dm_look_failed(&look, path, "cannot be read", why);
    dm_look_close(&look);
    return err;
}
