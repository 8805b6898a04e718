/*
 * The records of what is awaited: a part for a publish at this shard, a
 * delivery for each of its users, a pending ack for each of their sessions.
 */
#include <string.h>

#include "hub/hub_priv.h"

/* --- pending acks --- */

uint32_t dm_pending_add(struct dm_shard *shard, uint32_t session, uint32_t delivery_index)
{
    struct session_state *state = dm_session_state(shard, session);
    struct delivery *delivery = delivery_at(shard, delivery_index);
    uint32_t index = dm_slab_take(&shard->pendings);
    struct pending *pending = pending_at(shard, index);
    pending->session = session;
    pending->delivery = delivery_index;
    pending->session_next = state->first_pending;
    pending->delivery_next = delivery->first_pending;
    if (state->first_pending)
        pending_at(shard, state->first_pending)->session_prev = index;
    if (delivery->first_pending)
        pending_at(shard, delivery->first_pending)->delivery_prev = index;
    state->first_pending = index;
    delivery->first_pending = index;
    return index;
}

void dm_pending_remove(struct dm_shard *shard, uint32_t index)
{
    struct pending *pending = pending_at(shard, index);
    struct session *session = session_at(shard, pending->session);
    if (pending->session_next)
        pending_at(shard, pending->session_next)->session_prev = pending->session_prev;
    if (pending->session_prev)
        pending_at(shard, pending->session_prev)->session_next = pending->session_next;
    else
        state_at(shard, session->state)->first_pending = pending->session_next;
    if (pending->delivery_next)
        pending_at(shard, pending->delivery_next)->delivery_prev = pending->delivery_prev;
    if (pending->delivery_prev)
        pending_at(shard, pending->delivery_prev)->delivery_next = pending->delivery_next;
    else
        delivery_at(shard, pending->delivery)->first_pending = pending->delivery_next;
    dm_slab_give(&shard->pendings, index);
}

/* The shorter of two lists decides: a session may await many envelopes, an envelope many sessions.
 */
uint32_t dm_pending_find(const struct dm_shard *shard, uint32_t session,
                         const struct dm_uuid *envelope)
{
    uint32_t delivery = dm_delivery_find(shard, session_at(shard, session)->user, envelope);
    uint32_t state = session_at(shard, session)->state;
    uint32_t mine = state ? state_at(shard, state)->first_pending : 0;
    uint32_t its = delivery ? delivery_at(shard, delivery)->first_pending : 0;
    while (mine && its) {
        if (pending_at(shard, mine)->delivery == delivery)
            return mine;
        if (pending_at(shard, its)->session == session)
            return its;
        mine = pending_at(shard, mine)->session_next;
        its = pending_at(shard, its)->delivery_next;
    }
    return 0;
}

/* --- deliveries --- */

struct delivery_key {
    struct dm_uuid envelope;
    uint32_t user;
};

_Static_assert(sizeof(struct delivery_key) == 20, "hashed whole, so without a gap");

static struct delivery_key key_of(const struct dm_shard *shard, const struct delivery *delivery)
{
    return (struct delivery_key){part_at(shard, delivery->part)->envelope->id, delivery->user};
}

static uint64_t hash_of(const struct dm_shard *shard, const struct delivery_key *key)
{
    return dm_hash(shard->index_key, key, sizeof *key);
}

static bool has_key(const void *context, uint32_t value, struct dm_slice key)
{
    const struct dm_shard *shard = context;
    struct delivery_key its = key_of(shard, delivery_at(shard, value));
    return memcmp(&its, key.at, sizeof its) == 0;
}

uint32_t dm_delivery_find(const struct dm_shard *shard, uint32_t user,
                          const struct dm_uuid *envelope)
{
    if (!user_at(shard, user)->first_delivery)
        return 0;
    struct delivery_key key = {*envelope, user};
    return dm_index_find(&shard->delivery_index, hash_of(shard, &key), has_key, shard,
                         dm_slice((const char *)&key, sizeof key));
}

uint32_t dm_delivery_add(struct dm_shard *shard, uint32_t part_index, uint32_t user_index)
{
    struct part *part = part_at(shard, part_index);
    struct user *user = user_at(shard, user_index);
    uint32_t index = dm_slab_take(&shard->deliveries);
    struct delivery *delivery = delivery_at(shard, index);
    delivery->part = part_index;
    delivery->user = user_index;
    delivery->user_next = user->first_delivery;
    delivery->part_next = part->first_delivery;
    if (user->first_delivery)
        delivery_at(shard, user->first_delivery)->user_prev = index;
    if (part->first_delivery)
        delivery_at(shard, part->first_delivery)->part_prev = index;
    user->first_delivery = index;
    part->first_delivery = index;
    struct delivery_key key = key_of(shard, delivery);
    dm_index_put(&shard->delivery_index, hash_of(shard, &key), index);
    return index;
}

void dm_delivery_remove(struct dm_shard *shard, uint32_t index)
{
    struct delivery *delivery = delivery_at(shard, index);
    struct delivery_key key = key_of(shard, delivery);
    dm_index_remove(&shard->delivery_index, hash_of(shard, &key), index);
    if (delivery->user_next)
        delivery_at(shard, delivery->user_next)->user_prev = delivery->user_prev;
    if (delivery->user_prev)
        delivery_at(shard, delivery->user_prev)->user_next = delivery->user_next;
    else
        user_at(shard, delivery->user)->first_delivery = delivery->user_next;
    if (delivery->part_next)
        delivery_at(shard, delivery->part_next)->part_prev = delivery->part_prev;
    if (delivery->part_prev)
        delivery_at(shard, delivery->part_prev)->part_next = delivery->part_next;
    else
        part_at(shard, delivery->part)->first_delivery = delivery->part_next;
    dm_uuid_set_dispose(&delivery->settled);
    dm_buf_dispose(&delivery->dropped);
    dm_slab_give(&shard->deliveries, index);
}

bool dm_delivery_dropped(const struct delivery *delivery, const struct dm_uuid *session_id)
{
    const struct dm_uuid *dropped = (const void *)delivery->dropped.bytes;
    for (size_t i = 0; i < delivery->dropped.len / sizeof *dropped; i++)
        if (dm_uuid_eq(&dropped[i], session_id))
            return true;
    return false;
}

/* --- parts --- */

void dm_part_free(struct dm_shard *shard, uint32_t index)
{
    struct part *part = part_at(shard, index);
    DM_CHECK(part->first_delivery == 0 && part->waking == 0);
    dm_filter_probe_dispose(&part->probe);
    dm_envelope_release(part->envelope);
    dm_slab_give(&shard->parts, index);
}

void dm_part_free_if_done(struct dm_shard *shard, uint32_t index)
{
    const struct part *part = part_at(shard, index);
    if (!part->first_delivery && !part->scatter)
        dm_part_free(shard, index);
}
