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

    /* Reads one whole message. Junk is DM_COMMAND_IGNORE. `scratch` may hold what the command
     * points to and must outlive it. */
    void (*read)(struct dm_slice message, bool binary, struct dm_buf *scratch,
                 struct dm_command *command);

    /* Appends the message that shows an envelope to a session of `user_id`; `again`: it may have
     * been sent before. */
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

/* {envelopeId,type,userId,timestamp,redelivered?,payload?}, as hopeflow and native show an
 * envelope. */
void dm_dialect_write_envelope(const struct dm_envelope *envelope, struct dm_slice user_id,
                               bool again, struct dm_buf *out);

const struct dm_dialect *dm_dialect_of(enum dm_dialect_id id);

/* The dialect of that name; DM_DIALECT_COUNT when there is none. */
enum dm_dialect_id dm_dialect_named(struct dm_slice name);

#endif
