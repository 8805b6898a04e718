/*
 * Who is there on presence channels: what lists say, and what each observer
 * must think by the events that it got. At rest all three are the same: who is
 * there, the list, and each observer's sight.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "world.h"

/* --- what observers see --- */

static bool observes(const struct client *client, uint32_t channel)
{
    const struct membership *at = &client->world->members[channel][client->user];
    if (!client->bed.sock)
        return false;
    return listens(client) ? client->channel == channel : is_native(client) && at->is && !at->shaky;
}

static void forget(struct client *client, uint32_t channel)
{
    for (uint32_t user = 0; user < USERS; user++)
        client->sees[channel][user] = SIGHT_UNKNOWN;
}

static void forget_channel(struct world *world, uint32_t channel)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        forget(&world->clients[i], channel);
}

void presence_forget(struct world *world)
{
    for (uint32_t channel = 0; channel < CHANNELS; channel++)
        forget_channel(world, channel);
}

static struct dm_slice decoded(struct dm_buf *text, struct dm_slice string)
{
    dm_buf_clear(text);
    dm_json_decode(text, string);
    return dm_buf_slice(text);
}

/* {id,joinedAt}: the user. */
static uint32_t member_in(struct world *world, struct dm_slice member, bool dated)
{
    struct dm_buf text = DM_BUF_INIT;
    struct dm_slice joined_at = dm_json_get(member, DM_SLICE("joinedAt"));
    double since = joined_at.at ? dm_json_number(joined_at) : 0;
    uint32_t user = user_named(world, decoded(&text, dm_json_get(member, DM_SLICE("id"))));
    dm_buf_dispose(&text);
    if (dated != (since > 0) || since > (double)world->bed.now_ms)
        bed_fail(&world->bed, "%s joined at %f", user_names[user], since);
    return user;
}

void presence_heard(struct client *client, uint32_t channel, struct dm_slice payload, bool came)
{
    struct world *world = client->world;
    uint32_t user = member_in(world, dm_json_get(payload, DM_SLICE("member")), came);
    uint8_t *sight = &client->sees[channel][user];
    const struct membership *at = &world->members[channel][client->user];
    bed_trace(&world->bed, "client %u sees %s %s in %s", client->bed.number, user_names[user],
              came ? "join" : "leave", channel_names[channel]);
    if (channel < FIRST_PRESENCE)
        bed_fail(&world->bed, "%s is no presence channel", channel_names[channel]);
    if (user == client->user)
        bed_fail(&world->bed, "client %u sees itself", client->bed.number);
    if (listens(client) ? client->channel != channel : !is_native(client))
        bed_fail(&world->bed, "client %u is no observer", client->bed.number);
    if (!listens(client) && !at->is && !at->moved)
        bed_fail(&world->bed, "client %u observes, and is no member", client->bed.number);
    if (!world->calm || world->ended[channel] || (!listens(client) && at->moved))
        return; /* it may have missed some, for good reasons */
    if (*sight == (came ? SIGHT_HERE : SIGHT_AWAY))
        bed_fail(&world->bed, "client %u sees %s %s in %s once more", client->bed.number,
                 user_names[user], came ? "join" : "leave", channel_names[channel]);
    *sight = came ? SIGHT_HERE : SIGHT_AWAY;
}

/* --- lists --- */

struct watch *watch_begin(struct world *world, uint32_t channel)
{
    struct watch *watch = DM_NEW(struct watch);
    watch->world = world;
    watch->channel = channel;
    for (uint32_t user = 0; user < USERS; user++) {
        const struct membership *at = &world->members[channel][user];
        watch->away |= (uint32_t)(!at->shaky && !at->is) << user;
    }
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        const struct membership *at = &world->members[channel][client->user];
        bool hears = listens(client) && client->channel == channel;
        if (client->bed.sock && ((at->is && !at->shaky) || hears))
            watch->here |= 1u << client->user;
        if (client->bed.sock && hears)
            watch->away &= ~(1u << client->user);
    }
    watch->next = world->watches;
    world->watches = watch;
    return watch;
}

void presence_shake(struct world *world, uint32_t channel, uint32_t user)
{
    for (struct watch *watch = world->watches; watch; watch = watch->next)
        if (watch->channel == channel) {
            watch->here &= ~(1u << user);
            watch->away &= ~(1u << user);
        }
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (world->clients[i].user == user && is_native(&world->clients[i]))
            forget(&world->clients[i], channel);
}

void presence_opened(struct client *client)
{
    for (struct watch *watch = client->world->watches; watch; watch = watch->next)
        if (listens(client) && watch->channel == client->channel)
            watch->away &= ~(1u << client->user);
}

void presence_left(struct client *client)
{
    for (struct watch *watch = client->world->watches; watch; watch = watch->next)
        watch->here &= ~(1u << client->user);
}

static uint32_t users_in(struct world *world, struct dm_slice array)
{
    struct dm_slice key, value;
    struct dm_json_walk walk = dm_json_walk(array);
    uint32_t users = 0;
    while (dm_json_next(&walk, &key, &value)) {
        uint32_t bit = 1u << member_in(world, value, true);
        if (users & bit)
            bed_fail(&world->bed, "a user is listed twice");
        users |= bit;
    }
    return users;
}

/* Absent: nothing was told. */
void watch_end(struct watch *watch, struct dm_slice members)
{
    struct world *world = watch->world;
    uint32_t users = members.at ? users_in(world, members) : 0;
    for (struct watch **at = &world->watches; *at; at = &(*at)->next)
        if (*at == watch) {
            *at = watch->next;
            break;
        }
    if (members.at && (((watch->here & ~users) && !watch->partial) || (watch->away & users)))
        bed_fail(&world->bed, "%s: here are %x, away %x, and listed %x",
                 channel_names[watch->channel], watch->here, watch->away, users);
    free(watch);
}

static struct dm_slice as_array(struct dm_buf *all, const struct dm_presence_call *call)
{
    dm_buf_clear(all);
    dm_buf_add_byte(all, '[');
    dm_buf_add_slice(all, dm_buf_slice(&call->members));
    dm_buf_add_byte(all, ']');
    return dm_buf_slice(all);
}

static void listed(struct dm_presence_call *call, struct dm_shard *here)
{
    struct watch *watch = DM_CONTAINER(call, struct watch, call);
    struct world *world = watch->world;
    struct dm_buf all = DM_BUF_INIT, members = call->members, last = call->last;
    (void)here;
    world->bed.open_calls--;
    if (!world->bed.dead)
        expect_failures(world, call->err, "a list");
    watch->partial = last.len != 0;
    watch_end(watch, world->bed.dead || call->err ? DM_NO_SLICE : as_array(&all, call));
    dm_buf_dispose(&members);
    dm_buf_dispose(&last);
    dm_buf_dispose(&all);
}

void presence_ask(struct world *world)
{
    struct watch *watch = watch_begin(world, rand_below(&world->bed.rand, CHANNELS));
    watch->call.channel = channel_name(watch->channel);
    watch->call.limit = rand_chance(&world->bed.rand, 30) ? 2 : 1000;
    watch->call.done = listed;
    world->bed.open_calls++;
    dm_presence_ask(bed_any_shard(&world->bed), &watch->call);
}

/* --- at rest --- */

struct look {
    struct dm_presence_call call;
    struct world *world;
    bool done;
};

static void looked(struct dm_presence_call *call, struct dm_shard *here)
{
    struct look *look = DM_CONTAINER(call, struct look, call);
    (void)here;
    look->world->bed.open_calls--;
    look->done = true;
}

static uint32_t list_all(struct world *world, uint32_t channel)
{
    struct dm_buf after = DM_BUF_INIT, all = DM_BUF_INIT;
    uint32_t users = 0, limit = rand_chance(&world->bed.rand, 50) ? 2 : 1000;
    struct look look = {.world = world};
    do {
        look.call = (struct dm_presence_call){
            .channel = channel_name(channel), .limit = limit, .done = looked};
        look.call.after = dm_buf_slice(&after);
        look.done = false;
        world->bed.open_calls++;
        dm_presence_ask(bed_any_shard(&world->bed), &look.call);
        bed_settle(&world->bed);
        if (!look.done || look.call.err)
            bed_fail(&world->bed, "it is not told who is there: %d", look.call.err);
        uint32_t more = users_in(world, as_array(&all, &look.call));
        if (users & more)
            bed_fail(&world->bed, "pages of a list have the same user");
        users |= more;
        dm_buf_dispose(&look.call.members);
        dm_buf_dispose(&after);
        after = look.call.last;
    } while (after.len);
    dm_buf_dispose(&after);
    dm_buf_dispose(&all);
    return users;
}

static bool has_session(struct world *world, uint32_t user, const char *which)
{
    uint64_t oldest = world->bed.now_ms - world->window_ms;
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM session WHERE user_id = '%s' AND (%s %llu)",
             user_names[user], which, (unsigned long long)oldest);
    return bed_store_number(&world->bed, sql) != 0;
}

static bool may_return(struct world *world, uint32_t user)
{
    return has_session(world, user, "resume IS NOT NULL AND dropped_at >");
}

/* Where the store has failed rows may not say what holds: then until the window ends. */
static bool is_unclear(struct world *world, uint32_t user)
{
    return world->bed.now_ms <= world->unclear_until[user] ||
           (world->bed.store.failures &&
            has_session(world, user, "resume IS NULL AND dropped_at IS NOT NULL AND dropped_at >"));
}

/* Members with a socket, or a session that may come back; and who listens. */
static uint32_t who_is_there(struct world *world, uint32_t channel, uint32_t resumable)
{
    uint32_t members = members_mask(world, channel), users = members & resumable;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        bool hears = listens(client) && client->channel == channel;
        if (client->bed.sock && (hears || (members & (1u << client->user))))
            users |= 1u << client->user;
    }
    return users;
}

static void compare(struct client *client, uint32_t channel, uint32_t there, uint32_t unclear)
{
    struct world *world = client->world;
    for (uint32_t user = 0; user < USERS; user++) {
        uint8_t *sight = &client->sees[channel][user];
        uint8_t is = there & (1u << user) ? SIGHT_HERE : SIGHT_AWAY;
        if (user == client->user || (unclear & (1u << user)))
            continue;
        if (*sight != SIGHT_UNKNOWN && *sight != is)
            bed_fail(&world->bed, "client %u sees %s %s in %s, and that is not so",
                     client->bed.number, user_names[user], is == SIGHT_HERE ? "away" : "here",
                     channel_names[channel]);
        *sight = is;
    }
}

void presence_look(struct world *world)
{
    uint32_t resumable = 0, unclear = 0;
    for (uint32_t user = 0; user < USERS; user++) {
        resumable |= (uint32_t)may_return(world, user) << user;
        unclear |= (uint32_t)is_unclear(world, user) << user;
    }
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        uint32_t there = who_is_there(world, channel, resumable), told = list_all(world, channel);
        if ((told ^ there) & ~unclear)
            bed_fail(&world->bed, "in %s are %x, and %x are listed", channel_names[channel], there,
                     told);
        if (world->ended[channel])
            forget_channel(world, channel);
        world->ended[channel] = false;
        for (uint32_t i = 0; channel >= FIRST_PRESENCE && i < CLIENTS; i++)
            if (observes(&world->clients[i], channel))
                compare(&world->clients[i], channel, there, unclear);
    }
}
