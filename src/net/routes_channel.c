/*
 * Membership and presence of channels (seeds: durable-notifier, broadcast):
 * what users do for themselves, and what backends do and ask.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "hub/channel.h"
#include "model/name.h"
#include "net/fields.h"
#include "net/loop.h"
#include "net/paging.h"
#include "net/routes.h"

/* What is asked of a channel, with the request that asks: alive until the answer. */
struct asking {
    struct dm_handle handle;
    struct dm_buf text; /* what the slices of the call point into */
    union {
        struct dm_membership_call membership;
        struct dm_members_call members;
        struct dm_presence_call presence;
        struct dm_channel_end end;
    };
};

/* Keeps the request, and two texts. */
static int asking_create(struct dm_request *request, struct dm_slice first, struct dm_slice second,
                         struct asking **out)
{
    struct dm_handle handle;
    int err = dm_request_keep(request, DM_KEEP_SHORT, &handle);
    if (err)
        return err;
    *out = DM_NEW(struct asking);
    (*out)->handle = handle;
    dm_buf_add_slice(&(*out)->text, first);
    dm_buf_add_slice(&(*out)->text, second);
    return DM_OK;
}

static void answer(struct dm_shard *here, struct asking *asking, int err, struct dm_slice body)
{
    struct dm_loop *loop = dm_loop_of_shard(here);
    if (err)
        dm_reply_later_error(loop, asking->handle, err);
    else
        dm_reply_later_json(loop, asking->handle, 200, body);
    dm_buf_dispose(&asking->text);
    free(asking);
}

static const struct dm_slice ok = DM_SLICE_INIT("{\"ok\":true}");

/* --- joining and leaving --- */

static void changed(struct dm_membership_call *call, struct dm_shard *here)
{
    answer(here, DM_CONTAINER(call, struct asking, membership), call->err, ok);
}

static int change(struct dm_request *request, enum dm_membership_change how,
                  struct dm_slice channel, struct dm_slice user_id)
{
    struct asking *asking;
    int err = asking_create(request, channel, user_id, &asking);
    if (err)
        return err;
    asking->membership.change = how;
    asking->membership.channel = dm_slice(asking->text.bytes, channel.len);
    asking->membership.user_id = dm_slice(asking->text.bytes + channel.len, user_id.len);
    asking->membership.done = changed;
    dm_membership_ask(dm_loop_shard(request->loop), &asking->membership);
    return DM_OK;
}

static int read_channel(struct dm_request *request, struct dm_slice *out)
{
    *out = dm_field_text(request, request->body, "channel");
    return out->len && dm_name_valid(*out) ? DM_OK : DM_ERR_INVALID_CHANNEL;
}

static int join(struct dm_request *request)
{
    const struct dm_slice *channel = request->state;
    return change(request, DM_MEMBERSHIP_JOIN, *channel, dm_principal_id(&request->principal));
}

static int subscribe(struct dm_request *request)
{
    struct dm_slice *channel = dm_request_alloc(request, sizeof *channel);
    int err = read_channel(request, channel);
    request->state = channel;
    return err ? err : dm_request_authorize_channel(request, *channel, join);
}

static int unsubscribe(struct dm_request *request)
{
    struct dm_slice channel;
    int err = read_channel(request, &channel);
    return err ? err
               : change(request, DM_MEMBERSHIP_LEAVE, channel,
                        dm_principal_id(&request->principal));
}

static int change_another(struct dm_request *request, enum dm_membership_change how)
{
    if (!dm_name_valid(request->args[0]) || !dm_user_id_valid(request->args[1]))
        return DM_ERR_INVALID_NAME;
    return change(request, how, request->args[0], request->args[1]);
}

static int add_member(struct dm_request *request)
{
    return change_another(request, DM_MEMBERSHIP_JOIN);
}

static int remove_member(struct dm_request *request)
{
    return change_another(request, DM_MEMBERSHIP_EXPEL);
}

/* --- who is a member --- */

/* {"members":[…]}, and where there are more "next". */
static void answer_page(struct dm_shard *here, struct asking *asking, int err,
                        struct dm_buf *members, struct dm_buf *last)
{
    struct dm_buf body = DM_BUF_INIT;
    dm_page_write(&body, dm_buf_slice(members), dm_buf_slice(last));
    dm_buf_dispose(members);
    dm_buf_dispose(last);
    answer(here, asking, err, dm_buf_slice(&body));
    dm_buf_dispose(&body);
}

static void listed(struct dm_members_call *call, struct dm_shard *here)
{
    answer_page(here, DM_CONTAINER(call, struct asking, members), call->err, &call->names,
                &call->last);
}

static int members(struct dm_request *request)
{
    struct dm_slice channel = request->args[0];
    struct dm_page page;
    struct asking *asking;
    if (!dm_name_valid(channel))
        return DM_ERR_INVALID_NAME;
    int err = dm_page_read(request, DM_MEMBERS_LIMIT, &page);
    if (!err)
        err = asking_create(request, channel, page.after, &asking);
    if (err)
        return err;
    asking->members.channel = dm_slice(asking->text.bytes, channel.len);
    asking->members.after = dm_slice(asking->text.bytes + channel.len, page.after.len);
    asking->members.limit = page.limit;
    asking->members.done = listed;
    dm_members_ask(dm_loop_shard(request->loop), &asking->members);
    return DM_OK;
}

/* --- who is there --- */

static void told(struct dm_presence_call *call, struct dm_shard *here)
{
    answer_page(here, DM_CONTAINER(call, struct asking, presence), call->err, &call->members,
                &call->last);
}

struct presence {
    struct dm_slice channel;
    struct dm_page page;
};

static int ask_presence(struct dm_request *request)
{
    const struct presence *asked = request->state;
    size_t channel_len = asked->channel.len;
    struct asking *asking;
    int err = asking_create(request, asked->channel, asked->page.after, &asking);
    if (err)
        return err;
    asking->presence.channel = dm_slice(asking->text.bytes, channel_len);
    asking->presence.after = dm_slice(asking->text.bytes + channel_len, asked->page.after.len);
    asking->presence.limit = asked->page.limit;
    asking->presence.done = told;
    dm_presence_ask(dm_loop_shard(request->loop), &asking->presence);
    return DM_OK;
}

static int presence(struct dm_request *request)
{
    struct presence *asked = dm_request_alloc(request, sizeof *asked);
    int err = dm_typed_name(request, &asked->channel);
    if (!err)
        err = dm_page_read(request, DM_MEMBERS_LIMIT_MAX, &asked->page);
    request->state = asked;
    if (err)
        return err;
    if (request->principal.scopes & DM_SCOPE_ADMIN)
        return ask_presence(request);
    return dm_request_authorize_channel(request, asked->channel, ask_presence);
}

/* --- its end --- */

static void ended(struct dm_channel_end *end, struct dm_shard *here)
{
    answer(here, DM_CONTAINER(end, struct asking, end), end->err, ok);
}

static int forget(struct dm_request *request)
{
    struct dm_slice channel = request->args[0];
    struct asking *asking;
    if (!dm_name_valid(channel))
        return DM_ERR_INVALID_NAME;
    int err = asking_create(request, channel, DM_NO_SLICE, &asking);
    if (err)
        return err;
    asking->end.channel = dm_slice(asking->text.bytes, channel.len);
    asking->end.done = ended;
    dm_channel_end(dm_loop_shard(request->loop), &asking->end);
    return DM_OK;
}

const struct dm_route dm_channel_routes[] = {
    {"POST", "/channels/subscribe", DM_WHO_USER, DM_BODY_JSON, subscribe},
    {"POST", "/channels/unsubscribe", DM_WHO_USER, DM_BODY_JSON, unsubscribe},
    {"PUT", "/channels/*/members/*", DM_WHO_ADMIN, DM_BODY_NONE, add_member},
    {"DELETE", "/channels/*/members/*", DM_WHO_ADMIN, DM_BODY_NONE, remove_member},
    {"GET", "/channels/*/members", DM_WHO_ADMIN, DM_BODY_NONE, members},
    {"GET", "/channels/*/presence", DM_WHO_KNOWN, DM_BODY_NONE, presence},
    {"DELETE", "/channels/*", DM_WHO_ADMIN, DM_BODY_NONE, forget},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
