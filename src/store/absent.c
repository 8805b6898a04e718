/* Reading who has dropped, once. */
#include "store/absent_priv.h"

#include <string.h>

static bool show(sqlite3_stmt *row,
                 void (*see)(void *, struct dm_slice, const struct dm_uuid *, uint64_t),
                 void *context)
{
    const char *user = (const char *)sqlite3_column_text(row, 0);
    struct dm_slice user_id = dm_slice(user, (size_t)sqlite3_column_bytes(row, 0));
    const void *id = sqlite3_column_blob(row, 1);
    struct dm_uuid session_id;
    if (!user || !user_id.len || !id || sqlite3_column_bytes(row, 1) != sizeof session_id.bytes)
        return false;
    memcpy(session_id.bytes, id, sizeof session_id.bytes);
    see(context, user_id, &session_id, (uint64_t)sqlite3_column_int64(row, 2));
    return true;
}

int dm_absent_list(struct dm_connection *connection,
                   void (*see)(void *context, struct dm_slice user_id,
                               const struct dm_uuid *session_id, uint64_t dropped_at),
                   void *context)
{
    sqlite3_stmt *list = NULL;
    int rc = sqlite3_prepare_v2(connection->db, dm_statement_sql(DM_STATEMENT_LIST_ABSENT), -1,
                                &list, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(list)) == SQLITE_ROW)
        rc = show(list, see, context) ? SQLITE_OK : SQLITE_CORRUPT;
    sqlite3_finalize(list);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
