/*
 * Sessions that have dropped and can be resumed: for as long as one of a user's
 * can, the user counts as there (presence.c). A record of each stays in memory
 * until its window is over, those that an earlier process has left too.
 *
 * Windows are all equally long: so the records end in the order in which they
 * came.
 */
#include "base/clock.h"
#include "hub/hub_priv.h"

static struct absent *absent_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->absents, index);
}

static uint64_t hash_of(const struct dm_shard *shard, struct dm_slice user_id)
{
    return dm_hash(shard->index_key, user_id.at, user_id.len);
}

static bool is_of(const void *context, uint32_t value, struct dm_slice user_id)
{
    return dm_slice_eq(dm_short_id_text(&absent_at(context, value)->user_id), user_id);
}

/* The first of the user's; the rest hangs on it. */
static uint32_t first_of(const struct dm_shard *shard, struct dm_slice user_id)
{
    if (!shard->absents.live)
        return 0;
    return dm_index_find(&shard->absent_index, hash_of(shard, user_id), is_of, shard, user_id);
}

static void add(struct dm_shard *shard, struct dm_slice user_id, const struct dm_uuid *session_id,
                uint64_t ends)
{
    uint32_t first = first_of(shard, user_id), index = dm_slab_take(&shard->absents);
    struct absent *absent = absent_at(shard, index);
    absent->index = index;
    absent->session_id = *session_id;
    absent->ends = ends;
    dm_short_id_set(&absent->user_id, user_id);
    dm_list_push(&shard->absent, &absent->link);
    if (first) {
        absent->next = absent_at(shard, first)->next;
        absent_at(shard, first)->next = index;
    } else {
        dm_index_put(&shard->absent_index, hash_of(shard, user_id), index);
    }
}

static void take_out(struct dm_shard *shard, struct absent *absent)
{
    struct dm_slice user_id = dm_short_id_text(&absent->user_id);
    uint64_t hash = hash_of(shard, user_id);
    uint32_t at = first_of(shard, user_id);
    if (at == absent->index) {
        dm_index_remove(&shard->absent_index, hash, at);
        if (absent->next)
            dm_index_put(&shard->absent_index, hash, absent->next);
    } else {
        while (absent_at(shard, at)->next != absent->index)
            at = absent_at(shard, at)->next;
        absent_at(shard, at)->next = absent->next;
    }
    dm_list_unlink(&absent->link);
    dm_short_id_dispose(&absent->user_id);
    dm_slab_give(&shard->absents, absent->index);
}

static struct absent *find(const struct dm_shard *shard, struct dm_slice user_id,
                           const struct dm_uuid *session_id)
{
    for (uint32_t i = first_of(shard, user_id); i; i = absent_at(shard, i)->next)
        if (dm_uuid_eq(&absent_at(shard, i)->session_id, session_id))
            return absent_at(shard, i);
    return NULL;
}

bool dm_absent_is(const struct dm_shard *shard, struct dm_slice user_id,
                  const struct dm_uuid *session_id)
{
    return find(shard, user_id, session_id) != NULL;
}

bool dm_absent_any(const struct dm_shard *shard, struct dm_slice user_id)
{
    return first_of(shard, user_id) != 0;
}

uint64_t dm_absent_since(const struct dm_shard *shard, uint64_t hash, struct dm_slice user_id)
{
    uint64_t since = UINT64_MAX;
    if (!shard->absents.live)
        return since;
    uint32_t first = dm_index_find(&shard->absent_index, hash, is_of, shard, user_id);
    for (uint32_t i = first; i; i = absent_at(shard, i)->next)
        since = dm_clock_earlier(since, dm_uuid_ms(&absent_at(shard, i)->session_id));
    return since;
}

void dm_absent_add(struct dm_shard *shard, struct dm_slice user_id,
                   const struct dm_uuid *session_id)
{
    add(shard, user_id, session_id, dm_shard_now(shard) + shard->options.resume_window_ms);
}

void dm_absent_renew(struct dm_shard *shard, struct dm_slice user_id,
                     const struct dm_uuid *session_id)
{
    struct absent *absent = find(shard, user_id, session_id);
    if (absent)
        take_out(shard, absent);
    else if (!dm_presence_is(shard, user_id)) /* its time had come, and others were told */
        dm_presence_came_back(shard, user_id, session_id);
    dm_absent_add(shard, user_id, session_id);
}

void dm_absent_remove(struct dm_shard *shard, struct dm_slice user_id,
                      const struct dm_uuid *session_id)
{
    struct absent *absent = find(shard, user_id, session_id);
    if (!absent)
        return;
    take_out(shard, absent);
    dm_presence_may_have_gone(shard, user_id);
}

void dm_absent_remove_user(struct dm_shard *shard, struct dm_slice user_id)
{
    uint32_t first = first_of(shard, user_id), index;
    while ((index = first_of(shard, user_id)) != 0)
        take_out(shard, absent_at(shard, index));
    if (first)
        dm_presence_may_have_gone(shard, user_id);
}

uint64_t dm_absent_tick(struct dm_shard *shard, uint64_t now)
{
    char id[DM_USER_ID_MAX];
    while (!dm_list_empty(&shard->absent)) {
        struct absent *absent = DM_CONTAINER(shard->absent.next, struct absent, link);
        if (absent->ends > now)
            return absent->ends;
        struct dm_slice user_id = dm_short_id_text(&absent->user_id);
        memcpy(id, user_id.at, user_id.len);
        take_out(shard, absent);
        dm_presence_may_have_gone(shard, dm_slice(id, user_id.len));
    }
    return UINT64_MAX;
}

/* One that an earlier process has left; they come in the order in which they dropped. */
static void see(void *context, struct dm_slice user_id, const struct dm_uuid *session_id,
                uint64_t dropped_at)
{
    struct dm_shard *shard = context;
    uint64_t wall = dm_shard_wall(shard), window = shard->options.resume_window_ms;
    uint64_t since = dropped_at < wall ? wall - dropped_at : 0;
    if (dm_shard_owner(shard, user_id) == shard->options.number)
        add(shard, user_id, session_id,
            dm_shard_now(shard) + (since < window ? window - since : 0));
}

void dm_absent_load(struct dm_shard *shard)
{
    dm_slab_init(&shard->absents, sizeof(struct absent));
    dm_list_init(&shard->absent);
    if (shard->options.resume_window_ms && shard->ports.store.each_absent)
        shard->ports.store.each_absent(shard->ports.store.self, see, shard);
}

void dm_absent_dispose(struct dm_shard *shard)
{
    while (!dm_list_empty(&shard->absent))
        take_out(shard, DM_CONTAINER(shard->absent.next, struct absent, link));
    dm_slab_dispose(&shard->absents);
    dm_index_dispose(&shard->absent_index);
}
