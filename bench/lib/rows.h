/*
 * Rows written into the server's database while it is not running: sessions
 * that can be resumed, as if they had connected long ago, and envelopes that
 * their users are owed. The tables are those that the server's own migrations
 * made.
 */
#ifndef DM_BENCH_ROWS_H
#define DM_BENCH_ROWS_H

#include <stdbool.h>

#include "base/buf.h"

#define DM_ROWS_FILTERS "[{\"type\":\"message\"}]"

/*
 * `count` native sessions, each of another user. With `named` N the first N rows are of user-00001
 * to user-N (see dm_user_name), whose secrets dm_rows_secret knows; all later rows are of users
 * that nobody can name, and who stand between those in every index. `skip` leaves out as many rows
 * at the start.
 */
struct dm_rows {
    uint32_t count, named, skip;
    size_t attachment_len;
    bool dropped;      /* since now; else as kill -9 leaves them: connected */
    uint32_t unfolded; /* so many of them are in the write-ahead log too, as kill -9 leaves it */

    /* Durable publishes that were answered a minute ago and nobody has acked, each owed to one of
     * the named, for an hour. Payloads are as dm_rows_attachment writes them, numbered from 0. */
    uint32_t owed;
    size_t payload_len;
};

/* Both return 0, or -1 after saying why on stderr. */
int dm_rows_fill(const char *folder, const struct dm_rows *rows) DM_MUST_CHECK;
/* How many of `user`'s sessions have exactly this attachment; while the server runs, too. */
int dm_rows_count(const char *folder, const char *user, struct dm_slice attachment) DM_MUST_CHECK;

/* The user (0-based) who is owed this envelope. Some are owed several, most none. */
uint32_t dm_rows_debtor(const struct dm_rows *rows, uint32_t envelope);

enum { DM_RESUME_SECRET_LEN = 32 };
void dm_rows_secret(uint32_t user, char out[DM_RESUME_SECRET_LEN + 1]);

/* Appends JSON of `len` bytes, at least 40, other JSON for each number. */
void dm_rows_attachment(struct dm_buf *out, size_t len, uint32_t number);

#endif
