/* Sessions are closed when the token that they came with ends, unless a newer one came. */
#include "base/clock.h"
#include "base/err.h"
#include "hub/hub_priv.h"

static uint64_t hash_of(const struct dm_shard *shard, uint32_t session)
{
    return dm_hash(shard->index_key, &session, sizeof session);
}

static bool is_of(const void *context, uint32_t value, struct dm_slice key)
{
    const struct dm_shard *shard = context;
    const struct expiry *expiry = dm_slab_at(&shard->expiries, value);
    return memcmp(&expiry->session, key.at, sizeof expiry->session) == 0;
}

static uint32_t find(const struct dm_shard *shard, uint32_t session)
{
    if (!shard->expiries.live)
        return 0;
    return dm_index_find(&shard->expiry_index, hash_of(shard, session), is_of, shard,
                         dm_slice((const char *)&session, sizeof session));
}

static void forget(struct dm_shard *shard, uint32_t index)
{
    struct expiry *expiry = dm_slab_at(&shard->expiries, index);
    dm_heap_remove(&shard->expiry_timers, &expiry->timer);
    dm_index_remove(&shard->expiry_index, hash_of(shard, expiry->session), index);
    dm_slab_give(&shard->expiries, index);
}

static void arm(struct dm_shard *shard, struct expiry *expiry)
{
    uint64_t wall = dm_shard_wall(shard), now = dm_shard_now(shard);
    uint64_t left = expiry->expires_ms > wall ? expiry->expires_ms - wall : 0;
    dm_heap_add(&shard->expiry_timers, &expiry->timer, now + left);
}

void dm_expiry_set(struct dm_shard *shard, uint32_t session, uint64_t expires_ms)
{
    uint32_t index = find(shard, session);
    if (index)
        forget(shard, index);
    if (!expires_ms)
        return;
    index = dm_slab_take(&shard->expiries);
    struct expiry *expiry = dm_slab_at(&shard->expiries, index);
    expiry->session = session;
    expiry->index = index;
    expiry->expires_ms = expires_ms;
    dm_index_put(&shard->expiry_index, hash_of(shard, session), index);
    arm(shard, expiry);
}

static void expire(struct dm_shard *shard, uint32_t session)
{
    dm_metrics_add(shard->metrics, DM_METRIC_CLOSED_EXPIRED, 1);
    shard->ports.sink.close(shard->ports.sink.self, session_at(shard, session)->sock,
                            dm_err_close_code(DM_ERR_UNAUTHORIZED),
                            DM_SLICE("The token has expired"));
    dm_session_closed(shard, session, true);
}

enum { STEP_MS = 1000 /* more is not drift */ };

/* The wall clock has been set, or the machine has slept: every timer is off by as much. */
static void follow_clock(struct dm_shard *shard, uint64_t now)
{
    int64_t ahead = (int64_t)(dm_shard_wall(shard) - now), step = ahead - shard->wall_ahead;
    if (step > -STEP_MS && step < STEP_MS)
        return;
    shard->wall_ahead = ahead;
    for (uint32_t i = 1; i < dm_slab_end(&shard->expiries); i++) {
        struct expiry *expiry = dm_slab_peek(&shard->expiries, i);
        if (!expiry || expiry->index != i)
            continue;
        dm_heap_remove(&shard->expiry_timers, &expiry->timer);
        arm(shard, expiry);
    }
}

/* By the wall clock, which may have been set back since: then it waits on. */
uint64_t dm_expiry_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_timer *timer;
    if (shard->expiries.live)
        follow_clock(shard, now);
    while ((timer = dm_heap_first(&shard->expiry_timers)) != NULL && timer->at <= now) {
        struct expiry *expiry = DM_CONTAINER(timer, struct expiry, timer);
        uint32_t session = expiry->session;
        if (expiry->expires_ms > dm_shard_wall(shard)) {
            dm_heap_remove(&shard->expiry_timers, timer);
            arm(shard, expiry);
            continue;
        }
        forget(shard, expiry->index);
        if (!(session_at(shard, session)->flags & SESSION_GONE))
            expire(shard, session);
    }
    return timer ? timer->at : UINT64_MAX;
}
