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
#ifndef DM_HUB_HUB_PRIV_H
#define DM_HUB_HUB_PRIV_H

#include "base/heap.h"
#include "base/index.h"
#include "base/list.h"
#include "base/slab.h"
#include "base/uuid_set.h"
#include "dialect/dialect.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "model/filter.h"

enum user_state { USER_ASLEEP, USER_WAKING, USER_AWAKE, USER_SAVING };

enum { INLINE_ID = 20, ATTEMPT_LISTS = 256, RECORD_LISTS = 256 };

struct user {
    uint32_t first_session;
    uint32_t session_count;
    uint32_t awake;          /* struct awake, unless asleep */
    uint32_t first_delivery; /* open publishes that await a session of this user */
    uint16_t places;         /* admitted, not yet open */
    uint8_t state;           /* enum user_state */
    uint8_t id_len;
    char id[INLINE_ID]; /* the userId, or where longer a pointer to it on the heap */
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
    uint32_t late;   /* its session dropped since, and was resumed: nobody waits for it */
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
    struct scatter *scatter; /* until it has gone back */
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
    struct scatter *next; /* the publish's next */
    struct dm_publish *publish;
    uint32_t coordinator, coordination, generation;
    uint32_t owner;
    uint32_t first_target;       /* of the publish's targets; the rest through next_target */
    const uint32_t *next_target; /* NULL: there is one only */
    /* answered */
    uint32_t part; /* the owner's, while it awaits acks; 0: nothing is left there */
    uint32_t clients, delivered, awaited;
    bool failed;
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
    bool failing;     /* the last page could not be read: nothing is held meanwhile */
    bool partial;     /* `before` counts */
    uint64_t after;   /* the number of the last row seen to */
    uint64_t began;   /* by the wall clock */
    struct dm_timer timer;
    struct dm_filter_set before; /* what it took before: that it has been sent */
    struct dm_uuid_set sent;     /* durable envelopes, live or from the store */
    bool fresh;                  /* some of those so new that they may still come live */
    struct dm_buf held;          /* struct dm_wire *: what came live meanwhile, in order */
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

struct dm_shard {
    struct dm_shard_options options;
    struct dm_shard_ports ports;
    struct dm_metrics *metrics;
    struct dm_uuid_minter minter;

    struct dm_slab users, sessions, states, awakes, pendings, deliveries, parts, coordinations;
    struct dm_index index;          /* userId to struct user */
    struct dm_index delivery_index; /* user and envelope to struct delivery */
    uint64_t index_key[2];

    struct dm_list recent;  /* AWAKE users, least recently used first */
    struct dm_list retries; /* WAKING users whose load failed, by retry_at (through `recent`) */
    struct dm_list due;     /* AWAKE users whose deliveries waited for the wake */
    struct dm_list calls;   /* struct dm_user_call, that wait for sockets to arrive */
    struct dm_list due_calls;
    struct dm_list attempts[ATTEMPT_LISTS]; /* struct attempt, by user */
    uint32_t recent_count, max_awake;
    struct dm_slab expiries;      /* struct expiry */
    struct dm_index expiry_index; /* session to struct expiry */
    struct dm_heap expiry_timers;
    int64_t wall_ahead;      /* of the monotonic clock, when the timers were last set by it; ms */
    struct words words;
    uint32_t endings;        /* users whose sessions were all ended */
    uint64_t expire_at;      /* when rows of sessions past their window go; 0: none is known */
    uint64_t store_retry_at; /* after a failed save: no other before this */
    uint32_t ops_out;        /* operations at the store */
    uint32_t evicted_since_trim;

    struct dm_slab catch_ups; /* struct catch_up */
    struct dm_index catch_up_index;
    struct dm_heap catch_up_timers;

    struct dm_list records[RECORD_LISTS]; /* struct record, by id */
    struct dm_uuid_set unsent;            /* publishes that may be recorded, and were not sent */
    bool holds_publishes;                 /* the store may hold recorded publishes */
    uint64_t forget_at;                   /* when to look for some that have expired; 0: none */
    uint32_t socket_publishes;            /* open ones that sessions have asked for */

    struct pace pace;
    struct dm_heap deadlines; /* struct coordination */
    uint32_t next_generation;

    uint64_t now, wall; /* of this turn; 0: not read yet */
    struct dm_buf scratch, text;
};

static inline struct user *user_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->users, index);
}
static inline struct session *session_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->sessions, index);
}
static inline struct session_state *state_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->states, index);
}
static inline struct awake *awake_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->awakes, index);
}
static inline struct pending *pending_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->pendings, index);
}
static inline struct delivery *delivery_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->deliveries, index);
}
static inline struct part *part_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->parts, index);
}
static inline struct coordination *coordination_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->coordinations, index);
}

/* user.c */
struct dm_slice dm_user_id(const struct user *user);
void dm_user_free_id(struct user *user);
uint32_t dm_user_find(const struct dm_shard *shard, struct dm_slice user_id); /* 0: nobody */
uint64_t dm_user_hash(const struct dm_shard *shard, uint32_t user);
uint32_t dm_user_find_hash(const struct dm_shard *shard, uint64_t hash); /* 0: nobody */
uint32_t dm_user_find_or_add(struct dm_shard *shard, struct dm_slice user_id);
void dm_user_free_if_unused(struct dm_shard *shard, uint32_t user);
uint64_t dm_user_tick(struct dm_shard *shard, uint64_t now);
void dm_user_move(struct dm_shard *shard, uint32_t user, enum user_state to);

/* session.c */
struct session_state *dm_session_state(struct dm_shard *shard,
                                       uint32_t session); /* made if absent */
void dm_session_drop_state(struct dm_shard *shard, struct session *session);
void dm_session_end(struct dm_shard *shard, uint32_t session); /* user awake, or nothing stored */
uint32_t dm_session_find(const struct dm_shard *shard, uint32_t user,
                         const struct dm_uuid *id); /* 0: it is not here */
uint32_t dm_session_add(struct dm_shard *shard, uint32_t user, const struct dm_uuid *id,
                        enum dm_dialect_id dialect, uint32_t sock);
void dm_session_attach(struct session_state *state, struct dm_slice attachment); /* a copy */
void dm_session_send_text(struct dm_shard *shard, uint32_t sock, struct dm_slice text);
void dm_admission_answer(struct dm_shard *shard, struct dm_admission *admission);
void dm_place_give_back(struct dm_shard *shard, struct dm_slice user_id);
uint32_t dm_user_close_sessions(struct dm_shard *shard, uint32_t user, int code,
                                struct dm_slice reason);

/* shard.c: the store */
void dm_shard_submit(struct dm_shard *shard, struct dm_store_op *op);
void dm_store_op_done(struct dm_mail *mail, struct dm_shard *shard); /* and nothing comes of it */
void dm_shard_forget_rows(struct dm_shard *shard, enum dm_store_kind kind,
                          const struct dm_uuid *envelope_id, const struct dm_uuid *session_id);

/* resume.c: sessions that outlive their sockets */
void dm_resume_begin(struct dm_shard *shard, struct dm_admission *admission); /* asks the store */
uint32_t dm_resume_open(struct dm_shard *shard, const struct dm_admission *admission,
                        uint32_t sock);
void dm_resume_confirm(struct dm_shard *shard, uint32_t session); /* its first frame */
void dm_resume_drop(struct dm_shard *shard, uint32_t session);    /* before its state goes */
void dm_resume_end(struct dm_shard *shard, const struct session *session); /* but its row stays */
void dm_resume_undo(struct dm_shard *shard, const struct dm_admission *admission);
void dm_resume_end_user(struct dm_shard *shard, struct dm_slice user_id,
                        void (*done)(void *context, int err, struct dm_shard *shard),
                        void *context);
uint64_t dm_resume_tick(struct dm_shard *shard, uint64_t now);

/* last_word.c: what a row is to say of a session that can be resumed: CONNECT, DROP, END or FORGET.
 * It is said until the store has taken it, or there is something newer to say. */
void dm_word_init(struct dm_shard *shard);
void dm_word_dispose(struct dm_shard *shard);
void dm_word_say(struct dm_shard *shard, enum dm_store_kind kind, uint32_t user,
                 const struct dm_uuid *session_id);
void dm_word_resumed(struct dm_shard *shard, uint32_t user,
                     const struct dm_uuid *session_id); /* the store has resumed it */
uint64_t dm_word_tick(struct dm_shard *shard, uint64_t now);
void dm_word_verify(const struct dm_shard *shard);

/* attempt.c: resumes on their way, and what becomes of their sessions meanwhile */
enum attempt_note {
    ATTEMPT_WRITTEN = 1, /* filters, attachment or pending acks of it were saved */
    ATTEMPT_DROPPED = 2, /* its row says that it has no socket */
    ATTEMPT_ENDED = 4,   /* it is not to be resumed */
    ATTEMPT_BEATEN = 8,  /* a later attempt was answered: this one's secret is none any more */
};
struct attempt *dm_attempt_begin(struct dm_shard *shard, uint32_t user);
void dm_attempt_found(struct dm_shard *shard, struct attempt *attempt,
                      const struct dm_uuid *session_id);
void dm_attempt_note(struct dm_shard *shard, uint32_t user,
                     const struct dm_uuid *session_id, /* NULL: every one of the user's */
                     enum attempt_note what);
unsigned dm_attempt_end(struct attempt **attempt); /* what was noted */

/* expiry.c: sessions whose identity ends */
void dm_expiry_set(struct dm_shard *shard, uint32_t session, uint64_t expires_ms); /* 0: none */
uint64_t dm_expiry_tick(struct dm_shard *shard, uint64_t now);

/* catch_up.c: durable envelopes that are owed, to a session that did not take them yet. `before` is
 * what it took until now, and taken over; NULL: nothing on this socket. */
void dm_catch_up_begin(struct dm_shard *shard, uint32_t session, struct dm_filter_set *before);
void dm_catch_up_end(struct dm_shard *shard,
                     uint32_t session); /* its socket is another's, or gone */
/* Sends what has come live, or keeps it behind what is older; `durable`: its id, or NULL. */
void dm_catch_up_send(struct dm_shard *shard, uint32_t session, struct dm_wire *wire,
                      const struct dm_uuid *durable);
uint64_t dm_catch_up_tick(struct dm_shard *shard, uint64_t now);
void dm_catch_up_dispose(struct dm_shard *shard);

/* record.c: publishes that the store knows */
void dm_record_ask(struct dm_shard *shard, struct dm_publish *publish);
void dm_record_delivered(struct dm_shard *shard, struct record *record);
void dm_record_finish(struct dm_shard *shard,
                      struct record *record); /* its publish has the counts */
uint64_t dm_record_tick(struct dm_shard *shard, uint64_t now);

/* answer.c: what a session's commands are answered */
struct addressee *dm_addressee_create(const struct dm_shard *shard, uint32_t session,
                                      struct dm_slice ref);
void dm_addressee_answer(struct dm_shard *shard, struct addressee *addressee, int err); /* frees */
/* ok, and these JSON members; frees too. */
void dm_addressee_tell(struct dm_shard *shard, struct addressee *addressee, struct dm_slice more);
void dm_answer(struct dm_shard *shard, const struct session *session, struct dm_slice ref, int err,
               struct dm_slice why);
void dm_answer_when_written(struct dm_shard *shard, uint32_t session, struct dm_slice ref);

/* awake.c */
struct awake *dm_awake_of(const struct dm_shard *shard, uint32_t user);
void dm_awake_push(struct dm_shard *shard, struct awake *awake);      /* AWAKE, and used just now */
void dm_awake_put_first(struct dm_shard *shard, struct awake *awake); /* AWAKE, and to sleep next */
void dm_awake_unlink(struct dm_shard *shard, struct awake *awake);
void dm_awake_give(struct dm_shard *shard, uint32_t user); /* to ASLEEP */
void dm_user_touch(struct dm_shard *shard, uint32_t user); /* AWAKE or SAVING: used just now */
void dm_user_forget_awake(struct dm_shard *shard, uint32_t user); /* AWAKE: straight to ASLEEP */
uint64_t dm_awake_tick(struct dm_shard *shard, uint64_t now);

/* sleep.c, wake.c: each tick returns when it is next needed */
uint64_t dm_sleep_tick(struct dm_shard *shard, uint64_t now);
bool dm_session_must_write(const struct dm_shard *shard, const struct session *session);
void dm_session_add_to(struct dm_shard *shard, struct session *session, struct dm_store_op *op);
void dm_user_mark_unwritten(struct dm_shard *shard, uint32_t user); /* a write failed */
void dm_session_restore(struct dm_shard *shard, uint32_t session, struct dm_store_op *op);
void dm_store_op_sort(struct dm_store_op *op);             /* before it: by session */
bool dm_user_rouse(struct dm_shard *shard, uint32_t user); /* true: it is awake; else it will be */
uint64_t dm_wake_tick(struct dm_shard *shard, uint64_t now);

/* pace.c: only where rate_messages is on, but for tick, forget and dispose */
bool dm_pace_spend(struct dm_shard *shard, uint32_t session); /* false: it is over the rate */
void dm_pace_hold(struct dm_shard *shard, uint32_t session);  /* and waits for the tick */
void dm_pace_refund(struct dm_shard *shard, uint32_t session);
void dm_pace_forget(struct dm_shard *shard, uint32_t session);
uint64_t dm_pace_tick(struct dm_shard *shard, uint64_t now);
void dm_pace_dispose(struct pace *pace);

/* deliver.c: the owner's half of a publish, going out */
void dm_scatter_deliver(struct dm_shard *shard, struct scatter *scatter);
bool dm_session_takes(const struct dm_shard *shard, const struct session *session,
                      struct dm_filter_probe *probe); /* user awake, or it has no filters */
void dm_deliver_waiting(struct dm_shard *shard, uint32_t user, int err); /* in order of arrival */

/* ack.c: and coming back */
void dm_session_ack(struct dm_shard *shard, uint32_t session, const struct dm_command *command);
/* The same of an envelope that no open publish awaits of its user. */
void dm_session_ack_unawaited(struct dm_shard *shard, uint32_t session,
                              const struct dm_command *command);
void dm_session_drop_pendings(struct dm_shard *shard, uint32_t session, bool may_return);
void dm_part_end(struct dm_shard *shard, const struct scatter *scatter); /* it was answered */

/* pending.c */
uint32_t dm_pending_add(struct dm_shard *shard, uint32_t session, uint32_t delivery);
void dm_pending_remove(struct dm_shard *shard, uint32_t pending);
uint32_t dm_pending_find(const struct dm_shard *shard, uint32_t session,
                         const struct dm_uuid *envelope); /* 0: none */
uint32_t dm_delivery_find(const struct dm_shard *shard, uint32_t user,
                          const struct dm_uuid *envelope); /* 0: none is open */
uint32_t dm_delivery_add(struct dm_shard *shard, uint32_t part, uint32_t user);
void dm_delivery_remove(struct dm_shard *shard, uint32_t delivery);
bool dm_delivery_dropped(const struct delivery *delivery, const struct dm_uuid *session_id);
void dm_part_free(struct dm_shard *shard, uint32_t part);
void dm_part_free_if_done(struct dm_shard *shard, uint32_t part);

/* socket_publish.c: a publish that a session asks for */
void dm_session_publish(struct dm_shard *shard, uint32_t session, const struct dm_command *command);

/* publish.c: the coordinator's half. `deadline` is by the monotonic clock. */
void dm_coordinate(struct dm_shard *shard, struct dm_publish *publish, struct record *record,
                   uint64_t deadline);
void dm_coordinate_rest(struct dm_shard *shard, struct dm_publish *publish, struct record *record,
                        uint64_t deadline); /* another process has sent it: only waits */
void dm_publish_answer(struct dm_shard *shard, struct dm_publish *publish);
void dm_scatter_back(struct dm_shard *shard, struct scatter *scatter);
void dm_publish_settle(struct dm_shard *shard, uint32_t coordination, uint32_t generation,
                       enum settling how, struct dm_slice result);
uint64_t dm_publish_tick(struct dm_shard *shard, uint64_t now);

#endif
