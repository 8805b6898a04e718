/*
 * Sends to channels (seed: durable-notifier) and broadcasts to them (seed:
 * broadcast): they wait for no ack.
 */
#include "codec/json.h"
#include "model/name.h"
#include "net/event.h"
#include "net/fields.h"
#include "net/publishing.h"
#include "net/routes.h"

static int start(struct dm_request *request, struct dm_publishing *publishing, int err,
                 void (*done)(struct dm_publish *, struct dm_shard *))
{
    if (err) {
        dm_publishing_destroy(publishing);
        return err;
    }
    publishing->publish.channel = publishing->publish.envelope->channel;
    publishing->publish.done = done;
    return dm_publishing_start(request, publishing);
}

static int send_to_channel(struct dm_request *request)
{
    if (!dm_name_valid(request->args[0]))
        return DM_ERR_INVALID_NAME;
    struct dm_publishing *publishing = dm_publishing_create();
    int err =
        dm_event_read(request, request->body, request->args[0], &publishing->publish.envelope);
    return start(request, publishing, err, dm_event_sent);
}

static void broadcast_sent(struct dm_publish *publish, struct dm_shard *here)
{
    struct dm_publishing *publishing = dm_publishing_of(publish);
    struct dm_loop *loop = dm_loop_of_shard(here);
    if (publish->err)
        dm_reply_later_error(loop, publishing->handle, publish->err);
    else
        dm_reply_later_empty(loop, publishing->handle);
    dm_publishing_destroy(publishing);
}

static const char wrong_type[] = "type must be public, private or presence";

/* {event,data?,type?} */
static int read_broadcast(struct dm_request *request, struct dm_buf *channel,
                          struct dm_envelope **envelope)
{
    struct dm_slice event = dm_field_text(request, request->body, "event");
    struct dm_slice type = dm_field_text(request, request->body, "type");
    if (dm_member_is(request->body, "type") && !type.at)
        return dm_field_wrong(request, wrong_type);
    int err = dm_name_with_type(request->args[0], type, channel);
    if (err)
        return err == DM_ERR_INVALID_FIELD ? dm_field_wrong(request, wrong_type) : err;
    if (!event.len)
        return dm_field_wrong(request, "event is required");
    err = dm_type_check(event, &request->why);
    if (err)
        return err;
    struct dm_shard *shard = dm_loop_shard(request->loop);
    *envelope = dm_envelope_create(&(struct dm_envelope_draft){
        .id = dm_shard_mint(shard),
        .ts = dm_shard_wall(shard),
        .type = event,
        .payload = dm_json_get(request->body, DM_SLICE("data")),
        .channel = dm_buf_slice(channel),
    });
    return DM_OK;
}

static int broadcast(struct dm_request *request)
{
    struct dm_publishing *publishing = dm_publishing_create();
    struct dm_buf channel = DM_BUF_INIT;
    int err = read_broadcast(request, &channel, &publishing->publish.envelope);
    dm_buf_dispose(&channel);
    return start(request, publishing, err, broadcast_sent);
}

const struct dm_route dm_channel_send_routes[] = {
    {"POST", "/channels/*/send", DM_WHO_PUBLISH, DM_BODY_JSON, send_to_channel},
    {"POST", "/channels/*/broadcast", DM_WHO_PUBLISH, DM_BODY_JSON, broadcast},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
