/*
 * The hub's own records, shared by the files of this folder and nobody else.
 *
 * What an asleep user and its sessions cost is struct user and struct session,
 * 40 bytes each, and an 8-byte slot of the index (at most three quarters
 * full). All else exists only while the user is awake, or while a publish that
 * reached it is open.
 *
 *   user ─┬─ session ── session_state (filters)          while awake
 *         │      └── pending ─┐                          while awake: an ack is awaited
 *         ├─ delivery ────────┘                          while a publish awaits this user
 *         │      └── part ── envelope                    while a publish awaits this shard
 *         └─ awake (its place among the recently used)   while awake
 *
 * A user's state (one function, dm_user_move, changes it):
 *
 *                    ┌──────── nothing stored ─────────┐
 *                    │                                 ▼
 *   (first place) ─► ASLEEP ── needed ─► WAKING ── loaded ─► AWAKE ◄── touched, or save failed ─┐
 *      ▲             ▲   ▲                 │                  │ │                               │
 *      │             │   └── load failed, ─┘                  │ └── idle, unwritten ─► SAVING ──┤
 *      │             │       nothing held                     │                                 │
 *      │             └─────────── idle, all written ──────────┴──────── saved, untouched ───────┘
 *      └─ freed when the last session, place and delivery are gone (and no operation is out)
 */
#ifndef DM_HUB_RECORDS_PRIV_H
#define DM_HUB_RECORDS_PRIV_H

#include "base/heap.h"
#include "base/index.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/uuid_set.h"
#include "dialect/dialect.h"
#include "hub/channels_priv.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "model/filter.h"
#include "model/short_id.h"

enum user_state { USER_ASLEEP, USER_WAKING, USER_AWAKE, USER_SAVING };

enum { ATTEMPT_LISTS = 256, ASKING_LISTS = 1024, RECORD_LISTS = 256, PLAIN_IDS = 1024 };

struct user {
    uint32_t first_session;
    uint32_t session_count;
    uint32_t awake;          /* struct awake, unless asleep */
    uint32_t first_delivery; /* open publishes that await a session of this user */
    uint16_t places;         /* admitted, not yet open */
    uint8_t state;           /* enum user_state */
    struct dm_short_id id;
};

enum {
    SESSION_FILTERED = 1, /* has filters, in memory or in its row */
    SESSION_STORED = 2,   /* has a row in the store, or one is on its way there */
    SESSION_HELD = 4,     /* its socket holds input until the user is awake */
    SESSION_GONE = 8,     /* its socket is gone; ends for good once the user is awake */
    SESSION_UNCONFIRMED =
        16,              /* resumed, and no frame has come since: its old secret still counts */
    SESSION_ENDED = 32,  /* it cannot be resumed: client or backend have ended it */
    SESSION_BEHIND = 64, /* what it is owed is on its way (catch_up.c) */
    SESSION_MAY_PUBLISH = 128, /* its token has the scope */
};

struct session {
    struct dm_uuid id;
    uint32_t user, next, prev; /* neighbours among the user's sessions, oldest first */
    uint32_t sock;             /* the sink's number for its socket */
    uint32_t state;            /* struct session_state, or 0 */
    uint8_t dialect;           /* enum dm_dialect_id */
    uint8_t flags;
    unsigned char print[DM_RESUME_PRINT_LEN]; /* of the secret that its welcome gave it */
};

struct session_state {
    struct dm_filter_set filters;
    struct dm_slice attachment; /* JSON, its own; absent: none */
    uint32_t first_pending;
    bool unwritten; /* differs from its row */
};

struct awake {
    struct dm_list recent;  /* its place in shard->recent, while AWAKE */
    struct dm_list waiting; /* struct wait: deliveries that wait for the wake */
    struct dm_list due;     /* its place in shard->due, between the wake and its deliveries */
    uint64_t last_event;
    uint64_t retry_at; /* WAKING: when to load again; 0: a load is out */
    uint32_t user;
    uint32_t writes; /* of single sessions, at the store: it neither sleeps nor goes before them */
    bool touched;    /* SAVING: something happened since */
};

/* An ack that is awaited: on its session's list and on its delivery's. */
struct pending {
    uint32_t session, delivery;
    uint32_t session_next, session_prev;
    uint32_t delivery_next, delivery_prev;
    uint32_t stored; /* enum pending_stored */
    uint16_t late;   /* its session dropped since, and was resumed: nobody waits for it */
    uint16_t acking; /* its ack is on its way to the store */
};

enum pending_stored {
    PENDING_NEW,    /* in memory alone */
    PENDING_STORED, /* has a row, or one is on its way */
    PENDING_AGAIN,  /* the write failed: it may have a row, and is to be written again */
};

/* One publish at one user, while acks are awaited. While the user sleeps `awaited` is all there
 * is of its pending acks in memory. */
struct delivery {
    uint32_t part, user;
    uint32_t user_next, user_prev;
    uint32_t part_next, part_prev;
    uint32_t first_pending;
    uint32_t awaited;
    uint32_t stored; /* some pending ack of it may have a row */
    uint32_t spare;
    /* Sessions that have acked while a row of theirs was there: its deletion may be under way or
     * have failed when the user is next loaded. */
    struct dm_uuid_set settled;
    /* struct dm_uuid: sessions that dropped with an ack awaited, and may come back with it. */
    struct dm_buf dropped;
};

/* One publish at one shard: from the scatter until it is answered or nobody is awaited. */
struct part {
    uint32_t first_delivery;
    uint32_t coordination, generation, coordinator; /* whom to tell */
    uint32_t waking;                                /* targets that wait for their user to wake */
    bool recorded, durable;
    uint32_t clients, delivered, awaited; /* what the scatter will say */
    struct dm_envelope *envelope;
    struct dm_filter_probe probe;
    struct scatter *scatter;                 /* until it has gone back */
    struct dm_wire *wires[DM_DIALECT_COUNT]; /* and frames that name no user */
};

/* The coordinator's half of a publish. Not in the first four bytes: the generation, which a free
 * record must not have. */
struct coordination {
    uint32_t parts_out;  /* scatters that have not come back */
    uint32_t generation; /* never 0 */
    uint32_t index;      /* its own */
    int64_t awaited;     /* acks still to come; below 0 while a scatter is out that they overtook */
    bool lingers;        /* owners keep what they have for acks that nobody waits for */
    struct dm_publish *publish;
    struct record *record; /* NULL: it is in memory alone */
    bool noted;            /* the record has been told whom it has reached */
    struct dm_timer deadline;
    struct scatter *scatters;
    uint32_t *next_target; /* chains the targets of each owner; NULL: there is one only */
};

enum { NO_TARGET = UINT32_MAX };

/* How a pending ack ends. */
enum settling {
    SETTLED_ACKED,
    SETTLED_LATE,       /* acked, but not awaited any more */
    SETTLED_GONE,       /* its session has ended */
    SETTLED_MAY_RETURN, /* its session has dropped: from here on it would be late */
};

enum { STORE_RETRY_MS = 250 }; /* after the store failed */

/* A coordinator's order to one owner, and the owner's answer: the same mail both ways. It lives
 * until the publish is answered, and is sent once more then if the owner still awaits acks. */
struct scatter {
    struct dm_mail mail;
    struct roster_wait wait; /* at the owner, where it is for a channel */
    struct scatter *next;    /* the publish's next */
    struct dm_publish *publish;
    uint32_t coordinator, coordination, generation;
    uint32_t owner;
    uint32_t first_target;       /* of the publish's targets; the rest through next_target */
    const uint32_t *next_target; /* NULL: there is one only */
    /* answered */
    uint32_t part; /* the owner's, while it awaits acks; 0: nothing is left there */
    uint32_t clients, delivered, awaited, members;
    bool failed;
};

/* A session without a socket, until its window ends. */
struct absent {
    uint32_t index;      /* its own; first: 0 in a free record */
    uint32_t next;       /* of the same user */
    struct dm_list link; /* among shard->absent */
    uint64_t ends;       /* by the monotonic clock */
    struct dm_uuid session_id;
    struct dm_short_id user_id;
};

/* What a session's token claims. */
struct claims {
    uint32_t session; /* first: 0 in a free record */
    uint32_t len;
    char *json;
};

/* When a session's identity ends. */
struct expiry {
    uint32_t session; /* first: 0 in a free record */
    uint32_t index;   /* its own */
    uint64_t expires_ms;
    struct dm_timer timer;
};

/* A session that is sent what it is owed: until that is done, and a little longer. */
struct catch_up {
    uint32_t session; /* first: 0 in a free record */
    uint32_t index;   /* its own */
    bool gone;        /* its session is, or has another socket: freed when the store has answered */
    bool reading;     /* a page is on its way from the store */
    bool done;        /* lingers */
    bool failing;     /* the last page could not be read: no more is held meanwhile */
    bool restart;     /* it has subscribed since: what was passed over is read again */
    bool flushing;    /* all pages are read: what was held goes out */
    bool overflown;   /* more was held than may be: it is to be closed */
    bool partial;     /* `before` counts */
    uint64_t first;   /* it has all rows up to this number, */
    uint64_t after;   /* and this pass has seen to all up to this one */
    uint64_t unsent_from; /* what it should have been sent and was not begins here; 0: nothing */
    uint64_t began;       /* by the wall clock */
    uint64_t pause;       /* until it is tried again: longer each time */
    struct dm_timer timer;
    struct dm_filter_set before; /* what it took before: that it has been sent */
    struct dm_uuid_set sent;     /* durable envelopes, live or from the store */
    bool fresh;                  /* some of those so new that they may still come live */
    struct dm_buf held;          /* struct dm_wire *: what came live meanwhile, in order; */
    size_t held_first;           /* from this one on */
    uint64_t held_bytes;
};

/* What the rows of sessions are to say, while it is on its way to the store or waits for it. */
struct words {
    struct dm_slab slab;    /* struct word */
    struct dm_index index;  /* session's id to struct word */
    struct dm_list waiting; /* those that are to be said again, the longest wait first */
    uint64_t retry_at;
    bool failing; /* the last one that came back was not written */
};

/* Who has sent messages in this second, where rate_messages is on. */
struct pace {
    uint32_t *spent; /* by number of the session; more than the rate: its socket holds its input */
    uint32_t room;
    uint32_t *list; /* sessions that have spent some */
    uint32_t listed, list_room;
    uint64_t ends; /* the second, while somebody is listed */
};

#endif
