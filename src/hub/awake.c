/* The awake users, in order of last use. */
#include "base/clock.h"
#include "hub/hub_priv.h"

struct awake *dm_awake_of(const struct dm_shard *shard, uint32_t user)
{
    return awake_at(shard, user_at(shard, user)->awake);
}

void dm_awake_push(struct dm_shard *shard, struct awake *awake)
{
    awake->last_event = dm_shard_now(shard);
    dm_list_push(&shard->recent, &awake->recent);
    shard->recent_count++;
}

void dm_awake_put_first(struct dm_shard *shard, struct awake *awake)
{
    struct dm_list *first = shard->recent.next;
    if (first != &shard->recent)
        awake->last_event = dm_clock_earlier(awake->last_event,
                                             DM_CONTAINER(first, struct awake, recent)->last_event);
    dm_list_insert(first, &awake->recent);
    shard->recent_count++;
}

void dm_awake_unlink(struct dm_shard *shard, struct awake *awake)
{
    dm_list_unlink(&awake->recent);
    shard->recent_count--;
}

void dm_user_touch(struct dm_shard *shard, uint32_t user)
{
    struct awake *awake = dm_awake_of(shard, user);
    if (user_at(shard, user)->state == USER_SAVING) {
        awake->touched = true;
        return;
    }
    DM_CHECK(user_at(shard, user)->state == USER_AWAKE);
    awake->last_event = dm_shard_now(shard);
    dm_list_unlink(&awake->recent);
    dm_list_push(&shard->recent, &awake->recent);
}

void dm_awake_give(struct dm_shard *shard, uint32_t index)
{
    struct user *user = user_at(shard, index);
    DM_CHECK(dm_list_empty(&awake_at(shard, user->awake)->waiting));
    dm_slab_give(&shard->awakes, user->awake);
    user->awake = 0;
    dm_user_move(shard, index, USER_ASLEEP);
}

void dm_user_forget_awake(struct dm_shard *shard, uint32_t user)
{
    dm_awake_unlink(shard, dm_awake_of(shard, user));
    dm_awake_give(shard, user);
}

/* Deliveries that waited for a wake of this turn first: none of their users is idle then. */
uint64_t dm_awake_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_list *link;
    while ((link = dm_list_shift(&shard->due)) != NULL)
        dm_deliver_waiting(shard, DM_CONTAINER(link, struct awake, due)->user, DM_OK);
    uint64_t retry = dm_wake_tick(shard, now);
    uint64_t evict_at = dm_sleep_tick(shard, now);
    return dm_clock_earlier(retry, evict_at);
}
