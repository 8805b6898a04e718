/* Filling the tables with one transaction. */
#include "lib/rows.h"

#include <openssl/sha.h>
#include <sqlite3.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "lib/database.h"
#include "lib/session.h"

enum {
    STRIDE = 611953, /* a prime: users come in no order of their names */
    OWED_STRIDE = 3,
    MINUTE_MS = 60000,
};

void dm_rows_secret(uint32_t user, char out[DM_RESUME_SECRET_LEN + 1])
{
    snprintf(out, DM_RESUME_SECRET_LEN + 1, "secret-of-the-bench-session-%04x", user & 0xffff);
}

void dm_rows_attachment(struct dm_buf *out, size_t len, uint32_t number)
{
    static const char head[] = "{\"number\":\"0000000000\",\"text\":\"", end[] = "\"}";
    enum { DIGITS_END = 21, HEAD = sizeof head - 1, END = sizeof end - 1 };
    DM_CHECK(len >= HEAD + END);
    char *at = dm_buf_reserve(out, len);
    memcpy(at, head, HEAD);
    memset(at + HEAD, 'x', len - HEAD - END);
    memcpy(at + len - END, end, END);
    for (char *digit = at + DIGITS_END; number; number /= 10)
        *--digit = (char)('0' + number % 10);
    out->len += len;
}

static int add_session(sqlite3_stmt *insert, const struct dm_rows *rows, uint32_t row,
                       struct dm_uuid_minter *minter, struct dm_buf *text)
{
    char name[DM_DATABASE_NAME], secret[DM_RESUME_SECRET_LEN + 1] = "";
    unsigned char hash[SHA256_DIGEST_LENGTH];
    uint64_t now = dm_clock_wall_ms();
    struct dm_uuid id = dm_uuid_mint(minter, now);
    dm_database_name(row, rows->named, name);
    if (row < rows->named)
        dm_rows_secret(row, secret);
    SHA256((const unsigned char *)(*secret ? secret : name), strlen(*secret ? secret : name), hash);
    dm_buf_clear(text);
    dm_rows_attachment(text, rows->attachment_len, row);
    sqlite3_bind_blob(insert, 1, id.bytes, sizeof id.bytes, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 2, dm_database_slot(name));
    sqlite3_bind_text(insert, 3, name, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 4, text->bytes, (int)text->len, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 5, hash, sizeof hash, SQLITE_STATIC);
    if (rows->dropped)
        sqlite3_bind_int64(insert, 6, (sqlite3_int64)now);
    int rc = sqlite3_step(insert);
    return rc == SQLITE_DONE && sqlite3_reset(insert) == SQLITE_OK ? 0 : -1;
}

static int add_sessions(sqlite3 *db, const struct dm_rows *rows)
{
    static const char sql[] = "INSERT INTO session (id, slot, user_id, dialect, filters,"
                              " attachment, resume, dropped_at)"
                              " VALUES (?1, ?2, ?3, 'native', '" DM_ROWS_FILTERS "', ?4, ?5, ?6)";
    struct dm_uuid_minter minter;
    struct dm_buf text = DM_BUF_INIT;
    sqlite3_stmt *insert = NULL;
    int err = sqlite3_prepare_v2(db, sql, -1, &insert, NULL) == SQLITE_OK ? 0 : -1;
    dm_uuid_minter_init(&minter, &dm_rand_system);
    for (uint64_t i = 0; i < rows->count && err == 0; i++)
        err = add_session(insert, rows, rows->skip + (uint32_t)(i * STRIDE % rows->count), &minter,
                          &text);
    if (err != 0)
        (void)dm_database_complain(db, "a session cannot be written");
    sqlite3_finalize(insert);
    dm_buf_dispose(&text);
    return err;
}

uint32_t dm_rows_debtor(const struct dm_rows *rows, uint32_t envelope)
{
    return envelope * OWED_STRIDE % rows->named;
}

/* What a durable publish leaves: ?1 is its number, ?2 its time. */
static const char *const owed_sql[] = {
    ("INSERT INTO publish (number, envelope_id, principal, deadline, done, owed_until, expires_at)"
     " VALUES (?1, ?3, 'key:bench', ?2, 1, ?2 + 3600000, ?2 + 7200000)"),
    "INSERT INTO owed_envelope (publish, ts, type, payload) VALUES (?1, ?2, 'message', ?3)",
    "INSERT INTO target (publish, user_id, owed) VALUES (?1, ?3, 1)",
};
enum { OWED_PARTS = DM_COUNT(owed_sql) };

static int add_part(sqlite3_stmt *insert, uint32_t envelope, uint64_t ts)
{
    sqlite3_bind_int64(insert, 1, envelope + 1);
    sqlite3_bind_int64(insert, 2, (sqlite3_int64)ts); /* there is a ?3: so there is a ?2 */
    int rc = sqlite3_step(insert);
    return rc == SQLITE_DONE && sqlite3_reset(insert) == SQLITE_OK ? 0 : -1;
}

static int add_envelope(sqlite3_stmt *const inserts[OWED_PARTS], const struct dm_rows *rows,
                        uint32_t envelope, struct dm_uuid_minter *minter, struct dm_buf *text)
{
    char name[DM_USER_NAME_LEN + 1];
    uint64_t ts = dm_clock_wall_ms() - MINUTE_MS;
    struct dm_uuid id = dm_uuid_mint(minter, ts);
    dm_user_name(dm_rows_debtor(rows, envelope), name);
    dm_buf_clear(text);
    dm_rows_attachment(text, rows->payload_len, envelope);
    sqlite3_bind_blob(inserts[0], 3, id.bytes, sizeof id.bytes, SQLITE_STATIC);
    sqlite3_bind_text(inserts[1], 3, text->bytes, (int)text->len, SQLITE_STATIC);
    sqlite3_bind_text(inserts[2], 3, name, -1, SQLITE_STATIC);
    int err = 0;
    for (size_t i = 0; i < OWED_PARTS && err == 0; i++)
        err = add_part(inserts[i], envelope, ts);
    return err;
}

static int add_envelopes(sqlite3 *db, const struct dm_rows *rows)
{
    struct dm_uuid_minter minter;
    struct dm_buf text = DM_BUF_INIT;
    sqlite3_stmt *inserts[OWED_PARTS] = {NULL};
    int err = 0;
    dm_uuid_minter_init(&minter, &dm_rand_system);
    for (size_t i = 0; i < OWED_PARTS && err == 0; i++)
        err = sqlite3_prepare_v2(db, owed_sql[i], -1, &inserts[i], NULL) == SQLITE_OK ? 0 : -1;
    for (uint32_t i = 0; i < rows->owed && err == 0; i++)
        err = add_envelope(inserts, rows, i, &minter, &text);
    if (err != 0)
        (void)dm_database_complain(db, "an envelope cannot be written");
    for (size_t i = 0; i < OWED_PARTS; i++)
        sqlite3_finalize(inserts[i]);
    dm_buf_dispose(&text);
    return err;
}

/* The log of a server that was killed has yet to be folded into the file. */
static int leave_log(sqlite3 *db, uint32_t rows)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "UPDATE session SET attachment = attachment || ''"
             " WHERE id IN (SELECT id FROM session LIMIT %u)",
             rows);
    sqlite3_wal_autocheckpoint(db, 0);
    return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK
               ? dm_database_execute(db, sql)
               : dm_database_complain(db, "the log cannot be kept");
}

int dm_rows_fill(const char *folder, const struct dm_rows *rows)
{
    sqlite3 *db;
    DM_CHECK(rows->named > 0 && rows->count % STRIDE != 0);
    if (dm_database_open(folder, &db) != 0)
        return -1;
    int err = dm_database_begin(db);
    if (err == 0)
        err = add_sessions(db, rows);
    if (err == 0)
        err = add_envelopes(db, rows);
    if (err == 0)
        err = dm_database_commit(db);
    if (err == 0 && rows->unfolded)
        err = leave_log(db, rows->unfolded);
    sqlite3_close(db);
    return err == 0 ? dm_database_sync(folder) : err;
}

int dm_rows_count(const char *folder, const char *user, struct dm_slice attachment)
{
    static const char sql[] = "SELECT count(*) FROM session WHERE user_id = ?1 AND attachment = ?2";
    sqlite3 *db;
    sqlite3_stmt *count = NULL;
    int found = -1;
    if (dm_database_open(folder, &db) != 0)
        return -1;
    if (sqlite3_prepare_v2(db, sql, -1, &count, NULL) == SQLITE_OK &&
        sqlite3_bind_text(count, 1, user, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_text(count, 2, attachment.at, (int)attachment.len, SQLITE_STATIC) ==
            SQLITE_OK &&
        sqlite3_step(count) == SQLITE_ROW)
        found = sqlite3_column_int(count, 0);
    else
        (void)dm_database_complain(db, "rows cannot be counted");
    sqlite3_finalize(count);
    sqlite3_close(db);
    return found;
}
