/*
 * dm-bench-rows attach DATABASE SESSIONS ATTACHMENT-BYTES ROWS A-COMMIT
 * dm-bench-rows join DATABASE USERS FIRST-CHANNEL ROWS A-COMMIT
 *
 * The least that SQLite must do for the rows that the server writes: the same
 * upsert of all sessions in the database in turn, or each of so many of their
 * users in turn in one more channel. One thread, A-COMMIT rows in a
 * transaction; WAL, synchronous=FULL, checkpoints as SQLite does them by
 * itself. Prints microseconds in all and of CPU, p50 and p99 of a row (from
 * its transaction's begin to the end of its commit), and how many checkpoints
 * that took.
 */
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/members.h"
#include "lib/rows.h"
#include "lib/session.h"
#include "lib/stats.h"

enum { CHECKPOINT_PAGES = 1000 /* SQLite's own default */ };

struct row {
    char id[16], *user, *dialect, *filters;
    int slot;
};

struct loop {
    sqlite3 *db;
    sqlite3_stmt *begin, *save, *commit;
    struct row *rows;
    uint32_t count, written, checkpoints;
    void (*write_next)(struct loop *loop);
    uint32_t option; /* an attachment's bytes; or the first channel */
    struct dm_buf attachment;
};

__attribute__((noreturn)) static void give_up(struct loop *loop, const char *what)
{
    fprintf(stderr, "dm-bench-rows: %s: %s\n", what, sqlite3_errmsg(loop->db));
    exit(1);
}

static sqlite3_stmt *prepare(struct loop *loop, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(loop->db, sql, -1, &statement, NULL) != SQLITE_OK)
        give_up(loop, sql);
    return statement;
}

static void run(struct loop *loop, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE || sqlite3_reset(statement) != SQLITE_OK)
        give_up(loop, sqlite3_sql(statement));
}

/* What SQLite's own hook does, and counts. */
static int checkpoint(void *self, sqlite3 *db, const char *schema, int pages)
{
    struct loop *loop = self;
    if (pages >= CHECKPOINT_PAGES) {
        sqlite3_wal_checkpoint_v2(db, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        loop->checkpoints++;
    }
    return SQLITE_OK;
}

static char *text_of(sqlite3_stmt *statement, int column)
{
    return dm_strndup((const char *)sqlite3_column_text(statement, column),
                      (size_t)sqlite3_column_bytes(statement, column));
}

/* Of those whom dm_rows_fill named: their names are the short ones. */
static void read_rows(struct loop *loop, int most)
{
    sqlite3_stmt *all = prepare(loop, "SELECT id, slot, user_id, dialect, filters FROM session"
                                      " WHERE length(user_id) = ?1 ORDER BY user_id LIMIT ?2");
    sqlite3_bind_int(all, 1, DM_USER_NAME_LEN);
    sqlite3_bind_int(all, 2, most);
    while (sqlite3_step(all) == SQLITE_ROW) {
        loop->rows = dm_realloc(loop->rows, (loop->count + 1) * sizeof *loop->rows);
        struct row *row = &loop->rows[loop->count++];
        memcpy(row->id, sqlite3_column_blob(all, 0), sizeof row->id);
        row->slot = sqlite3_column_int(all, 1);
        row->user = text_of(all, 2);
        row->dialect = text_of(all, 3);
        row->filters = text_of(all, 4);
    }
    sqlite3_finalize(all);
    if (loop->count != (uint32_t)most)
        give_up(loop, "there are fewer sessions");
}

static void open_database(struct loop *loop, const char *path, int sessions)
{
    if (sqlite3_open_v2(path, &loop->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_exec(loop->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL,
                     NULL) != SQLITE_OK)
        give_up(loop, path);
    sqlite3_wal_hook(loop->db, checkpoint, loop);
    read_rows(loop, sessions);
    loop->begin = prepare(loop, "BEGIN IMMEDIATE");
    loop->commit = prepare(loop, "COMMIT");
}

static void save_next(struct loop *loop)
{
    const struct row *row = &loop->rows[loop->written % loop->count];
    dm_buf_clear(&loop->attachment);
    dm_rows_attachment(&loop->attachment, loop->option, loop->written++);
    sqlite3_bind_blob(loop->save, 1, row->id, sizeof row->id, SQLITE_STATIC);
    sqlite3_bind_int(loop->save, 2, row->slot);
    sqlite3_bind_text(loop->save, 3, row->user, -1, SQLITE_STATIC);
    sqlite3_bind_text(loop->save, 4, row->dialect, -1, SQLITE_STATIC);
    sqlite3_bind_text(loop->save, 5, row->filters, -1, SQLITE_STATIC);
    sqlite3_bind_text(loop->save, 6, loop->attachment.bytes, (int)loop->attachment.len,
                      SQLITE_STATIC);
    run(loop, loop->save);
}

static void join_next(struct loop *loop)
{
    const struct row *row = &loop->rows[loop->written % loop->count];
    char channel[DM_CHANNEL_NAME_LEN + 1];
    dm_channel_name(loop->option + loop->written++ / loop->count, channel);
    sqlite3_bind_text(loop->save, 1, channel, -1, SQLITE_STATIC);
    sqlite3_bind_int(loop->save, 2, row->slot);
    sqlite3_bind_text(loop->save, 3, row->user, -1, SQLITE_STATIC);
    sqlite3_bind_int64(loop->save, 4, (sqlite3_int64)dm_clock_wall_ms());
    run(loop, loop->save);
}

static void choose(struct loop *loop, bool joins)
{
    loop->write_next = joins ? join_next : save_next;
    loop->save = prepare(
        loop,
        joins ? "INSERT INTO member (channel, slot, user_id, joined_at) VALUES (?1, ?2, ?3, ?4)"
              : "INSERT INTO session (id, slot, user_id, dialect, filters, attachment)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
                " ON CONFLICT (id) DO UPDATE SET slot = excluded.slot, user_id = excluded.user_id,"
                " dialect = excluded.dialect, filters = excluded.filters,"
                " attachment = excluded.attachment");
}

static uint64_t cpu_us(void)
{
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (uint64_t)cpu.tv_sec * 1000000u + (uint64_t)cpu.tv_nsec / 1000u;
}

/* All rows of a commit have its latency. */
static void write_all(struct loop *loop, uint32_t commits, uint32_t a_commit)
{
    uint32_t *us = dm_calloc(commits, sizeof *us);
    uint64_t cpu = cpu_us(), start = dm_clock_mono_us();
    for (uint32_t i = 0; i < commits; i++) {
        uint64_t began = dm_clock_mono_us();
        run(loop, loop->begin);
        for (uint32_t row = 0; row < a_commit; row++)
            loop->write_next(loop);
        run(loop, loop->commit);
        us[i] = (uint32_t)(dm_clock_mono_us() - began);
    }
    uint64_t wall = dm_clock_mono_us() - start;
    dm_stats_sort_u32(us, commits);
    cpu = cpu_us() - cpu;
    printf("%llu %llu %u %u %u\n", (unsigned long long)wall, (unsigned long long)cpu,
           dm_stats_at_u32(us, commits, 0.50), dm_stats_at_u32(us, commits, 0.99),
           loop->checkpoints);
    free(us);
}

static void close_database(struct loop *loop)
{
    sqlite3_finalize(loop->begin);
    sqlite3_finalize(loop->save);
    sqlite3_finalize(loop->commit);
    sqlite3_close(loop->db);
    for (uint32_t i = 0; i < loop->count; i++) {
        free(loop->rows[i].user);
        free(loop->rows[i].dialect);
        free(loop->rows[i].filters);
    }
    free(loop->rows);
    dm_buf_dispose(&loop->attachment);
}

int main(int argc, char **argv)
{
    struct loop loop = {.count = 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool joins = argc == 7 && strcmp(argv[1], "join") == 0;
    if (argc != 7 || (!joins && strcmp(argv[1], "attach") != 0)) {
        fprintf(stderr, "usage: dm-bench-rows attach DATABASE SESSIONS ATTACHMENT-BYTES ROWS"
                        " A-COMMIT\n"
                        "       dm-bench-rows join DATABASE USERS FIRST-CHANNEL ROWS A-COMMIT\n");
        return 2;
    }
    loop.option = (uint32_t)strtoul(argv[4], NULL, 10);
    uint32_t rows = (uint32_t)strtoul(argv[5], NULL, 10);
    uint32_t a_commit = (uint32_t)strtoul(argv[6], NULL, 10);
    if (!a_commit || rows < a_commit) {
        fprintf(stderr, "dm-bench-rows: there is nothing to write\n");
        return 2;
    }
    open_database(&loop, argv[2], (int)strtol(argv[3], NULL, 10));
    choose(&loop, joins);
    write_all(&loop, rows / a_commit, a_commit);
    close_database(&loop);
    return 0;
}
