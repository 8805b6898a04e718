/* This shard's parts of channels: found by name, and the sessions that listen to them. */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

/* --- by name --- */

struct dm_slice dm_channel_name(const struct channel *channel)
{
    return dm_slice(channel->name, channel->name_len);
}

static bool has_name(const void *context, uint32_t value, struct dm_slice name)
{
    return dm_slice_eq(dm_channel_name(channel_at(context, value)), name);
}

static uint64_t hash_of(const struct dm_shard *shard, struct dm_slice name)
{
    return dm_hash(shard->index_key, name.at, name.len);
}

uint32_t dm_channel_find(const struct dm_shard *shard, struct dm_slice name)
{
    return dm_index_find(&shard->channel_index, hash_of(shard, name), has_name, shard, name);
}

uint32_t dm_channel_find_or_add(struct dm_shard *shard, struct dm_slice name)
{
    uint32_t index = dm_channel_find(shard, name);
    if (index)
        return index;
    index = dm_slab_take(&shard->channels);
    struct channel *channel = channel_at(shard, index);
    channel->index = index;
    channel->name = dm_memdup(name.at, name.len);
    channel->name_len = (uint32_t)name.len;
    dm_index_put(&shard->channel_index, hash_of(shard, name), index);
    return index;
}

void dm_channel_free_if_unused(struct dm_shard *shard, uint32_t index)
{
    struct channel *channel = channel_at(shard, index);
    if (channel->first_listener || channel->roster)
        return;
    dm_index_remove(&shard->channel_index, hash_of(shard, dm_channel_name(channel)), index);
    free(channel->name);
    dm_slab_give(&shard->channels, index);
}

uint32_t dm_channel_coordinator(const struct dm_shard *shard, struct dm_slice name)
{
    return dm_shard_owner(shard, name);
}

/* --- listeners --- */

static uint64_t hash_of_session(const struct dm_shard *shard, uint32_t session)
{
    return dm_hash(shard->index_key, &session, sizeof session);
}

static bool is_of(const void *context, uint32_t value, struct dm_slice key)
{
    const struct listener *listener = listener_at(context, value);
    return memcmp(&listener->session, key.at, sizeof listener->session) == 0;
}

static uint32_t find_listener(const struct dm_shard *shard, uint32_t session)
{
    return dm_index_find(&shard->listener_index, hash_of_session(shard, session), is_of, shard,
                         dm_slice((const char *)&session, sizeof session));
}

void dm_listener_add(struct dm_shard *shard, uint32_t session, struct dm_slice name)
{
    uint32_t at = dm_channel_find_or_add(shard, name);
    uint32_t index = dm_slab_take(&shard->listeners);
    struct channel *channel = channel_at(shard, at);
    struct listener *listener = listener_at(shard, index);
    listener->session = session;
    listener->channel = at;
    listener->next = channel->first_listener;
    if (listener->next)
        listener_at(shard, listener->next)->prev = index;
    channel->first_listener = index;
    channel->listener_count++;
    dm_index_put(&shard->listener_index, hash_of_session(shard, session), index);
    dm_metrics_add(shard->metrics, DM_METRIC_LISTENERS, 1);
}

void dm_listener_remove(struct dm_shard *shard, uint32_t session)
{
    uint32_t index = find_listener(shard, session);
    if (!index)
        return;
    struct listener *listener = listener_at(shard, index);
    struct channel *channel = channel_at(shard, listener->channel);
    if (listener->next)
        listener_at(shard, listener->next)->prev = listener->prev;
    if (listener->prev)
        listener_at(shard, listener->prev)->next = listener->next;
    else
        channel->first_listener = listener->next;
    channel->listener_count--;
    dm_index_remove(&shard->listener_index, hash_of_session(shard, session), index);
    dm_slab_give(&shard->listeners, index);
    dm_metrics_sub(shard->metrics, DM_METRIC_LISTENERS, 1);
    dm_channel_free_if_unused(shard, channel->index);
}

uint32_t dm_listener_channel(const struct dm_shard *shard, uint32_t session)
{
    uint32_t index = find_listener(shard, session);
    return index ? listener_at(shard, index)->channel : 0;
}

/* By the user's sessions, of which there are few; a channel may have many listeners. */
bool dm_user_listens(const struct dm_shard *shard, uint32_t user, struct dm_slice name)
{
    uint32_t channel = dm_channel_find(shard, name);
    if (!channel || !channel_at(shard, channel)->first_listener)
        return false;
    for (uint32_t i = user ? user_at(shard, user)->first_session : 0; i;
         i = session_at(shard, i)->next)
        if (dm_dialect_of(session_at(shard, i)->dialect)->listens &&
            dm_listener_channel(shard, i) == channel)
            return true;
    return false;
}

static const struct dm_slice not_allowed = DM_SLICE_INIT("Not allowed in this channel any more");

void dm_user_close_listeners(struct dm_shard *shard, struct dm_slice user_id, struct dm_slice name)
{
    uint32_t channel = dm_channel_find(shard, name), user = dm_user_find(shard, user_id), next;
    for (uint32_t i = channel && user ? user_at(shard, user)->first_session : 0; i; i = next) {
        next = session_at(shard, i)->next;
        if (dm_dialect_of(session_at(shard, i)->dialect)->listens &&
            dm_listener_channel(shard, i) == channel)
            dm_session_expel(shard, i, not_allowed);
    }
}

void dm_channel_close_listeners(struct dm_shard *shard, struct dm_slice name)
{
    uint32_t channel;
    while ((channel = dm_channel_find(shard, name)) != 0 &&
           channel_at(shard, channel)->first_listener) {
        uint32_t listener = channel_at(shard, channel)->first_listener;
        dm_session_expel(shard, listener_at(shard, listener)->session, not_allowed);
    }
}

void dm_channels_dispose(struct dm_shard *shard)
{
    for (uint32_t i = 1; i < dm_slab_end(&shard->channels); i++) {
        struct channel *channel = dm_slab_peek(&shard->channels, i);
        if (!channel || !channel->name_len || channel->index != i)
            continue;
        dm_roster_dispose(shard, channel);
        free(channel->name);
    }
    dm_slab_dispose(&shard->channels);
    dm_slab_dispose(&shard->listeners);
    dm_index_dispose(&shard->channel_index);
    dm_index_dispose(&shard->listener_index);
}
