/* From what was read to what is published, and from its answer to JSON. */
#include <stdlib.h>

#include "codec/json.h"
#include "hub/hub_priv.h"

void dm_publish_prepare(struct dm_shard *shard, struct dm_publish *publish,
                        const struct dm_publication *from, struct dm_slice principal)
{
    const struct dm_envelope_draft draft = {
        .id = from->named ? from->id : dm_shard_mint(shard),
        .ts = dm_shard_wall(shard),
        .type = from->type,
        .payload = from->payload,
        .channel = from->channel,
    };
    publish->envelope = dm_envelope_create(&draft);
    publish->targets = from->targets.ids;
    publish->target_count = from->targets.count;
    publish->channel = publish->envelope->channel;
    publish->timeout_ms = from->timeout_ms;
    publish->durable = from->durable;
    publish->repeatable = from->named;
    publish->ttl_ms = from->ttl_ms;
    publish->principal = principal;
    if (from->named)
        dm_publication_hash(from, publish->body_hash);
}

void dm_publish_dispose(struct dm_publish *publish)
{
    dm_envelope_release(publish->envelope);
    dm_buf_dispose(&publish->results);
    dm_stored_results_release(publish->stored);
    free(publish->target_errs);
    free(publish->members_at);
    dm_buf_dispose(&publish->members_text);
}

struct dm_slice dm_publish_results(const struct dm_publish *publish)
{
    return dm_buf_slice(publish->stored ? &publish->stored->json : &publish->results);
}

void dm_stored_results_release(struct dm_stored_results *stored)
{
    if (!stored || atomic_fetch_sub(&stored->refs, 1) != 1)
        return;
    dm_buf_dispose(&stored->json);
    free(stored);
}

void dm_publish_describe(const struct dm_publish *publish, struct dm_buf *out)
{
    dm_buf_lit(out, "\"envelopeId\":");
    dm_json_add_uuid(out, &publish->envelope->id);
    dm_buf_lit(out, ",\"clientCount\":");
    dm_buf_add_number(out, publish->client_count);
    dm_buf_lit(out, ",\"delivered\":");
    dm_buf_add_number(out, publish->delivered);
    dm_buf_lit(out, ",\"results\":[");
    dm_buf_add_slice(out, dm_publish_results(publish));
    dm_buf_add_byte(out, ']');
    if (publish->durable) {
        dm_buf_lit(out, ",\"owed\":");
        dm_buf_add_number(out, publish->owed);
    }
}
