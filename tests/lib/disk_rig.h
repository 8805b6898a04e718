/*
 * A store on a disk that fails, and the memory of what it was asked and what it
 * answered: what came back DM_OK is there, now and after the next opening; what
 * came back DM_ERR_UNAVAILABLE is not; DM_ERR_COMMIT_UNKNOWN may be either, but
 * all of it or nothing. Of sessions (disk_sessions.c) and of recorded publishes
 * (disk_publishes.c).
 *
 * DM_DISK_RUNS says how many times over (1); DM_DISK_SEED where to begin.
 */
#ifndef DM_TESTS_LIB_DISK_RIG_H
#define DM_TESTS_LIB_DISK_RIG_H

#include "lib/fault_vfs.h"
#include "lib/store_rig.h"
#include "ports/store_publish.h"

/* The first items are two sessions, which are always saved together; the others one each. */
enum { ITEMS = 8, PAIRS = 4, ENVELOPES = 4, VALUES_MAX = 64 };

enum { MAY_BE_ABSENT = 1, MAY_BE_THERE = 2 };

struct disk_item {
    uint32_t versions[VALUES_MAX]; /* that it may have; 0: absent */
    uint32_t count;
    uint8_t owed[ENVELOPES]; /* MAY_BE_… */
};

/* Users are bits: ann 1, bob 2. Each has ACKERS / 2 sessions. */
enum { PUBLISHES = 6, ACKERS = 4, WORLDS_MAX = 256 };

struct disk_ack {
    uint32_t session, value;
};

/* One way that a publish may stand in the store: all zero where it is not there. Compared as
 * bytes. */
struct disk_publish {
    uint64_t deadline, owed_until, expires_at; /* owed_until 0: nothing of it is owed */
    uint32_t there, repeatable, done, version; /* version: of what is asked */
    uint32_t client_count, delivered, targets, owed, ack_count;
    uint32_t no_padding;
    struct disk_ack acks[ACKERS];
};

struct disk_worlds {
    struct disk_publish is[WORLDS_MAX]; /* each possible */
    uint32_t count;
};

enum disk_deed_kind { SAVE, FORGET, FORGET_OWED, FORGET_ENVELOPE, DEED_OF_PUBLISH };

struct disk_deed {
    enum disk_deed_kind kind;
    uint32_t item, version, envelope;

    enum dm_store_kind what; /* DEED_OF_PUBLISH: of the publish `item`, asked at `now` */
    uint64_t now;
    bool repeatable, durable, awaited;
    uint32_t targets, session, client_count, delivered;
};

struct disk {
    struct fault_vfs faults;
    struct store_rig rig;
    sqlite3 *other; /* as another process would, it copies the log now and then */
    struct disk_item items[ITEMS];
    struct disk_worlds publishes[PUBLISHES];
    uint32_t version;
    uint64_t random, now;
    unsigned ok, unknown, unavailable;
    unsigned publishes_met; /* acks that counted, answers, and things that expired, all answered */
};

uint32_t disk_below(struct disk *disk, uint32_t limit);
unsigned disk_runs(void);

/* cmocka's: a disk without faults, in *state. */
int disk_setup(void **state);
int disk_teardown(void **state);

void disk_open(struct disk *disk);
void disk_close(struct disk *disk);
void disk_forget_all(struct disk *disk); /* an empty database is next */

void disk_work(struct disk *disk); /* some of everything, several at once */
void disk_do(struct disk *disk, const struct disk_deed *deed, int expected);
struct disk_deed disk_save(struct disk *disk, uint32_t item);

void disk_await_recovery(struct disk *disk);
void disk_expect_loads(struct disk *disk); /* as the hub would see it, from the open store */
void disk_expect_rows(struct disk *disk);  /* of the closed store; opens it again */
/* Powers off at the latest now, looks at what is left, and powers on. */
void disk_cut_and_look(struct disk *disk);

/* The database without the store, which would sweep it; it is whole. */
sqlite3 *disk_open_plain(struct disk *disk);

/* --- of sessions --- */

struct disk_seen {
    uint32_t versions[2 * ITEMS]; /* a session's */
    bool owed[ITEMS][ENVELOPES];
};

void disk_sessions_forget(struct disk *disk);
struct disk_deed disk_sessions_choose(struct disk *disk);
struct dm_store_op *disk_sessions_op(struct disk *disk, const struct disk_deed *deed);
void disk_sessions_believe(struct disk *disk, const struct disk_deed *deed, int err);
void disk_sessions_see(sqlite3 *db, struct disk_seen *seen);
void disk_sessions_expect(const struct disk *disk, const struct disk_seen *seen);
void disk_sessions_expect_loads(struct disk *disk);

/* --- of publishes --- */

void disk_publishes_forget(struct disk *disk);
struct disk_deed disk_publishes_choose(struct disk *disk);
struct dm_store_op *disk_publishes_op(struct disk *disk, struct disk_deed *deed);
void disk_publishes_believe(struct disk *disk, const struct disk_deed *deed,
                            const struct dm_store_op *op);
/* Each stands in one of the ways that it may; from here on it is that one. */
void disk_publishes_expect(struct disk *disk, sqlite3 *db);
void disk_publishes_expect_loads(struct disk *disk);

#endif
