/* Envelopes: one allocation each, slices into its tail. */
#include "model/envelope.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"

static struct dm_slice put(char **at, struct dm_slice text)
{
    if (!text.at)
        return DM_NO_SLICE;
    struct dm_slice copy = dm_slice(*at, text.len);
    memcpy(*at, text.at, text.len);
    *at += text.len;
    return copy;
}

struct dm_envelope *dm_envelope_create(const struct dm_envelope_draft *draft)
{
    size_t bytes = draft->type.len + draft->payload.len + draft->label.len + draft->channel.len +
                   draft->from.len;
    struct dm_envelope *envelope = dm_alloc(sizeof *envelope + bytes);
    char *at = envelope->bytes;
    envelope->id = draft->id;
    envelope->ts = draft->ts;
    envelope->type = put(&at, draft->type);
    envelope->payload = put(&at, draft->payload);
    envelope->label = put(&at, draft->label);
    envelope->channel = put(&at, draft->channel);
    envelope->from = put(&at, draft->from);
    envelope->of_peers = draft->of_peers;
    atomic_init(&envelope->refs, 1);
    return envelope;
}

struct dm_envelope *dm_envelope_retain(struct dm_envelope *envelope)
{
    atomic_fetch_add_explicit(&envelope->refs, 1, memory_order_relaxed);
    return envelope;
}

void dm_envelope_release(struct dm_envelope *envelope)
{
    if (envelope && atomic_fetch_sub_explicit(&envelope->refs, 1, memory_order_acq_rel) == 1)
        free(envelope);
}

void dm_envelope_add_id(struct dm_buf *out, const struct dm_envelope *envelope)
{
    if (envelope->label.at)
        dm_json_encode(out, envelope->label);
    else
        dm_json_add_uuid(out, &envelope->id);
}
