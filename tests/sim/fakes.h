/*
 * Fakes of the hub's ports. Each keeps exactly the promises of its header in
 * src/ports (the sockets: those of net/burrow.h too), and is as unkind as
 * these allow.
 */
#ifndef DM_TESTS_SIM_FAKES_H
#define DM_TESTS_SIM_FAKES_H

#include "ports/mail.h"
#include "ports/sink.h"
#include "ports/store.h"

struct world;

enum { SIM_SHARDS_MAX = 8, SIM_SENDERS = SIM_SHARDS_MAX + 2 };

/* --- mail: a queue for each pair of sender and receiver; any of them may move next --- */

enum { SENDER_WRITER = SIM_SHARDS_MAX, SENDER_READER, SENDER_NONE };

struct fake_queue {
    struct dm_mail *first, **end;
};

struct fake_mail {
    struct fake_queue queues[SIM_SENDERS][SIM_SHARDS_MAX];
    uint32_t waiting;
    uint32_t depth;
    uint32_t here; /* whose thread runs now; SENDER_NONE between events */
};

void mail_init(struct world *world);
struct dm_post mail_port(struct world *world);
void mail_post(struct world *world, uint32_t from, uint32_t to, struct dm_mail *mail);
bool mail_deliver_one(struct world *world); /* false: none waits */

/* --- the store: rows in memory --- */

struct row_session {
    struct dm_uuid id;
    char *user, *dialect, *filters;
};

struct fake_store {
    struct dm_store_op *writes[SIM_SHARDS_MAX], **writes_end[SIM_SHARDS_MAX]; /* not yet begun */
    struct dm_store_op *reads;
    uint32_t waiting;

    struct row_session *sessions;
    struct dm_store_pending *pending;
    uint32_t session_count, session_room, pending_count, pending_room;

    bool failing;          /* failures are let in at all */
    uint32_t fail_percent; /* of the operations, */
    uint32_t fail_nth;     /* or just the one of this number; 0: none */
    uint32_t operations, failed_writes, failed_reads;
    uint32_t failed_reads_told; /* of these, how many the hub surely knows */
    uint32_t failures_seen;
    uint64_t last_failure_ms;
};

void store_init(struct world *world);
void store_dispose(struct world *world);
struct dm_store store_port(struct world *world);
bool store_step(struct world *world); /* a commit or a read; false: nothing waits */

/* --- the sockets --- */

enum input_kind { IN_COMMAND, IN_ACK, IN_PING, IN_JUNK, IN_END };

struct input {
    struct input *next;
    enum input_kind kind;
    bool binary;
    char *text;
    uint32_t number;   /* IN_COMMAND: which of the session's; IN_ACK: the result's, 0 for none */
    uint32_t envelope; /* IN_ACK: the model's number of the publish */
};

struct fake_sock {
    uint32_t shard;   /* whose */
    uint32_t number;  /* what the hub calls the session; 0: the slot is free */
    uint32_t session; /* what the model calls it */
    bool held, resumed;
    uint64_t slowed_to; /* held for its rate: until then at the latest */
    struct input *first, **end;
};

struct fake_sink {
    struct fake_sock *socks; /* by sock number; 0 is unused */
    uint32_t count;
    uint32_t frames, pongs, disconnected; /* so far */
};

void sink_init(struct world *world);
void sink_dispose(struct world *world);
struct dm_sink sink_port(struct world *world);
uint32_t sink_adopt(struct world *world, uint32_t shard, uint32_t session);
void sink_start(struct world *world, uint32_t sock, uint32_t number);
struct fake_sock *sink_pick(struct world *world); /* an open one at random, or NULL */
void sink_input(struct world *world, struct fake_sock *sock, struct input *input);
bool sink_has_input(const struct world *world);
bool sink_pump(struct world *world); /* offers input of one socket; false: none has any */
void sink_flush(struct world *world, uint32_t shard);       /* resumes */
void sink_cut(struct world *world, struct fake_sock *sock); /* 4008: held input is lost */

#endif
