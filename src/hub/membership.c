/*
 * Joining and leaving: at the user's owner, in the store, then in the channel's
 * roster where that is awake, then for all who see it. The members of a channel
 * change in the order in which the store has changed them.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "hub/hub_priv.h"
#include "model/name.h"
#include "ports/store_channel.h"

struct changing {
    struct dm_membership_call *call;
    bool there, listening; /* when it was asked */
};

static void answer(struct dm_mail *mail, struct dm_shard *here)
{
    struct dm_membership_call *call = DM_CONTAINER(mail, struct dm_membership_call, mail);
    call->done(call, here);
}

static void send_back(struct dm_shard *shard, struct dm_membership_call *call)
{
    if (call->origin == shard->options.number) {
        call->done(call, shard);
        return;
    }
    call->mail.run = answer;
    shard->ports.post.send(shard->ports.post.self, call->origin, &call->mail);
}

/* Others see a change where the user is there as a member, and not for another reason. */
static void tell(struct dm_shard *shard, const struct changing *changing,
                 const struct dm_store_channel *stored)
{
    const struct dm_membership_call *call = changing->call;
    bool joined = call->change == DM_MEMBERSHIP_JOIN;
    if (!dm_name_is_presence(call->channel) || changing->listening)
        return;
    if (changing->there)
        dm_presence_announce(shard, call->channel, call->user_id, joined, stored->joined_at);
}

static void carry_out(struct dm_shard *shard, const struct changing *changing,
                      const struct dm_store_op *op)
{
    const struct dm_membership_call *call = changing->call;
    bool joined = call->change == DM_MEMBERSHIP_JOIN;
    if (op->channel->was != DM_MEMBER_CHANGED)
        return;
    dm_metrics_add(shard->metrics, joined ? DM_METRIC_JOINS : DM_METRIC_LEAVES, 1);
    dm_roster_change(shard, call->channel, call->user_id, joined, op->channel->joined_at);
    tell(shard, changing, op->channel);
}

static void changed(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct changing *changing = op->caller;
    struct dm_membership_call *call = changing->call;
    shard->ops_out--;
    call->err = op->err;
    if (op->err == DM_ERR_COMMIT_UNKNOWN)
        dm_roster_doubt(shard, call->channel);
    else if (!op->err)
        carry_out(shard, changing, op);
    if (!op->err && op->channel->was == DM_MEMBER_TOO_MANY) {
        call->err = DM_ERR_TOO_MANY_CHANNELS;
        dm_metrics_refuse(shard->metrics, call->err);
    }
    if (!call->err && call->change == DM_MEMBERSHIP_EXPEL)
        dm_user_close_listeners(shard, call->user_id, call->channel);
    free(changing);
    dm_store_op_destroy(op);
    send_back(shard, call);
}

static void change_here(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_membership_call *call = DM_CONTAINER(mail, struct dm_membership_call, mail);
    bool joins = call->change == DM_MEMBERSHIP_JOIN;
    struct dm_store_op *op = dm_store_op_create(
        joins ? DM_STORE_JOIN_CHANNEL : DM_STORE_LEAVE_CHANNEL, shard->options.number, changed);
    struct dm_store_channel *asked = dm_store_op_channel(op);
    struct changing *changing = DM_NEW(struct changing);
    uint32_t user = dm_user_find(shard, call->user_id);
    *changing = (struct changing){call, dm_presence_is(shard, call->user_id),
                                  dm_user_listens(shard, user, call->channel)};
    op->caller = changing;
    op->user_id = dm_store_op_add_text(op, call->user_id);
    op->now = dm_shard_wall(shard);
    asked->name = dm_store_op_add_text(op, call->channel);
    asked->max_channels = shard->options.limits.max_channels_per_user;
    if (joins && dm_name_is_presence(call->channel))
        dm_presence_expect(shard);
    dm_shard_submit(shard, op);
}

void dm_membership_ask(struct dm_shard *shard, struct dm_membership_call *call)
{
    uint32_t owner = dm_shard_owner(shard, call->user_id);
    call->origin = shard->options.number;
    call->mail.run = change_here;
    if (owner == call->origin)
        change_here(&call->mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, owner, &call->mail);
}

/* --- pages of members --- */

static void add_names(struct dm_members_call *call, const struct dm_store_op *op)
{
    const struct dm_store_channel *page = op->channel;
    for (uint32_t i = 0; i < page->count; i++) {
        if (i)
            dm_buf_add_byte(&call->names, ',');
        dm_json_encode(&call->names, dm_store_op_text(op, page->rows[i].name));
    }
    if (page->more)
        dm_buf_add_slice(&call->last, dm_store_op_text(op, page->rows[page->count - 1].name));
}

static void listed(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct dm_members_call *call = op->caller;
    shard->ops_out--;
    call->err = op->err;
    if (!op->err)
        add_names(call, op);
    dm_store_op_destroy(op);
    call->done(call, shard);
}

void dm_members_ask(struct dm_shard *shard, struct dm_members_call *call)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_LOAD_MEMBERS, shard->options.number, listed);
    struct dm_store_channel *asked = dm_store_op_channel(op);
    DM_CHECK(call->limit >= 1 && call->limit <= DM_MEMBERS_LIMIT_MAX);
    op->caller = call;
    asked->name = dm_store_op_add_text(op, call->channel);
    asked->after = dm_store_op_add_text(op, call->after);
    asked->last_slot = DM_SLOTS - 1;
    asked->limit = call->limit;
    dm_shard_submit(shard, op);
}
