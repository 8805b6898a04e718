/*
 * Publishes in the store: those with an id of the caller's, which may be
 * repeated, and the durable ones, whose envelope is owed to its users until
 * one of their sessions acks it. Part of an operation (ports/store.h), and
 * freed with it. Times are Unix milliseconds; op->now is the present, and
 * op->oldest when this process began: what it did before is another's.
 */
#ifndef DM_PORTS_STORE_PUBLISH_H
#define DM_PORTS_STORE_PUBLISH_H

#include "ports/store.h"

enum {
    DM_OWED_PAGE_ROWS = 128,       /* of LOAD_OWED at most, */
    DM_OWED_PAGE_BYTES = 64 * 1024 /* but for the row that passes this */
};

enum dm_recorded {
    DM_RECORDED_NOT,      /* there is none of that id; an ack does not count */
    DM_RECORDED_NEW,      /* there was none: it is recorded */
    DM_RECORDED_OPEN,     /* it is there, not answered, and its deadline is to come */
    DM_RECORDED_DONE,     /* it is there, and was answered or should have been; of an ack: it
                           * counts, though nobody waits for it any more */
    DM_RECORDED_OTHER,    /* another one has that id */
    DM_RECORDED_TOO_MUCH, /* some target is owed `max_owed` already; nothing was recorded */
    DM_RECORDED_TOO_WIDE, /* its channel has more than `max_targets` members; nor here */
};

struct dm_store_publish {
    /* RECORD_PUBLISH; of LOOK_PUBLISH the principal is asked, and the deadline answered */
    struct dm_store_text principal;
    bool repeatable, durable;
    unsigned char body_hash[DM_SHA256_LEN]; /* where it is repeatable */
    uint64_t ts;
    struct dm_store_text type, payload; /* payload: of no length: none */
    struct dm_store_text channel;       /* of no length: it is for `targets`; else these are
                                         * answered: its members, or where it was there before whose
                                         * acks still count */
    struct dm_store_text *targets;      /* userIds, each once; its own */
    uint32_t target_count, max_owed, max_targets;
    bool resends; /* of a channel: its targets are wanted where it was there before, too */
    uint64_t deadline, owed_until; /* the second no earlier than the first */

    uint64_t retention; /* FINISH_PUBLISH, RECORD_ACK, RECORD_PUBLISH: how long it is kept after */
    struct dm_store_text result; /* RECORD_ACK: JSON */
    bool awaited;                /* RECORD_ACK: it is known to have been sent, and is waited for */
    bool cut;                    /* answered: its result took too much room, and is null */

    bool anybodys; /* LOOK_PUBLISH: whoever has asked; else `principal` must have */

    /* COUNT_PUBLISH and FINISH_PUBLISH note these two; what reads answers them and the rest */
    uint32_t client_count, delivered;
    enum dm_recorded found;
    uint64_t number; /* RECORD_PUBLISH, where it is there: later ones have higher ones */
    /* LOOK_PUBLISH */
    uint32_t owed; /* users that it is owed to */
    uint32_t result_count;
    struct dm_buf results; /* JSON values in order of arrival, with commas between */
    bool more;             /* EXPIRE_PUBLISHES: there are more */
};

/* What is owed to a user, in order. */
struct dm_store_owed {
    uint64_t number, ts;
    struct dm_uuid envelope_id;
    struct dm_store_text type, payload, channel; /* channel: of no length: none */
};

struct dm_store_page {
    uint64_t after; /* the number of the last one read before; 0: from the first on */
    struct dm_store_owed *rows;
    uint32_t count, room;
    bool more; /* there are rows behind these */
};

/* The operation's part of each; made where it is not there yet. */
struct dm_store_publish *dm_store_op_publish(struct dm_store_op *op);
struct dm_store_page *dm_store_op_page(struct dm_store_op *op);

void dm_store_publish_add_result(struct dm_store_publish *publish, struct dm_slice value);
void dm_store_page_add(struct dm_store_op *op, const struct dm_store_owed *row,
                       struct dm_slice type, struct dm_slice payload, struct dm_slice channel);

#endif
