/*
 * Sends to one user or to several (seed: durable-notifier): they wait for no
 * ack.
 */
#include "base/alloc.h"
#include "codec/json.h"
#include "model/name.h"
#include "net/event.h"
#include "net/fields.h"
#include "net/publishing.h"
#include "net/routes.h"

static int start(struct dm_request *request, struct dm_publishing *publishing)
{
    publishing->publish.targets = publishing->from.targets.ids;
    publishing->publish.target_count = publishing->from.targets.count;
    return dm_publishing_start(request, publishing);
}

static int send_to_user(struct dm_request *request)
{
    if (!dm_user_id_valid(request->args[0]))
        return DM_ERR_INVALID_NAME;
    struct dm_publishing *publishing = dm_publishing_create();
    int err = dm_event_read(request, request->body, DM_NO_SLICE, &publishing->publish.envelope);
    if (err) {
        dm_publishing_destroy(publishing);
        return err;
    }
    DM_CHECK(dm_targets_add(&publishing->from.targets, request->args[0]));
    publishing->publish.done = dm_event_sent;
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
    struct dm_publishing *publishing = dm_publishing_of(publish);
    struct dm_buf body = DM_BUF_INIT;
    add_outcomes(&body, &publishing->from.targets, publish->target_errs);
    dm_reply_later_json(dm_loop_of_shard(here), publishing->handle, 200, dm_buf_slice(&body));
    dm_buf_dispose(&body);
    dm_publishing_destroy(publishing);
}

static int start_to_all(struct dm_request *request, struct dm_publishing *publishing)
{
    if (publishing->from.targets.count == 0) { /* none is a name: nobody to send to */
        struct dm_buf body = DM_BUF_INIT;
        add_outcomes(&body, &publishing->from.targets, NULL);
        dm_reply_json(request, 200, dm_buf_slice(&body));
        dm_buf_dispose(&body);
        dm_publishing_destroy(publishing);
        return DM_OK;
    }
    publishing->publish.target_errs = dm_calloc(publishing->from.targets.count, sizeof(int));
    publishing->publish.done = sent_to_all;
    return start(request, publishing);
}

static int send_to_users(struct dm_request *request)
{
    struct dm_slice many = dm_member(request->body, "userIds");
    struct dm_slice event = dm_json_get(request->body, DM_SLICE("event"));
    if (!many.at)
        return dm_field_wrong(request, "userIds is required");
    if (dm_json_kind(event) != DM_JSON_OBJECT)
        return dm_field_wrong(request, "event must be an object");
    struct dm_publishing *publishing = dm_publishing_create();
    uint32_t most = dm_server_options(dm_loop_server(request->loop))->limits.max_targets;
    int err = dm_targets_read(&publishing->from.targets, many, most, &request->why);
    if (!err)
        err = dm_event_read(request, event, DM_NO_SLICE, &publishing->publish.envelope);
    if (err) {
        dm_publishing_destroy(publishing);
        return err;
    }
    return start_to_all(request, publishing);
}

const struct dm_route dm_send_routes[] = {
    {"POST", "/users/send", DM_WHO_PUBLISH, DM_BODY_JSON, send_to_users},
    {"POST", "/users/*/send", DM_WHO_PUBLISH, DM_BODY_JSON, send_to_user},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
