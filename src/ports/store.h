/*
 * What the hub asks of storage: operations, handed over and later posted back
 * to the shard that asked (op->mail.run is run there, with op->err set). The
 * shard's loop never waits.
 *
 * Writes are carried out in the order in which one shard submitted them, and
 * are durable when they come back: DM_OK after the commit; DM_ERR_UNAVAILABLE
 * if nothing was written; DM_ERR_COMMIT_UNKNOWN if the commit failed. A read
 * sees every write that had come back before it was submitted.
 *
 * An operation belongs to the store from submit until it comes back, then to
 * the hub again, which frees it with dm_store_op_destroy. The slices in it
 * point into `text`, or for a load's rows into what the store added there.
 */
#ifndef DM_PORTS_STORE_H
#define DM_PORTS_STORE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"
#include "codec/sha256.h"
#include "ports/mail.h"

enum dm_store_kind {
    DM_STORE_SAVE_USER,       /* upserts `sessions`, adds `pending` */
    DM_STORE_LOAD_USER,       /* reads both, for `user_id` */
    DM_STORE_OPEN_SESSION,    /* inserts `sessions[0]`, to be resumed by `next_resume` */
    DM_STORE_RESUME_SESSION,  /* the user's session of `resume`, if it can still be resumed, takes
                               * `next_resume`: it and its pending acks are added, `resumed` is set;
                               * else as OPEN_SESSION. Both secrets count until it is confirmed */
    DM_STORE_CONFIRM_SESSION, /* of `session_id` only the latest secret counts from here on, if
                               * that is the one whose hash begins as `next_resume` does */
    DM_STORE_CONNECT_SESSION, /* `session_id` has a socket */
    DM_STORE_END_SESSION,     /* `session_id` cannot be resumed any more; its row stays */
    DM_STORE_DROP_SESSION,    /* `session_id` has no socket since `now` */
    DM_STORE_END_USER,        /* no session of `user_id` can be resumed any more; those without a
                               * socket are deleted */
    DM_STORE_REOPEN_SESSION,  /* `sessions[0]` is connected, be its row there or not, and is resumed
                               * by `next_resume`, or by `resume` until it is confirmed */
    DM_STORE_EXPIRE_SESSIONS, /* deletes those that have had none since before `oldest` */
    DM_STORE_FORGET_SESSION,  /* deletes `session_id`'s row and its pending acks */
    DM_STORE_FORGET_PENDING,  /* deletes the pair (`envelope_id`, `session_id`) */
    DM_STORE_FORGET_ENVELOPE, /* deletes every pending ack of `envelope_id` */

    /* Of `publish` (ports/store_publish.h), which is about `envelope_id`: */
    DM_STORE_RECORD_PUBLISH,   /* records it, or finds what there is */
    DM_STORE_COUNT_PUBLISH,    /* notes whom it has reached */
    DM_STORE_FINISH_PUBLISH,   /* notes that it is answered, and reads what with */
    DM_STORE_FORGET_PUBLISH,   /* deletes all of it */
    DM_STORE_RECORD_ACK,       /* an ack of `session_id`, a session of `user_id` */
    DM_STORE_EXPIRE_PUBLISHES, /* ends debts, and deletes publishes, whose time has come */
    DM_STORE_LOOK_PUBLISH,     /* reads it */
    DM_STORE_LOAD_OWED,        /* reads a `page` of what is owed to `user_id` */

    /* Of `channel` (ports/store_channel.h): */
    DM_STORE_JOIN_CHANNEL,   /* `user_id` is a member of it from here on */
    DM_STORE_LEAVE_CHANNEL,  /* and none any more */
    DM_STORE_FORGET_CHANNEL, /* deletes some of its members */
    DM_STORE_FORGET_USER,   /* deletes some of the channels that `user_id` is a member of, which are
                             * answered, and some of what it is owed (of `publish`: retention) */
    DM_STORE_LOOK_PRESENCE, /* reads the presence channels that `user_id` is a member of, behind
                             * every write that this shard has asked for */
    DM_STORE_LOAD_MEMBERS,  /* reads a page of its members */
};

/* Where a text of an operation stands in its `text`: offsets, because `text` moves as it grows. */
struct dm_store_text {
    uint32_t start, len;
};

enum {
    DM_RESUME_HASH_LEN = DM_SHA256_LEN,
    DM_RESUME_PRINT_LEN = 2, /* so much of one tells a session's few secrets apart */
};

struct dm_store_session {
    struct dm_uuid id;
    struct dm_store_text dialect;    /* the dialect's name */
    struct dm_store_text filters;    /* JSON, as dm_filter_set_save writes it */
    struct dm_store_text attachment; /* JSON; of no length: none */
};

struct dm_store_pending {
    struct dm_uuid envelope_id, session_id;
};

struct dm_store_publish;
struct dm_store_page;
struct dm_store_channel;

struct dm_store_op {
    struct dm_mail mail;      /* run on `shard` when the operation is back */
    struct dm_store_op *next; /* the store's, while it has the operation */
    uint32_t shard;
    enum dm_store_kind kind;
    int err;

    struct dm_uuid session_id, envelope_id;
    struct dm_store_text user_id;
    struct dm_store_session *sessions;
    struct dm_store_pending *pending;
    uint32_t session_count, session_room, pending_count, pending_room;
    struct dm_buf text;

    struct dm_store_publish *publish; /* its own, of the kinds that have one */
    struct dm_store_page *page;
    struct dm_store_channel *channel;

    unsigned char resume[DM_RESUME_HASH_LEN], next_resume[DM_RESUME_HASH_LEN];
    uint64_t now, oldest; /* Unix milliseconds; a session dropped before `oldest` is gone (of
                           * publishes: see there) */
    bool resumed;

    uint32_t user; /* the hub's own, untouched by the store: whom it is about, */
    void *caller;  /* and who asked */
};

struct dm_store {
    void *self;
    void (*submit)(void *self, struct dm_store_op *op); /* any shard's thread */
    /* It was opened with some: else there are none but this process's. */
    bool holds_publishes;
    bool holds_presence; /* members of presence channels */
    /* Shows the sessions without a socket that an earlier process has left, those that dropped
     * first first. Before anything is submitted; it waits for the disk. NULL: there are none. */
    void (*each_absent)(void *self,
                        void (*see)(void *context, struct dm_slice user_id,
                                    const struct dm_uuid *session_id, uint64_t dropped_at),
                        void *context);
};

/* Kinds that read; all others write. */
bool dm_store_reads(enum dm_store_kind kind);

struct dm_store_op *dm_store_op_create(enum dm_store_kind kind, uint32_t shard, dm_mail_run back);
void dm_store_op_destroy(struct dm_store_op *op);
struct dm_store_text dm_store_op_add_text(struct dm_store_op *op, struct dm_slice text);
struct dm_slice dm_store_op_text(const struct dm_store_op *op, struct dm_store_text text);
void dm_store_op_add_session(struct dm_store_op *op, const struct dm_uuid *id,
                             struct dm_slice dialect, struct dm_slice filters,
                             struct dm_slice attachment);
void dm_store_op_add_pending(struct dm_store_op *op, const struct dm_uuid *envelope_id,
                             const struct dm_uuid *session_id);

#endif
