/*
 * A dialect says how envelopes and commands look on one kind of socket: bytes
 * to model and model to bytes, no state, no user, no store, no socket. Which
 * one a socket speaks is picked by its path. Any thread.
 */
#ifndef DM_DIALECT_DIALECT_H
#define DM_DIALECT_DIALECT_H

#include "base/buf.h"
#include "model/command.h"
#include "model/envelope.h"

enum dm_dialect_id {
    DM_DIALECT_HOPEFLOW,
    DM_DIALECT_NATIVE,
    DM_DIALECT_NOTIFIER,
    DM_DIALECT_BROADCAST,
    DM_DIALECT_COUNT,
};

/* What a session is told first, in a dialect whose sessions can be resumed. */
struct dm_welcome {
    struct dm_uuid session_id;
    struct dm_slice resume; /* the secret by which it may be resumed next time */
    struct dm_slice user_id;
    bool resumed;               /* it is one that was there before */
    struct dm_slice attachment; /* JSON; absent: it has none */
};

struct dm_dialect {
    const char *name;   /* as the store and the metrics have it; never changed */
    bool acks;          /* its clients acknowledge: a publish waits for them */
    bool needs_filters; /* without a filter a session takes nothing (else everything) */
    bool resumes;       /* its sessions outlive their sockets; their commands are answered */
    bool same_for_all;  /* what it writes does not name who gets it: written once for all users */
    bool hears_peers;   /* it takes whispers and presence events */
    bool listens; /* a session is in one channel for its life, and takes what goes there only */

    /* Reads one whole message. Junk is DM_COMMAND_IGNORE. `scratch` may hold what the command
     * points to and must outlive it. */
    void (*read)(struct dm_slice message, bool binary, struct dm_buf *scratch,
                 struct dm_command *command);

    /* Appends the message that shows an envelope to a session of `user_id`; `again`: it may have
     * been sent before, which only a dialect with acks shows. */
    void (*write)(const struct dm_envelope *envelope, struct dm_slice user_id, bool again,
                  struct dm_buf *out);

    /* Only where it resumes. `err` DM_OK: the command was carried out; `more`: JSON members that
     * tell of it, or absent. */
    void (*welcome)(const struct dm_welcome *welcome, struct dm_buf *out);
    void (*answer)(struct dm_slice ref, int err, struct dm_slice why, struct dm_slice more,
                   struct dm_buf *out);
};

extern const struct dm_dialect dm_dialect_hopeflow;
extern const struct dm_dialect dm_dialect_native;
extern const struct dm_dialect dm_dialect_notifier;
extern const struct dm_dialect dm_dialect_broadcast;

/* The JSON object that a message is; absent: it is something else. */
struct dm_slice dm_dialect_object(struct dm_slice message, bool binary);

/* Has the object such a member, and is that a string which says exactly `text`? */
bool dm_dialect_says(struct dm_slice object, struct dm_slice name, struct dm_slice text);

/* What hopeflow and native show of an envelope, {envelopeId,type,userId,timestamp and
 * ,redelivered?,payload?}: between the two a dialect may add its own. */
void dm_dialect_begin_envelope(const struct dm_envelope *envelope, struct dm_slice user_id,
                               struct dm_buf *out);
void dm_dialect_end_envelope(const struct dm_envelope *envelope, bool again, struct dm_buf *out);

const struct dm_dialect *dm_dialect_of(enum dm_dialect_id id);

/* The dialect of that name; DM_DIALECT_COUNT when there is none. */
enum dm_dialect_id dm_dialect_named(struct dm_slice name);

#endif
