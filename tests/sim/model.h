/*
 * What ought to happen. The model knows what clients and backends were told
 * and when (in the world's count of events), and holds every frame, answer and
 * counter against that. Where two things overlap in time it accepts either
 * order: a session must, may or must not take an envelope.
 */
#ifndef DM_TESTS_SIM_MODEL_H
#define DM_TESTS_SIM_MODEL_H

#include "hub/publish.h"
#include "hub/session.h"
#include "hub/user.h"

struct world;

enum { TYPES = 3, ROOMS = 4, FILTERS = TYPES * ROOMS, PAYLOADS = 7, TARGETS_MAX = 12 };

/* A session's filters: a set of the twelve that there are, {type} or {type, room}. */
struct command {
    uint64_t sent, taken;
    uint32_t after; /* the filters, once it is carried out */
};

struct m_session {
    uint32_t user, sock;
    uint64_t opened, closed; /* 0: not yet */
    struct command *commands;
    uint32_t command_count;
};

/* A session that was sent an envelope, and its first ack. */
struct receipt {
    uint32_t session;
    uint64_t acked;  /* 0: not yet */
    uint32_t result; /* 0: null */
    bool seen;       /* in the answer, while it is checked */
};

struct m_publish {
    struct dm_publish *call; /* NULL once answered */
    uint32_t number;
    char id[DM_UUID_TEXT_LEN + 1];
    uint64_t began, ts;
    uint64_t began_ms, coordinated_by_ms; /* the latter 0: perhaps not yet */
    uint32_t type, payload, timeout_ms;
    uint32_t targets[TARGETS_MAX], target_count; /* users; above them: nobody */
    struct dm_slice names[TARGETS_MAX];
    int errs[TARGETS_MAX];
    uint32_t failed_reads; /* of the store, told before it began */
    struct receipt *receipts;
    uint32_t receipt_count;
    struct world *world;
};

struct m_call {
    struct dm_user_call call;
    struct world *world;
    struct m_call *next;
    uint32_t user, least, most;
    uint64_t began;
};

struct m_admission {
    struct dm_admission admission;
    struct world *world;
    struct m_admission *next;
    uint32_t user, most;
};

struct m_user {
    uint32_t open, granted, admitting, withdrawing;
};

struct model {
    struct m_user users[16];
    struct m_session *sessions;
    uint32_t session_count;
    struct m_publish **publishes;
    uint32_t publish_count, publishes_open;
    struct m_call *calls;
    struct m_admission *admissions;
    uint32_t acks_taken, pings_taken, disconnected, results;
};

void model_dispose(struct world *world);

/* model.c: sessions */
uint32_t model_session_opened(struct world *world, uint32_t user);
void model_session_closed(struct world *world, uint32_t session);
uint32_t model_filter_add(const struct world *world, uint32_t filters, uint32_t filter);
uint32_t model_command_sent(struct world *world, uint32_t session, uint32_t after);
uint32_t model_filters_asked(const struct world *world, uint32_t session);
void model_command_taken(struct world *world, uint32_t session, uint32_t command);
enum verdict { MUST_NOT, MAY, MUST };
enum verdict model_takes(const struct world *world, uint32_t session,
                         const struct m_publish *publish);

/* model_publish.c */
const char *model_type(uint32_t type);
const char *model_payload(uint32_t payload); /* NULL: none */
struct m_publish *model_publish_begins(struct world *world);
void model_frame(struct world *world, uint32_t session, struct dm_slice text);
void model_publish_done(struct dm_publish *call, struct dm_shard *here);
bool model_ack_begins(struct world *world, uint32_t session, uint32_t publish, uint32_t result);
void model_ack_undo(struct world *world, uint32_t session, uint32_t publish);
bool model_all_resolved(const struct world *world, const struct m_publish *publish);
const struct receipt *model_receipt(const struct m_publish *publish, uint32_t session);

/* model_calls.c: places, presence and disconnect */
void model_admission_begins(struct world *world, struct m_admission *admission);
void model_admission_done(struct dm_admission *admission, struct dm_shard *here);
void model_call_begins(struct world *world, struct m_call *call);
void model_call_done(struct dm_user_call *call, struct dm_shard *here);
void model_user_changed(struct world *world, uint32_t user); /* after each change of its counts */

/* model_rest.c: what holds when nothing is under way */
void model_check_calm(struct world *world);
void model_check_asleep(struct world *world);
void model_check_empty(struct world *world);

#endif
