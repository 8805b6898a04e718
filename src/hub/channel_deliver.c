/*
 * The owner's half of a publish to a channel: to its members here, and to who
 * listens here. A recorded one brings its targets, the members when it was
 * recorded; for all others they are who is in the roster, which is woken.
 */
#include "hub/hub_priv.h"

static bool has_targets(const struct dm_publish *publish)
{
    return publish->durable || publish->repeatable;
}

static bool is_except(const struct dm_publish *publish, struct dm_slice user_id)
{
    return publish->except_user.at && dm_slice_eq(publish->except_user, user_id);
}

static void deliver_to_member(struct dm_shard *shard, uint32_t part, uint32_t user,
                              struct dm_slice id)
{
    if (!is_except(part_at(shard, part)->scatter->publish, id))
        dm_deliver_to_user(shard, part, user, NO_TARGET);
}

/* Of each member it is looked whether it is here: where most users are members. */
static void deliver_by_members(struct dm_shard *shard, uint32_t part, const struct roster *roster)
{
    const struct member *members = dm_roster_members(roster);
    uint32_t count = dm_roster_count(roster);
    for (uint32_t i = 0; i < count; i++) {
        struct dm_slice id = dm_short_id_text(&members[i].id);
        uint32_t user = dm_user_find_hashed(shard, members[i].hash, id);
        if (user)
            deliver_to_member(shard, part, user, id);
    }
}

/* Of each user that is here it is looked whether it is a member: where few members are. */
static void deliver_by_users(struct dm_shard *shard, uint32_t part, const struct roster *roster)
{
    uint32_t end = dm_slab_end(&shard->users);
    for (uint32_t i = 1; i < end; i++) {
        const struct user *user = dm_slab_peek(&shard->users, i);
        if (user && user->id.len && dm_roster_find(shard, roster, dm_user_id(user)))
            deliver_to_member(shard, part, i, dm_user_id(user));
    }
}

static void deliver_to_members(struct dm_shard *shard, uint32_t part, const struct roster *roster)
{
    if (shard->users.live < dm_roster_count(roster))
        deliver_by_users(shard, part, roster);
    else
        deliver_by_members(shard, part, roster);
}

static void deliver_to_listeners(struct dm_shard *shard, uint32_t part, uint32_t channel)
{
    const struct dm_publish *publish = part_at(shard, part)->scatter->publish;
    for (uint32_t i = channel_at(shard, channel)->first_listener; i;
         i = listener_at(shard, i)->next) {
        uint32_t session = listener_at(shard, i)->session;
        if (!is_except(publish, dm_user_id(user_at(shard, session_at(shard, session)->user))))
            dm_deliver_to_listener(shard, part_at(shard, part), session);
    }
}

/* `channel`: 0 where nobody listens and no roster is needed; `roster`: NULL where it is not, or
 * could not be loaded: who listens is sent it all the same. */
static void deliver(struct dm_shard *shard, struct scatter *scatter, uint32_t channel,
                    const struct roster *roster)
{
    uint32_t part = dm_part_create(shard, scatter);
    if (has_targets(scatter->publish)) {
        dm_deliver_to_targets(shard, part);
    } else if (roster) {
        scatter->members = dm_roster_count(roster);
        deliver_to_members(shard, part, roster);
    }
    if (channel)
        deliver_to_listeners(shard, part, channel);
    if (part_at(shard, part)->waking == 0)
        dm_part_send_back(shard, part);
}

static void roster_came(struct dm_shard *shard, struct roster_wait *wait, int err)
{
    struct scatter *scatter = DM_CONTAINER(wait, struct scatter, wait);
    uint32_t channel = dm_channel_find(shard, scatter->publish->channel);
    scatter->failed = err && !has_targets(scatter->publish);
    deliver(shard, scatter, channel, err ? NULL : channel_at(shard, channel)->roster);
}

/* One with targets needs no roster, but does not overtake what waits for it. */
void dm_channel_deliver(struct dm_shard *shard, struct scatter *scatter)
{
    struct dm_slice name = scatter->publish->channel;
    bool needs = !has_targets(scatter->publish);
    uint32_t channel = needs ? dm_channel_find_or_add(shard, name) : dm_channel_find(shard, name);
    scatter->wait.go_on = roster_came;
    if (!needs && !dm_roster_is_awaited(shard, channel))
        deliver(shard, scatter, channel, NULL);
    else if (dm_roster_need(shard, channel, &scatter->wait))
        deliver(shard, scatter, channel, channel_at(shard, channel)->roster);
}
