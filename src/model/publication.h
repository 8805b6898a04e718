/*
 * What a publisher asks for, read from the JSON object that it sent: over HTTP
 * or on a socket. Any thread.
 */
#ifndef DM_MODEL_PUBLICATION_H
#define DM_MODEL_PUBLICATION_H

#include "base/buf.h"
#include "base/uuid.h"
#include "codec/sha256.h"
#include "model/targets.h"

struct dm_publication {
    struct dm_targets targets; /* none where there is a channel */
    struct dm_slice channel;   /* decoded, trimmed and valid; absent: it is for the targets */
    struct dm_slice type;      /* decoded; in `text`, or static */
    struct dm_slice payload;   /* JSON, in the object read; absent: none */
    bool named;                /* it brought an envelopeId, */
    struct dm_uuid id;         /* this one */
    bool durable;
    uint32_t timeout_ms;
    uint64_t ttl_ms;
    struct dm_buf text, channel_text;
};

/* Into a zeroed publication, which is to be disposed of even after an error; `why` may then say
 * what is wrong. */
int dm_publication_read(struct dm_publication *publication, struct dm_slice object,
                        uint32_t max_targets, struct dm_slice *why) DM_MUST_CHECK;
void dm_publication_dispose(struct dm_publication *publication);

/* SHA-256 of what is asked, apart from the id: two that differ only in how they are written are
 * the same, but for the payload, which counts byte for byte. */
void dm_publication_hash(const struct dm_publication *publication,
                         unsigned char out[DM_SHA256_LEN]);

/* DM_ERR_INVALID_FIELD for types that are the server's own, and for long ones. */
int dm_type_check(struct dm_slice type, struct dm_slice *why) DM_MUST_CHECK;

#endif
