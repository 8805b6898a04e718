/* dm_shard_verify's part about channels: their records, listeners, rosters, what waits, and who
 * may come back. */
#include "hub/hub_priv.h"

struct channel_census {
    uint32_t channels, listeners, rosters, ready, reading;
    uint32_t weight;
    uint64_t members;
};

/* --- listeners --- */

static void verify_listener(const struct dm_shard *shard, uint32_t channel, uint32_t index)
{
    const struct listener *listener = listener_at(shard, index);
    const struct session *session = session_at(shard, listener->session);
    DM_CHECK(listener->channel == channel);
    DM_CHECK(session->user && dm_dialect_of(session->dialect)->listens);
    DM_CHECK(!(session->flags & SESSION_GONE)); /* its channel would send to a socket that is not */
    DM_CHECK(dm_listener_channel(shard, listener->session) == channel);
}

static uint32_t verify_listeners(const struct dm_shard *shard, uint32_t channel)
{
    uint32_t count = 0, prev = 0;
    for (uint32_t i = channel_at(shard, channel)->first_listener; i;
         prev = i, i = listener_at(shard, i)->next, count++) {
        DM_CHECK(count < shard->listeners.live);
        DM_CHECK(listener_at(shard, i)->prev == prev);
        verify_listener(shard, channel, i);
    }
    DM_CHECK(count == channel_at(shard, channel)->listener_count);
    return count;
}

/* Nobody takes part in a channel twice, or in none where its dialect has one. */
static void verify_sessions(const struct dm_shard *shard)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < dm_slab_end(&shard->sessions); i++) {
        const struct session *session = dm_slab_peek(&shard->sessions, i);
        if (!session || !session->user)
            continue;
        bool listens = dm_dialect_of(session->dialect)->listens;
        DM_CHECK((dm_listener_channel(shard, i) != 0) == listens);
        count += listens;
    }
    DM_CHECK(count == shard->listeners.live && count == shard->listener_index.count);
}

/* --- rosters --- */

static void verify_members(const struct dm_shard *shard, const struct roster *roster)
{
    const struct member *members = dm_roster_members(roster);
    uint32_t count = dm_roster_count(roster);
    DM_CHECK(roster->places.count == count);
    for (uint32_t i = 0; i < count; i++) {
        struct dm_slice id = dm_short_id_text(&members[i].id);
        DM_CHECK(dm_roster_find(shard, roster, id) == &members[i]);
        DM_CHECK(members[i].hash == dm_hash(shard->index_key, id.at, id.len));
        DM_CHECK(dm_shard_owner(shard, id) == shard->options.number);
        DM_CHECK(members[i].since != 0);
    }
}

static void verify_roster(const struct dm_shard *shard, const struct roster *roster,
                          struct channel_census *census)
{
    bool ready = roster->state == ROSTER_READY;
    DM_CHECK(roster->reading != ready);
    DM_CHECK(dm_list_linked(&roster->recent) == ready);
    DM_CHECK(dm_list_empty(&roster->waiting) == ready); /* it is loaded for somebody */
    DM_CHECK(!ready || (!roster->doubtful && !roster->changes.len && !roster->after.len));
    verify_members(shard, roster);
    census->rosters++;
    census->ready += ready;
    census->reading += roster->reading;
    census->weight += ready ? dm_roster_weight(roster) : 0;
    census->members += dm_roster_count(roster);
}

/* Those that are ready, least recently used first. */
static void verify_recent(const struct dm_shard *shard, const struct channel_census *census)
{
    uint32_t count = 0;
    uint64_t last = 0;
    for (struct dm_list *i = shard->rosters.next; i != &shard->rosters; i = i->next, count++) {
        const struct roster *roster = DM_CONTAINER(i, struct roster, recent);
        DM_CHECK(count < census->ready && i->next->prev == i);
        DM_CHECK(channel_at(shard, roster->channel)->roster == roster);
        DM_CHECK(roster->last_event >= last);
        last = roster->last_event;
    }
    DM_CHECK(count == census->ready);
    DM_CHECK(shard->roster_weight == census->weight);
}

/* --- what waits --- */

static uint32_t length_of(const struct dm_list *head)
{
    uint32_t length = 0;
    for (const struct dm_list *i = head->next; i != head; i = i->next, length++)
        DM_CHECK(i->next->prev == i && i->prev->next == i);
    return length;
}

static void verify_waits(const struct dm_shard *shard)
{
    uint32_t askings = 0;
    for (size_t i = 0; i < DM_COUNT(shard->askings); i++)
        askings += length_of(&shard->askings[i]);
    DM_CHECK(askings == shard->asking_count);
    DM_CHECK(length_of(&shard->looks) == shard->looks_waiting);
}

/* --- who may come back --- */

/* In the order in which their windows end; none is of a session that is here. */
static void verify_absents(const struct dm_shard *shard)
{
    uint64_t last = 0;
    DM_CHECK(length_of(&shard->absent) == shard->absents.live);
    DM_CHECK(shard->absent_index.count <= shard->absents.live);
    for (struct dm_list *i = shard->absent.next; i != &shard->absent; i = i->next) {
        const struct absent *absent = DM_CONTAINER(i, struct absent, link);
        struct dm_slice user_id = dm_short_id_text(&absent->user_id);
        uint32_t user = dm_user_find(shard, user_id);
        DM_CHECK(dm_slab_at(&shard->absents, absent->index) == absent);
        DM_CHECK(dm_shard_owner(shard, user_id) == shard->options.number);
        DM_CHECK(dm_absent_any(shard, user_id));
        DM_CHECK(!user || !dm_session_find(shard, user, &absent->session_id));
        DM_CHECK(absent->ends >= last);
        last = absent->ends;
    }
}

/* --- all of it --- */

static void verify_channel(const struct dm_shard *shard, uint32_t index,
                           struct channel_census *census)
{
    const struct channel *channel = channel_at(shard, index);
    DM_CHECK(channel->index == index);
    DM_CHECK(channel->first_listener || channel->roster);
    DM_CHECK(dm_channel_find(shard, dm_channel_name(channel)) == index);
    census->channels++;
    census->listeners += verify_listeners(shard, index);
    if (channel->roster) {
        DM_CHECK(channel->roster->channel == index);
        verify_roster(shard, channel->roster, census);
    }
}

void dm_channels_verify(const struct dm_shard *shard)
{
    struct channel_census census = {0};
    for (uint32_t i = 1; i < dm_slab_end(&shard->channels); i++) {
        const struct channel *channel = dm_slab_peek(&shard->channels, i);
        if (channel && channel->name)
            verify_channel(shard, i, &census);
    }
    verify_recent(shard, &census);
    verify_sessions(shard);
    verify_waits(shard);
    verify_absents(shard);
    DM_CHECK(census.channels == shard->channels.live);
    DM_CHECK(census.channels == shard->channel_index.count);
    DM_CHECK(census.listeners == shard->listeners.live);
    DM_CHECK(census.reading <= shard->ops_out);
    const _Atomic uint64_t *gauges = shard->metrics->values;
    DM_CHECK(gauges[DM_METRIC_LISTENERS] == census.listeners);
    DM_CHECK(gauges[DM_METRIC_CHANNELS_AWAKE] == census.rosters);
    DM_CHECK(gauges[DM_METRIC_MEMBERS_AWAKE] == census.members);
}
