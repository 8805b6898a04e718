/* What backends ask about a user's sockets. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "hub/user.h"
#include "model/name.h"
#include "net/fields.h"
#include "net/loop.h"
#include "net/routes.h"

struct asking {
    struct dm_user_call call;
    struct dm_handle handle;
    struct dm_buf text; /* what the call's slices point into */
};

static void answered(struct dm_user_call *call, struct dm_shard *here)
{
    struct asking *asking = DM_CONTAINER(call, struct asking, call);
    char body[80];
    int len = call->question == DM_USER_PRESENCE
                  ? snprintf(body, sizeof body, "{\"online\":%s,\"connections\":%u}",
                             call->connections ? "true" : "false", call->connections)
                  : snprintf(body, sizeof body, "{\"disconnected\":%u}", call->connections);
    struct dm_loop *loop = dm_loop_of_shard(here);
    if (call->err)
        dm_reply_later_error(loop, asking->handle, call->err);
    else
        dm_reply_later_json(loop, asking->handle, 200, dm_slice(body, (size_t)len));
    dm_buf_dispose(&asking->text);
    free(asking);
}

static int ask(struct dm_request *request, enum dm_user_question question, struct dm_slice reason)
{
    struct dm_slice user_id = request->args[0];
    struct dm_handle handle;
    if (!dm_user_id_valid(user_id))
        return DM_ERR_INVALID_NAME;
    int err = dm_request_keep(request, DM_KEEP_SHORT, &handle);
    if (err)
        return err;
    struct asking *asking = DM_NEW(struct asking);
    asking->handle = handle;
    dm_buf_add_slice(&asking->text, user_id);
    dm_buf_add_slice(&asking->text, reason);
    asking->call.question = question;
    asking->call.user_id = dm_slice(asking->text.bytes, user_id.len);
    asking->call.reason = dm_slice(asking->text.bytes + user_id.len, reason.len);
    asking->call.done = answered;
    dm_user_ask(dm_loop_shard(request->loop), &asking->call);
    return DM_OK;
}

static int presence(struct dm_request *request)
{
    return ask(request, DM_USER_PRESENCE, DM_NO_SLICE);
}

static int disconnect(struct dm_request *request)
{
    struct dm_slice reason = dm_field_text(request, request->body, "reason");
    if (dm_member_is(request->body, "reason") && !reason.at)
        return dm_field_wrong(request, "reason must be a string");
    if (!dm_utf8_valid(reason)) /* a lone surrogate: no Close frame can carry it */
        return dm_field_wrong(request, "reason must be well-formed Unicode");
    if (reason.len > DM_FRAME_MAX_CONTROL - 2)
        return dm_field_wrong(request, "reason is longer than 123 bytes");
    return ask(request, DM_USER_DISCONNECT,
               reason.len ? reason : DM_SLICE("Disconnected by server"));
}

static int forget(struct dm_request *request)
{
    return ask(request, DM_USER_FORGET, DM_SLICE("Disconnected by server"));
}

const struct dm_route dm_user_routes[] = {
    {"GET", "/users/*/presence", DM_WHO_ADMIN, DM_BODY_NONE, presence},
    {"POST", "/users/*/disconnect", DM_WHO_ADMIN, DM_BODY_OPTIONAL, disconnect},
    {"DELETE", "/users/*", DM_WHO_ADMIN, DM_BODY_NONE, forget},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
