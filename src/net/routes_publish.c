/*
 * POST /publish (seed: HopeFlow Realtime), and the sends to one user or to
 * several (seed: durable-notifier), which wait for no ack.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "hub/publish.h"
#include "model/name.h"
#include "net/fields.h"
#include "net/loop.h"
#include "net/routes.h"
#include "net/targets.h"

/* A publish with its request, alive until the answer. */
struct publishing {
    struct dm_publish publish;
    struct dm_handle handle;
    struct dm_targets targets;
};

static struct publishing *publishing_create(void)
{
    return DM_NEW(struct publishing);
}

static void publishing_destroy(struct publishing *publishing)
{
    dm_envelope_release(publishing->publish.envelope);
    dm_buf_dispose(&publishing->publish.results);
    free(publishing->publish.target_errs);
    dm_targets_dispose(&publishing->targets);
    free(publishing);
}

static struct dm_envelope *make_envelope(struct dm_request *request, struct dm_slice type,
                                         struct dm_slice payload, struct dm_slice label,
                                         uint64_t ts)
{
    struct dm_shard *shard = dm_loop_shard(request->loop);
    struct dm_uuid id = dm_shard_mint(shard);
    return dm_envelope_create(&id, ts, type, payload, label);
}

/* Keeps the request and starts; on an error what was made is gone again. */
static int start(struct dm_request *request, struct publishing *publishing)
{
    int err =
        dm_request_keep(request, publishing->publish.timeout_ms ? DM_KEEP_LONG : DM_KEEP_SHORT,
                        &publishing->handle);
    if (err) {
        publishing_destroy(publishing);
        return err;
    }
    publishing->publish.targets = publishing->targets.ids;
    publishing->publish.target_count = publishing->targets.count;
    dm_publish(dm_loop_shard(request->loop), &publishing->publish);
    return DM_OK;
}

static void add_id(struct dm_buf *out, const struct dm_envelope *envelope)
{
    char id[DM_UUID_TEXT_LEN];
    dm_uuid_format(&envelope->id, id);
    dm_buf_add_byte(out, '"');
    dm_buf_add(out, id, sizeof id);
    dm_buf_add_byte(out, '"');
}

/* --- POST /publish --- */

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    struct publishing *publishing = DM_CONTAINER(publish, struct publishing, publish);
    struct dm_loop *loop = dm_loop_of_shard(here);
    struct dm_buf body = DM_BUF_INIT;
    if (publish->err) {
        dm_reply_later_error(loop, publishing->handle, publish->err);
    } else {
        dm_buf_lit(&body, "{\"envelopeId\":");
        add_id(&body, publish->envelope);
        dm_buf_lit(&body, ",\"clientCount\":");
        dm_buf_add_number(&body, publish->client_count);
        dm_buf_lit(&body, ",\"delivered\":");
        dm_buf_add_number(&body, publish->delivered);
        dm_buf_lit(&body, ",\"results\":[");
        dm_buf_add_slice(&body, dm_buf_slice(&publish->results));
        dm_buf_lit(&body, "]}");
        dm_reply_later_json(loop, publishing->handle, 200, dm_buf_slice(&body));
    }
    dm_buf_dispose(&body);
    publishing_destroy(publishing);
}

/* What the contract has and this version does not. */
static int refuse_later_fields(struct dm_request *request)
{
    struct dm_slice durable = dm_field(request->body, "durable");
    const char *which = NULL;
    if (dm_field_is(request->body, "channel"))
        which = "This version does not publish to channels yet";
    else if (dm_field_is(request->body, "envelopeId"))
        which = "This version does not take an envelopeId yet: leave it out, one is made";
    else if (durable.at && !dm_slice_eq(durable, DM_SLICE("false")))
        which = "This version has no durable publish yet";
    if (!which)
        return DM_OK;
    request->why = dm_slice_of(which);
    return DM_ERR_NOT_YET;
}

static int read_targets(struct dm_request *request, struct dm_targets *targets)
{
    struct dm_slice many = dm_field(request->body, "userIds");
    struct dm_slice one = dm_field_text(request, request->body, "userId");
    if (many.at && dm_field_is(request->body, "userId"))
        return dm_field_wrong(request, "Give either userId or userIds");
    if (!many.at) {
        if (!one.len)
            return DM_ERR_NO_TARGET;
        if (dm_targets_add(targets, one))
            return DM_OK;
        request->why = DM_SLICE("userId is not a valid name");
        return DM_ERR_INVALID_NAME;
    }
    int err = dm_targets_read(request, many, targets);
    if (!err && targets->invalid) {
        request->why = DM_SLICE("userIds holds something that is not a valid name");
        return DM_ERR_INVALID_NAME;
    }
    return err;
}

static int publish(struct dm_request *request)
{
    struct publishing *publishing = publishing_create();
    struct dm_slice type;
    uint64_t timeout_ms = 0;
    int err = refuse_later_fields(request);
    if (!err)
        err = read_targets(request, &publishing->targets);
    if (!err)
        err = dm_field_type(request, request->body, &type);
    if (!err && !dm_field_number(request->body, "timeoutMs", DM_TIMEOUT_MS_MAX,
                                 DM_TIMEOUT_MS_DEFAULT, &timeout_ms))
        err = dm_field_wrong(request, "timeoutMs must be a number from 0 to 60000");
    if (err) {
        publishing_destroy(publishing);
        return err;
    }
    publishing->publish.envelope =
        make_envelope(request, type, dm_json_get(request->body, DM_SLICE("payload")), DM_NO_SLICE,
                      dm_shard_wall(dm_loop_shard(request->loop)));
    publishing->publish.timeout_ms = (uint32_t)timeout_ms;
    publishing->publish.done = published;
    return start(request, publishing);
}

/* --- the sends --- */

#define LAST_TS 253402300799999.0 /* the last millisecond of the year 9999 */

/* {type,data?,id?,ts?}: the id is a label only. */
static int read_event(struct dm_request *request, struct dm_slice event,
                      struct dm_envelope **envelope)
{
    struct dm_slice type, label = dm_field_text(request, event, "id");
    uint64_t ts, now = dm_shard_wall(dm_loop_shard(request->loop));
    if (!dm_field_text(request, event, "type").len)
        return dm_field_wrong(request, "type is required");
    if (dm_field_is(event, "id") && (!label.len || label.len > DM_CHANNEL_NAME_MAX))
        return dm_field_wrong(request, "id must be a string of 1 to 200 bytes");
    if (!dm_field_number(event, "ts", LAST_TS, (double)now, &ts))
        return dm_field_wrong(request, "ts must be a time in milliseconds, of the years to 9999");
    int err = dm_field_type(request, event, &type);
    if (err)
        return err;
    *envelope = make_envelope(request, type, dm_json_get(event, DM_SLICE("data")), label, ts);
    return DM_OK;
}

static void sent(struct dm_publish *publish, struct dm_shard *here)
{
    struct publishing *publishing = DM_CONTAINER(publish, struct publishing, publish);
    struct dm_loop *loop = dm_loop_of_shard(here);
    struct dm_buf body = DM_BUF_INIT;
    if (publish->err) {
        dm_reply_later_error(loop, publishing->handle, publish->err);
    } else {
        dm_buf_lit(&body, "{\"id\":");
        if (publish->envelope->label.at)
            dm_json_encode(&body, publish->envelope->label);
        else
            add_id(&body, publish->envelope);
        dm_buf_lit(&body, ",\"ts\":");
        dm_buf_add_number(&body, publish->envelope->ts);
        dm_buf_lit(&body, ",\"delivered\":");
        dm_buf_add_number(&body, publish->delivered);
        dm_buf_add_byte(&body, '}');
        dm_reply_later_json(loop, publishing->handle, 200, dm_buf_slice(&body));
    }
    dm_buf_dispose(&body);
    publishing_destroy(publishing);
}

static int send_to_user(struct dm_request *request)
{
    if (!dm_user_id_valid(request->args[0]))
        return DM_ERR_INVALID_NAME;
    struct publishing *publishing = publishing_create();
    int err = read_event(request, request->body, &publishing->publish.envelope);
    if (err) {
        publishing_destroy(publishing);
        return err;
    }
    DM_CHECK(dm_targets_add(&publishing->targets, request->args[0]));
    publishing->publish.done = sent;
    return start(request, publishing);
}

/* As Promise.allSettled has it: one entry for each userId asked, in order. */
static void add_outcomes(struct dm_buf *body, const struct dm_targets *targets, const int *errs)
{
    dm_buf_add_byte(body, '[');
    for (uint32_t i = 0; i < targets->asked; i++) {
        uint32_t target = targets->target_of[i];
        const char *reason = NULL;
        if (target == DM_TARGET_INVALID)
            reason = dm_err_text(DM_ERR_INVALID_NAME);
        else if (errs && errs[target])
            reason = dm_err_text(errs[target]);
        if (i)
            dm_buf_add_byte(body, ',');
        if (reason)
            dm_buf_printf(body, "{\"status\":\"rejected\",\"reason\":\"%s\"}", reason);
        else
            dm_buf_lit(body, "{\"status\":\"fulfilled\"}");
    }
    dm_buf_add_byte(body, ']');
}

static void sent_to_all(struct dm_publish *publish, struct dm_shard *here)
{
    struct publishing *publishing = DM_CONTAINER(publish, struct publishing, publish);
    struct dm_buf body = DM_BUF_INIT;
    add_outcomes(&body, &publishing->targets, publish->target_errs);
    dm_reply_later_json(dm_loop_of_shard(here), publishing->handle, 200, dm_buf_slice(&body));
    dm_buf_dispose(&body);
    publishing_destroy(publishing);
}

static int start_to_all(struct dm_request *request, struct publishing *publishing)
{
    if (publishing->targets.count == 0) { /* none is a name: nobody to send to */
        struct dm_buf body = DM_BUF_INIT;
        add_outcomes(&body, &publishing->targets, NULL);
        dm_reply_json(request, 200, dm_buf_slice(&body));
        dm_buf_dispose(&body);
        publishing_destroy(publishing);
        return DM_OK;
    }
    publishing->publish.target_errs = dm_calloc(publishing->targets.count, sizeof(int));
    publishing->publish.done = sent_to_all;
    return start(request, publishing);
}

static int send_to_users(struct dm_request *request)
{
    struct dm_slice many = dm_field(request->body, "userIds");
    struct dm_slice event = dm_json_get(request->body, DM_SLICE("event"));
    if (!many.at)
        return dm_field_wrong(request, "userIds is required");
    if (dm_json_kind(event) != DM_JSON_OBJECT)
        return dm_field_wrong(request, "event must be an object");
    struct publishing *publishing = publishing_create();
    int err = dm_targets_read(request, many, &publishing->targets);
    if (!err)
        err = read_event(request, event, &publishing->publish.envelope);
    if (err) {
        publishing_destroy(publishing);
        return err;
    }
    return start_to_all(request, publishing);
}

const struct dm_route dm_publish_routes[] = {
    {"POST", "/publish", DM_WHO_OPEN_PUBLISH, DM_BODY_JSON, publish},
    {"POST", "/users/send", DM_WHO_PUBLISH, DM_BODY_JSON, send_to_users},
    {"POST", "/users/*/send", DM_WHO_PUBLISH, DM_BODY_JSON, send_to_user},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
