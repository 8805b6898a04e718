/*
 * A shard from within, and what the files of this folder ask of one another.
 * Their records are in records_priv.h.
 */
#ifndef DM_HUB_HUB_PRIV_H
#define DM_HUB_HUB_PRIV_H

#include "hub/records_priv.h"

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
    int64_t wall_ahead; /* of the monotonic clock, when the timers were last set by it; ms */
    struct words words;
    uint32_t endings;        /* users whose sessions were all ended */
    uint64_t expire_at;      /* when rows of sessions past their window go; 0: none is known */
    uint64_t store_retry_at; /* after a failed save: no other before this */
    uint32_t ops_out;        /* operations at the store */
    uint32_t evicted_since_trim;

    struct dm_slab channels;              /* struct channel */
    struct dm_index channel_index;        /* name to struct channel */
    struct dm_slab listeners;             /* struct listener */
    struct dm_index listener_index;       /* session to struct listener */
    struct dm_list rosters;               /* READY ones, least recently used first */
    uint32_t roster_weight;               /* of all of them, as max_awake counts it */
    struct dm_slab claims;                /* struct claims */
    struct dm_index claims_index;         /* session to struct claims */
    struct dm_list askings[ASKING_LISTS]; /* struct asking, by session */
    uint32_t asking_count;
    struct dm_slab absents;       /* struct absent */
    struct dm_list absent;        /* the same, by when their window ends */
    struct dm_index absent_index; /* userId to its first struct absent */
    bool holds_presence;  /* some user of this shard may be a member of a presence channel */
    struct dm_list looks; /* struct look, that wait for the store */
    uint32_t looks_waiting;
    uint64_t look_again_at;
    bool ending; /* all sessions are closed: nobody is told who goes */

    struct dm_slab catch_ups; /* struct catch_up */
    struct dm_index catch_up_index;
    struct dm_heap catch_up_timers;

    struct dm_list records[RECORD_LISTS]; /* struct record, by id */
    struct dm_uuid_set unsent;            /* publishes that may be recorded, and were not sent */
    bool holds_publishes;                 /* the store may hold recorded publishes */
    struct dm_uuid
        *plain;         /* PLAIN_IDS of late envelopes that are not recorded; NULL: no need yet */
    uint32_t acks_out;  /* at the store, of envelopes that nobody awaits */
    uint64_t began;     /* this process, by the wall clock */
    uint64_t forget_at; /* when to look for some that have expired; 0: none */
    uint32_t socket_publishes; /* open ones that sessions have asked for */

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
static inline struct channel *channel_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->channels, index);
}
static inline struct listener *listener_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->listeners, index);
}
static inline struct coordination *coordination_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->coordinations, index);
}

/* Where an envelope's id stands among the plain ones, if it does. */
static inline struct dm_uuid *dm_plain_place(const struct dm_shard *shard, const struct dm_uuid *id)
{
    return &shard->plain[dm_hash(shard->index_key, id, sizeof *id) % PLAIN_IDS];
}

/* user.c */
struct dm_slice dm_user_id(const struct user *user);
uint32_t dm_user_find(const struct dm_shard *shard, struct dm_slice user_id); /* 0: nobody */
uint32_t dm_user_find_hashed(const struct dm_shard *shard, uint64_t hash,
                             struct dm_slice user_id); /* the same, its hash at hand */
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
void dm_session_let_publish(struct dm_shard *shard, uint32_t session, bool may);
void dm_session_attach(struct session_state *state, struct dm_slice attachment); /* a copy */
void dm_session_send_text(struct dm_shard *shard, uint32_t sock, struct dm_slice text);
void dm_session_expel(struct dm_shard *shard, uint32_t session,
                      struct dm_slice reason); /* closed with 4403 */
uint32_t dm_user_close_sessions(struct dm_shard *shard, uint32_t user, int code,
                                struct dm_slice reason);

/* claims.c */
void dm_claims_set(struct dm_shard *shard, uint32_t session,
                   struct dm_slice json); /* empty: none */
struct dm_slice dm_claims_of(const struct dm_shard *shard, uint32_t session);
void dm_claims_dispose(struct dm_shard *shard);

/* channel.c: this shard's parts, and who listens to them */
struct dm_slice dm_channel_name(const struct channel *channel);
uint32_t dm_channel_find(const struct dm_shard *shard, struct dm_slice name); /* 0: none */
uint32_t dm_channel_find_or_add(struct dm_shard *shard, struct dm_slice name);
void dm_channel_free_if_unused(struct dm_shard *shard, uint32_t channel);
uint32_t dm_channel_coordinator(const struct dm_shard *shard, struct dm_slice name); /* shard */
void dm_channels_dispose(struct dm_shard *shard);
void dm_listener_add(struct dm_shard *shard, uint32_t session, struct dm_slice channel);
void dm_listener_remove(struct dm_shard *shard, uint32_t session);            /* if it is one */
uint32_t dm_listener_channel(const struct dm_shard *shard, uint32_t session); /* 0: it is none */
bool dm_user_listens(const struct dm_shard *shard, uint32_t user, struct dm_slice channel);
void dm_user_close_listeners(struct dm_shard *shard, struct dm_slice user_id,
                             struct dm_slice channel);
void dm_channel_close_listeners(struct dm_shard *shard, struct dm_slice channel);

/* roster.c: true: it is ready, and stays so until this turn's end; else `wait` goes on when it is,
 * or with an error, behind all that waits already */
bool dm_roster_need(struct dm_shard *shard, uint32_t channel,
                    struct roster_wait *wait) DM_MUST_CHECK;
bool dm_roster_is_awaited(const struct dm_shard *shard, uint32_t channel); /* 0 is fine */
uint32_t dm_roster_count(const struct roster *roster);
uint32_t dm_roster_weight(const struct roster *roster); /* as max_awake counts it */
const struct member *dm_roster_members(const struct roster *roster);
const struct member *dm_roster_find(const struct dm_shard *shard, const struct roster *roster,
                                    struct dm_slice user_id); /* NULL: no member */
void dm_roster_change(struct dm_shard *shard, struct dm_slice channel, struct dm_slice user_id,
                      bool joined, uint64_t since); /* as the store has it by now */
void dm_roster_doubt(struct dm_shard *shard, struct dm_slice channel); /* it may be otherwise */
void dm_roster_dispose(struct dm_shard *shard, struct channel *channel);
uint64_t dm_roster_tick(struct dm_shard *shard, uint64_t now);

/* presence.c */
void dm_presence_expect(struct dm_shard *shard); /* a user of this shard joins a presence channel */
void dm_presence_came(struct dm_shard *shard, uint32_t session); /* it is new */
/* Before it leaves its user's list; `returns`: it can be resumed. */
void dm_presence_goes(struct dm_shard *shard, uint32_t session, bool returns);
bool dm_presence_is(const struct dm_shard *shard,
                    struct dm_slice user_id); /* anywhere, as a member */
void dm_presence_came_back(struct dm_shard *shard, struct dm_slice user_id,
                           const struct dm_uuid *session_id); /* to be resumed */
void dm_presence_may_have_gone(struct dm_shard *shard, struct dm_slice user_id);
void dm_presence_announce(struct dm_shard *shard, struct dm_slice channel, struct dm_slice user_id,
                          bool came, uint64_t since);
void dm_presence_describe(struct dm_buf *out, struct dm_slice user_id,
                          uint64_t since); /* 0: none is told */
uint64_t dm_presence_tick(struct dm_shard *shard, uint64_t now);
void dm_presence_dispose(struct dm_shard *shard);

/* absent.c: where it was a user's last session, others are told */
void dm_absent_load(struct dm_shard *shard); /* those that the store holds; it may take a while */
void dm_absent_dispose(struct dm_shard *shard);
void dm_absent_add(struct dm_shard *shard, struct dm_slice user_id,
                   const struct dm_uuid *session_id);
void dm_absent_renew(struct dm_shard *shard, struct dm_slice user_id,
                     const struct dm_uuid *session_id); /* its window begins anew */
void dm_absent_remove(struct dm_shard *shard, struct dm_slice user_id,
                      const struct dm_uuid *session_id); /* if it is one */
void dm_absent_remove_user(struct dm_shard *shard, struct dm_slice user_id);
bool dm_absent_is(const struct dm_shard *shard, struct dm_slice user_id,
                  const struct dm_uuid *session_id);
bool dm_absent_any(const struct dm_shard *shard, struct dm_slice user_id);
uint64_t dm_absent_since(const struct dm_shard *shard, uint64_t hash, /* as shard->index has it */
                         struct dm_slice user_id);                    /* UINT64_MAX: none */
uint64_t dm_absent_tick(struct dm_shard *shard, uint64_t now);

/* channel_commands.c */
bool dm_channel_command_waits(struct dm_shard *shard, uint32_t session, enum dm_command_kind kind);
void dm_channel_command(struct dm_shard *shard, uint32_t session, const struct dm_command *command);

/* verify_channels.c */
void dm_channels_verify(const struct dm_shard *shard);

/* admission.c */
void dm_admission_answer(struct dm_shard *shard, struct dm_admission *admission);
void dm_place_give_back(struct dm_shard *shard, struct dm_slice user_id);

/* shard.c: the store */
void dm_shard_submit(struct dm_shard *shard, struct dm_store_op *op);
void dm_store_op_done(struct dm_mail *mail, struct dm_shard *shard); /* and nothing comes of it */
void dm_shard_forget_rows(struct dm_shard *shard, enum dm_store_kind kind,
                          const struct dm_uuid *envelope_id, const struct dm_uuid *session_id);

void dm_shard_slots(const struct dm_shard *shard, uint32_t *first, uint32_t *last); /* its own */

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
/* The same for what could not be delivered: the recorded publishes from this number on. */
void dm_catch_up_from(struct dm_shard *shard, uint32_t session, uint64_t number);
void dm_catch_up_end(struct dm_shard *shard,
                     uint32_t session); /* its socket is another's, or gone */
/* Sends what has come live, or keeps it behind what is older; `durable`: its id, or NULL. */
void dm_catch_up_send(struct dm_shard *shard, uint32_t session, struct dm_wire *wire,
                      const struct dm_uuid *durable);
uint64_t dm_catch_up_tick(struct dm_shard *shard, uint64_t now);
void dm_catch_up_dispose(struct dm_shard *shard);
uint32_t dm_catch_up_verify(const struct dm_shard *shard); /* how many sessions are behind */

/* record.c: publishes that the store knows */
void dm_record_ask(struct dm_shard *shard, struct dm_publish *publish);
void dm_record_delivered(struct dm_shard *shard, struct record *record);
void dm_record_finish(struct dm_shard *shard,
                      struct record *record);                     /* its publish has the counts */
void dm_stored_results_release(struct dm_stored_results *stored); /* NULL is fine */

/* record_expiry.c */
void dm_record_expect_expiry(struct dm_shard *shard);
uint64_t dm_record_tick(struct dm_shard *shard, uint64_t now);

/* answer.c: what a session's commands are answered. An addressee may outlive the socket that the
 * command came on, and then nobody is answered. It is freed when it is. */
struct addressee *dm_addressee_create(const struct dm_shard *shard, uint32_t session,
                                      struct dm_slice ref);
void dm_addressee_answer(struct dm_shard *shard, struct addressee *addressee, int err); /* or ok */
/* ok, and these JSON members. */
void dm_addressee_tell(struct dm_shard *shard, struct addressee *addressee, struct dm_slice more);
const struct dm_uuid *dm_addressee_session(const struct addressee *addressee); /* is, or was */
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
bool dm_session_takes_all(const struct session *session); /* it has no filters, and needs none */
bool dm_session_takes(const struct dm_shard *shard, const struct session *session,
                      struct dm_filter_probe *probe); /* user awake, or it has no filters */
void dm_deliver_waiting(struct dm_shard *shard, uint32_t user, int err); /* in order of arrival */
uint32_t dm_part_create(struct dm_shard *shard, struct scatter *scatter);
void dm_part_send_back(struct dm_shard *shard, uint32_t part); /* nothing of it waits */
void dm_deliver_to_targets(struct dm_shard *shard, uint32_t part);
void dm_deliver_to_user(struct dm_shard *shard, uint32_t part, uint32_t user, uint32_t target);
void dm_deliver_to_listener(struct dm_shard *shard, struct part *part, uint32_t session);

/* channel_deliver.c */
void dm_channel_deliver(struct dm_shard *shard, struct scatter *scatter);

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
