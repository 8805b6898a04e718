/* Filling the table of members with one transaction. */
#include "lib/members.h"

#include <sqlite3.h>
#include <stdio.h>

#include "base/clock.h"
#include "lib/database.h"
#include "lib/session.h"

enum { STRIDE = 611953 /* a prime: users come in no order of their names */ };

void dm_channel_name(uint32_t channel, char out[DM_CHANNEL_NAME_LEN + 1])
{
    snprintf(out, DM_CHANNEL_NAME_LEN + 1, "room-%05u", (channel + 1) % 100000);
}

static int add_user(sqlite3_stmt *insert, const struct dm_members *members, uint32_t user)
{
    char channel[DM_CHANNEL_NAME_LEN + 1], name[DM_DATABASE_NAME];
    dm_database_name(user, members->named, name);
    for (uint32_t i = 0; i < members->each; i++) {
        uint64_t step = (uint64_t)i * (members->channels / members->each);
        dm_channel_name((uint32_t)((user + step) % members->channels), channel);
        sqlite3_bind_text(insert, 1, channel, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 2, dm_database_slot(name));
        sqlite3_bind_text(insert, 3, name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(insert, 4, (sqlite3_int64)dm_clock_wall_ms());
        if (sqlite3_step(insert) != SQLITE_DONE || sqlite3_reset(insert) != SQLITE_OK)
            return -1;
    }
    return 0;
}

static int add_all(sqlite3 *db, const struct dm_members *members)
{
    static const char sql[] =
        "INSERT INTO member (channel, slot, user_id, joined_at) VALUES (?1, ?2, ?3, ?4)";
    sqlite3_stmt *insert = NULL;
    int err = sqlite3_prepare_v2(db, sql, -1, &insert, NULL) == SQLITE_OK ? 0 : -1;
    for (uint64_t i = 0; i < members->users && err == 0; i++)
        err = add_user(insert, members, (uint32_t)(i * STRIDE % members->users));
    if (err != 0)
        (void)dm_database_complain(db, "a member cannot be written");
    sqlite3_finalize(insert);
    return err;
}

int dm_members_fill(const char *folder, const struct dm_members *members)
{
    sqlite3 *db;
    DM_CHECK(members->named > 0 && members->users % STRIDE != 0);
    if (dm_database_open(folder, &db) != 0)
        return -1;
    int err = dm_database_begin(db);
    if (err == 0)
        err = add_all(db, members);
    if (err == 0)
        err = dm_database_commit(db);
    sqlite3_close(db);
    return err == 0 ? dm_database_sync(folder) : err;
}

int64_t dm_members_count(const char *folder)
{
    sqlite3 *db;
    sqlite3_stmt *count = NULL;
    int64_t found = -1;
    if (dm_database_open(folder, &db) != 0)
        return -1;
    if (sqlite3_prepare_v2(db, "SELECT count(*) FROM member", -1, &count, NULL) == SQLITE_OK &&
        sqlite3_step(count) == SQLITE_ROW)
        found = sqlite3_column_int64(count, 0);
    else
        (void)dm_database_complain(db, "members cannot be counted");
    sqlite3_finalize(count);
    sqlite3_close(db);
    return found;
}
