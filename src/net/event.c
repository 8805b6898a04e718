/* Events, from JSON and to it. */
#include "net/event.h"

#include "codec/json.h"
#include "net/fields.h"
#include "net/publishing.h"

#define LAST_TS 253402300799999.0 /* the last millisecond of the year 9999 */

int dm_event_read(struct dm_request *request, struct dm_slice event, struct dm_slice channel,
                  struct dm_envelope **envelope)
{
    struct dm_slice type, label = dm_field_text(request, event, "id");
    uint64_t ts, now = dm_shard_wall(dm_loop_shard(request->loop));
    if (!dm_field_text(request, event, "type").len)
        return dm_field_wrong(request, "type is required");
    if (dm_member_is(event, "id") && (!label.len || label.len > DM_CHANNEL_NAME_MAX))
        return dm_field_wrong(request, "id must be a string of 1 to 200 bytes");
    if (!dm_member_number(event, "ts", LAST_TS, (double)now, &ts))
        return dm_field_wrong(request, "ts must be a time in milliseconds, of the years to 9999");
    int err = dm_field_type(request, event, &type);
    if (err)
        return err;
    const struct dm_envelope_draft draft = {
        .id = dm_shard_mint(dm_loop_shard(request->loop)),
        .ts = ts,
        .type = type,
        .payload = dm_json_get(event, DM_SLICE("data")),
        .label = label,
        .channel = channel,
    };
    *envelope = dm_envelope_create(&draft);
    return DM_OK;
}

void dm_event_sent(struct dm_publish *publish, struct dm_shard *here)
{
    struct dm_publishing *publishing = dm_publishing_of(publish);
    struct dm_loop *loop = dm_loop_of_shard(here);
    struct dm_buf body = DM_BUF_INIT;
    if (publish->err) {
        dm_reply_later_error(loop, publishing->handle, publish->err);
    } else {
        dm_buf_lit(&body, "{\"id\":");
        dm_envelope_add_id(&body, publish->envelope);
        dm_buf_lit(&body, ",\"ts\":");
        dm_buf_add_number(&body, publish->envelope->ts);
        if (publish->channel.at) {
            dm_buf_lit(&body, ",\"members\":");
            dm_buf_add_number(&body, publish->members);
        }
        dm_buf_lit(&body, ",\"delivered\":");
        dm_buf_add_number(&body, publish->delivered);
        dm_buf_add_byte(&body, '}');
        dm_reply_later_json(loop, publishing->handle, 200, dm_buf_slice(&body));
    }
    dm_buf_dispose(&body);
    dm_publishing_destroy(publishing);
}
