/* SQLite, as far as filling tables goes. */
#include "lib/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/index.h"
#include "lib/session.h"

enum { SLOTS = 4096 };

int dm_database_complain(sqlite3 *db, const char *what)
{
    fprintf(stderr, "database: %s: %s\n", what, sqlite3_errmsg(db));
    return -1;
}

int dm_database_open(const char *folder, sqlite3 **db)
{
    char path[600];
    snprintf(path, sizeof path, "%s/bench.db", folder);
    if (sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK &&
        sqlite3_busy_timeout(*db, 5000) == SQLITE_OK)
        return 0;
    int err = dm_database_complain(*db, path);
    sqlite3_close(*db);
    *db = NULL;
    return err;
}

int dm_database_execute(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : dm_database_complain(db, sql);
}

int dm_database_begin(sqlite3 *db)
{
    return dm_database_execute(db, "PRAGMA cache_size = -400000; PRAGMA journal_mode = OFF;"
                                   "PRAGMA synchronous = OFF; BEGIN");
}

int dm_database_commit(sqlite3 *db)
{
    return dm_database_execute(db, "COMMIT; PRAGMA journal_mode = WAL");
}

int dm_database_sync(const char *folder)
{
    static const char *const names[] = {"bench.db", "bench.db-wal"};
    char path[600];
    for (size_t i = 0; i < DM_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        int err = fd >= 0 ? fsync(fd) : 0; /* the log may not be there */
        if (fd >= 0)
            close(fd);
        if (err != 0)
            return err;
    }
    return 0;
}

void dm_database_name(uint32_t user, uint32_t named, char out[DM_DATABASE_NAME])
{
    char base[DM_USER_NAME_LEN + 1];
    dm_user_name(user % named, base);
    if (user < named)
        snprintf(out, DM_DATABASE_NAME, "%s", base);
    else
        snprintf(out, DM_DATABASE_NAME, "%s.%u", base, user / named);
}

uint32_t dm_database_slot(const char *user)
{
    static const uint64_t key[2] = {0, 0};
    return (uint32_t)(dm_hash(key, user, strlen(user)) % SLOTS);
}
