/*
 * One message on its way to sockets. Immutable once made and shared by the
 * shards that deliver it; the reference count is atomic and is the only thing
 * in it that changes, so any thread may retain and release.
 */
#ifndef DM_MODEL_ENVELOPE_H
#define DM_MODEL_ENVELOPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"

struct dm_envelope {
    struct dm_uuid id;
    uint64_t ts;             /* wall-clock milliseconds */
    struct dm_slice type;    /* decoded (WTF-8), trimmed, not empty */
    struct dm_slice payload; /* JSON as it was published, byte for byte; absent: none */
    struct dm_slice label;   /* a caller's own id for dialects that show one; absent: none */
    struct dm_slice channel; /* the channel that it was sent to; absent: it was sent to users */
    struct dm_slice from;    /* the userId that it is from; absent: it is from a publisher */
    bool of_peers;           /* a whisper or a presence event: the server's own types */
    _Atomic uint32_t refs;
    char bytes[]; /* what the slices point into */
};

/* What an envelope is made of; each field as there. */
struct dm_envelope_draft {
    struct dm_uuid id;
    uint64_t ts;
    struct dm_slice type, payload, label, channel, from;
    bool of_peers;
};

/* Copies the slices; the caller has the one reference. */
struct dm_envelope *dm_envelope_create(const struct dm_envelope_draft *draft);
/* Appends the id that a caller knows it by, as JSON: the label where it has one. */
void dm_envelope_add_id(struct dm_buf *out, const struct dm_envelope *envelope);

struct dm_envelope *dm_envelope_retain(struct dm_envelope *envelope);
void dm_envelope_release(struct dm_envelope *envelope);

#endif
