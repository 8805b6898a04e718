/*
 * Who is a member, as the store has committed it, and what was asked to change
 * that. A change that was answered is there, and one that was refused is not,
 * where no other was out at the same time.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "ports/store_channel.h"
#include "world.h"

uint32_t members_mask(const struct world *world, uint32_t channel)
{
    uint32_t mask = 0;
    for (uint32_t user = 0; user < USERS; user++)
        mask |= (uint32_t)world->members[channel][user].is << user;
    return mask;
}

static void shake(struct world *world, uint32_t channel, uint32_t user)
{
    world->members[channel][user].shaky = true;
    world->members[channel][user].moved = true;
    sends_shake(world, channel, user);
    presence_shake(world, channel, user);
}

void member_begin(struct world *world, uint32_t channel, uint32_t user, bool join)
{
    struct membership *at = &world->members[channel][user];
    if (at->out++ == 0) {
        at->begun = 0;
        at->was = at->is;
    }
    at->begun++;
    if (join == at->is && !at->shaky)
        return;
    shake(world, channel, user);
}

void member_done(struct world *world, uint32_t channel, uint32_t user)
{
    struct membership *at = &world->members[channel][user];
    if (at->out == 0)
        bed_fail(&world->bed, "a change is answered twice");
    if (--at->out == 0)
        at->shaky = false;
}

/* Before it is done. */
void member_answered(struct world *world, uint32_t channel, uint32_t user, bool join, int err)
{
    const struct membership *at = &world->members[channel][user];
    bool alone = at->begun == 1;
    bed_trace(&world->bed, "%s of %s %s: %d", user_names[user], channel_names[channel],
              join ? "joins" : "leaves", err);
    if (err == DM_OK && alone && at->is != join)
        bed_fail(&world->bed, "%s in %s: an answered change does not last", user_names[user],
                 channel_names[channel]);
    if (err && err != DM_ERR_COMMIT_UNKNOWN && alone && at->is != at->was)
        bed_fail(&world->bed, "%s in %s: a refused change was made", user_names[user],
                 channel_names[channel]);
    if (!join || (err != DM_ERR_TOO_MANY_CHANNELS && err != DM_ERR_FORBIDDEN))
        expect_failures(world, err, "a membership");
}

/* --- by the hub's calls --- */

struct change {
    struct dm_membership_call call;
    struct world *world;
    uint32_t channel, user, asked_at;
};

/* Whoever listened before it was asked is shown the door. */
static void check_expelled(const struct world *world, uint32_t channel, uint32_t users,
                           uint32_t asked_at)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        if (listens(client) && client->channel == channel && (users & (1u << client->user)) &&
            client->bed.sock && client->opened_at < asked_at)
            bed_fail((struct bed *)&world->bed, "client %u listens on after an end", i);
    }
}

static void changed(struct dm_membership_call *call, struct dm_shard *here)
{
    struct change *change = DM_CONTAINER(call, struct change, call);
    struct world *world = change->world;
    (void)here;
    world->bed.open_calls--;
    if (!world->bed.dead)
        member_answered(world, change->channel, change->user, call->change == DM_MEMBERSHIP_JOIN,
                        call->err);
    member_done(world, change->channel, change->user);
    if (!world->bed.dead && !call->err && call->change == DM_MEMBERSHIP_EXPEL)
        check_expelled(world, change->channel, 1u << change->user, change->asked_at);
    free(change);
}

void members_ask(struct world *world)
{
    struct change *change = DM_NEW(struct change);
    uint32_t dice = rand_below(&world->bed.rand, 100);
    change->world = world;
    change->channel = rand_below(&world->bed.rand, CHANNELS);
    change->user = rand_below(&world->bed.rand, USERS);
    change->asked_at = world->bed.step;
    change->call.change = dice < 60   ? DM_MEMBERSHIP_JOIN
                          : dice < 90 ? DM_MEMBERSHIP_LEAVE
                                      : DM_MEMBERSHIP_EXPEL;
    change->call.channel = channel_name(change->channel);
    change->call.user_id = dm_slice_of(user_names[change->user]);
    change->call.done = changed;
    bed_trace(&world->bed, "asks: %s, %s, change %d", user_names[change->user],
              channel_names[change->channel], (int)change->call.change);
    member_begin(world, change->channel, change->user, dice < 60);
    world->bed.open_calls++;
    dm_membership_ask(bed_any_shard(&world->bed), &change->call);
}

struct ending {
    struct dm_channel_end end;
    struct world *world;
    uint32_t channel, asked_at;
};

static void ended(struct dm_channel_end *end, struct dm_shard *here)
{
    struct ending *ending = DM_CONTAINER(end, struct ending, end);
    struct world *world = ending->world;
    /* Where it fails some are gone, perhaps. */
    int err = end->err == DM_ERR_UNAVAILABLE ? DM_ERR_COMMIT_UNKNOWN : end->err;
    (void)here;
    world->bed.open_calls--;
    world->extras[ending->channel].endings--;
    for (uint32_t user = 0; user < USERS; user++) {
        if (!world->bed.dead)
            member_answered(world, ending->channel, user, false, err);
        member_done(world, ending->channel, user);
    }
    if (!world->bed.dead)
        check_expelled(world, ending->channel, ~0u, ending->asked_at);
    free(ending);
}

void members_end_channel(struct world *world)
{
    struct ending *ending = DM_NEW(struct ending);
    ending->world = world;
    ending->channel = rand_below(&world->bed.rand, CHANNELS);
    ending->asked_at = world->bed.step;
    ending->end.channel = channel_name(ending->channel);
    ending->end.done = ended;
    bed_trace(&world->bed, "asks: %s ends", channel_names[ending->channel]);
    if (world->extras[ending->channel].endings++ == 0)
        world->extras[ending->channel].was = world->extras[ending->channel].is;
    for (uint32_t user = 0; user < USERS; user++)
        member_begin(world, ending->channel, user, false);
    sends_shake(world, ending->channel, USERS);
    world->ended[ending->channel] = true;
    world->bed.open_calls++;
    dm_channel_end(bed_any_shard(&world->bed), &ending->end);
}

/* --- a user that is disconnected, and perhaps forgotten --- */

struct disconnect {
    struct dm_user_call call;
    struct world *world;
    uint32_t user, asked_at;
};

static void disconnected(struct dm_user_call *call, struct dm_shard *here)
{
    struct disconnect *it = DM_CONTAINER(call, struct disconnect, call);
    struct world *world = it->world;
    bool forgets = call->question == DM_USER_FORGET;
    int err = call->err == DM_ERR_UNAVAILABLE ? DM_ERR_COMMIT_UNKNOWN : call->err;
    (void)here;
    world->bed.open_calls--;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        if (client->user == it->user && client->bed.sock && client->opened_at < it->asked_at)
            bed_fail(&world->bed, "client %u is connected after a disconnect", i);
    }
    if (!world->bed.dead)
        expect_failures(world, call->err, "a disconnect");
    if (call->err)
        world->unclear_until[it->user] = world->bed.now_ms + world->window_ms;
    for (uint32_t channel = 0; forgets && channel < CHANNELS; channel++) {
        if (!world->bed.dead)
            member_answered(world, channel, it->user, false, err);
        member_done(world, channel, it->user);
    }
    free(it);
}

void members_disconnect(struct world *world)
{
    struct disconnect *it = DM_NEW(struct disconnect);
    bool forgets = rand_chance(&world->bed.rand, 40);
    it->world = world;
    it->user = rand_below(&world->bed.rand, USERS);
    it->asked_at = world->bed.step;
    it->call.question = forgets ? DM_USER_FORGET : DM_USER_DISCONNECT;
    it->call.user_id = dm_slice_of(user_names[it->user]);
    it->call.reason = DM_SLICE("enough");
    it->call.done = disconnected;
    bed_trace(&world->bed, "asks: %s is %s", user_names[it->user],
              forgets ? "forgotten" : "disconnected");
    for (uint32_t channel = 0; forgets && channel < CHANNELS; channel++)
        member_begin(world, channel, it->user, false);
    world->bed.open_calls++;
    dm_user_ask(bed_any_shard(&world->bed), &it->call);
}

/* --- as the store has it --- */

static void committed_one(struct world *world, const struct dm_store_op *op, uint32_t channel)
{
    uint32_t user = user_named(world, dm_store_op_text(op, op->user_id)), channels = 0;
    bool join = op->kind == DM_STORE_JOIN_CHANNEL;
    struct membership *at = &world->members[channel][user];
    if (op->channel->was == DM_MEMBER_CHANGED && at->is == join)
        bed_fail(&world->bed, "a change that changes nothing");
    if (op->channel->was == DM_MEMBER_CHANGED)
        at->is = join;
    for (uint32_t i = 0; i < CHANNELS; i++)
        channels += world->members[i][user].is;
    if (op->channel->was == DM_MEMBER_TOO_MANY && channels < world->max_channels)
        bed_fail(&world->bed, "%s is refused a channel", user_names[user]);
    if (channels > world->max_channels)
        bed_fail(&world->bed, "%s is in too many channels", user_names[user]);
}

/* There might be more of them: then it is asked once more. */
static void committed_end(struct world *world, struct dm_store_op *op, uint32_t channel)
{
    for (uint32_t user = 0; user < USERS; user++)
        world->members[channel][user].is = false;
    world->extras[channel].is = 0;
    op->channel->more = rand_chance(&world->bed.rand, 30);
}

/* As for a channel's end. */
static void committed_forget(struct world *world, struct dm_store_op *op)
{
    uint32_t user = user_named(world, dm_store_op_text(op, op->user_id));
    for (uint32_t channel = 0; channel < CHANNELS; channel++)
        world->members[channel][user].is = false;
    sends_forgotten(world, user);
    op->channel->more |= rand_chance(&world->bed.rand, 30);
}

void members_committed(struct bed *bed, struct dm_store_op *op)
{
    struct world *world = world_of(bed);
    if (op->kind == DM_STORE_FORGET_USER)
        committed_forget(world, op);
    if (op->kind == DM_STORE_RECORD_PUBLISH)
        sends_recorded(world, op);
    if (op->kind != DM_STORE_JOIN_CHANNEL && op->kind != DM_STORE_LEAVE_CHANNEL &&
        op->kind != DM_STORE_FORGET_CHANNEL)
        return;
    uint32_t channel = channel_named(world, dm_store_op_text(op, op->channel->name));
    if (op->kind == DM_STORE_FORGET_CHANNEL)
        committed_end(world, op, channel);
    else
        committed_one(world, op, channel);
}

/* So many that they make a roster heavier, and pages many. */
void members_add_extras(struct world *world)
{
    uint32_t channel = rand_below(&world->bed.rand, CHANNELS);
    uint32_t count = 58 + rand_below(&world->bed.rand, 12);
    char sql[160], name[16];
    world->extras[channel].is = count;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "x%u", i);
        snprintf(sql, sizeof sql, "INSERT INTO member VALUES ('%s', %u, '%s', 1)",
                 channel_names[channel], dm_slot_of(dm_slice_of(name)), name);
        bed_store_exec(&world->bed, sql);
    }
}

/* --- pages of names --- */

struct listing {
    struct dm_members_call call;
    struct world *world;
    bool done;
};

static void listed(struct dm_members_call *call, struct dm_shard *here)
{
    struct listing *listing = DM_CONTAINER(call, struct listing, call);
    (void)here;
    listing->world->bed.open_calls--;
    listing->done = true;
}

static void add_names(struct listing *listing, uint32_t *users, uint32_t *extras)
{
    struct dm_buf all = DM_BUF_INIT, name = DM_BUF_INIT;
    struct dm_slice key, value;
    dm_buf_add_byte(&all, '[');
    dm_buf_add_slice(&all, dm_buf_slice(&listing->call.names));
    dm_buf_add_byte(&all, ']');
    struct dm_json_walk walk = dm_json_walk(dm_buf_slice(&all));
    while (dm_json_next(&walk, &key, &value)) {
        dm_buf_clear(&name);
        dm_json_decode(&name, value);
        if (name.bytes[0] == 'x') {
            (*extras)++;
            continue;
        }
        uint32_t bit = 1u << user_named(listing->world, dm_buf_slice(&name));
        if (*users & bit)
            bed_fail(&listing->world->bed, "a member is listed twice");
        *users |= bit;
    }
    dm_buf_dispose(&all);
    dm_buf_dispose(&name);
}

static void check_channel(struct world *world, uint32_t channel)
{
    struct dm_buf after = DM_BUF_INIT;
    uint32_t users = 0, extras = 0, limit = rand_chance(&world->bed.rand, 50) ? 2 : 1000;
    struct listing listing = {.world = world};
    do {
        listing.call = (struct dm_members_call){
            .channel = channel_name(channel), .limit = limit, .done = listed};
        listing.call.after = dm_buf_slice(&after);
        listing.done = false;
        world->bed.open_calls++;
        dm_members_ask(bed_any_shard(&world->bed), &listing.call);
        bed_settle(&world->bed);
        if (!listing.done || listing.call.err)
            bed_fail(&world->bed, "members are not listed: %d", listing.call.err);
        add_names(&listing, &users, &extras);
        dm_buf_dispose(&listing.call.names);
        dm_buf_dispose(&after);
        after = listing.call.last;
    } while (after.len);
    dm_buf_dispose(&after);
    if (users != members_mask(world, channel) || extras != world->extras[channel].is)
        bed_fail(&world->bed, "%s has members %x and %u, and %x and %u are listed",
                 channel_names[channel], members_mask(world, channel), world->extras[channel].is,
                 users, extras);
}

void members_check(struct world *world)
{
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        check_channel(world, channel);
        for (uint32_t user = 0; user < USERS; user++) {
            if (world->members[channel][user].out)
                bed_fail(&world->bed, "a change is not answered");
            world->members[channel][user].moved = false;
        }
    }
}
