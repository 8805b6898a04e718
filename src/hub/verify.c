/*
 * dm_shard_verify: walks every record of a shard and holds them to what
 * hub_priv.h says of them. For tests, between two calls into the hub.
 */
#include "hub/hub_priv.h"

/* What a walk has come across, to be held against the slabs' own counts. */
struct census {
    uint32_t users, sessions, behind, states, awakes, deliveries, pendings;
    uint32_t sockets, asleep, waits;
    uint32_t recent, retrying, due, operations;
};

static bool holds_state(const struct user *user)
{
    return user->state == USER_AWAKE || user->state == USER_SAVING;
}

/* --- pending acks --- */

static uint32_t count_of_session(const struct dm_shard *shard, uint32_t session)
{
    uint32_t count = 0, prev = 0;
    uint32_t first = state_at(shard, session_at(shard, session)->state)->first_pending;
    for (uint32_t i = first; i; prev = i, i = pending_at(shard, i)->session_next, count++) {
        const struct pending *pending = pending_at(shard, i);
        DM_CHECK(count < shard->pendings.live);
        DM_CHECK(pending->session == session && pending->session_prev == prev);
        const struct delivery *delivery = delivery_at(shard, pending->delivery);
        DM_CHECK(delivery->user == session_at(shard, session)->user);
        DM_CHECK(pending->stored <= PENDING_AGAIN);
        if (pending->stored != PENDING_NEW)
            DM_CHECK((session_at(shard, session)->flags & SESSION_STORED) && delivery->stored);
    }
    return count;
}

static uint32_t count_of_delivery(const struct dm_shard *shard, uint32_t delivery)
{
    uint32_t count = 0, prev = 0;
    uint32_t first = delivery_at(shard, delivery)->first_pending;
    for (uint32_t i = first; i; prev = i, i = pending_at(shard, i)->delivery_next) {
        const struct pending *pending = pending_at(shard, i);
        count += !pending->late;
        DM_CHECK(count <= shard->pendings.live);
        DM_CHECK(pending->delivery == delivery && pending->delivery_prev == prev);
        DM_CHECK(session_at(shard, pending->session)->state != 0);
        for (uint32_t j = pending->delivery_next; j; j = pending_at(shard, j)->delivery_next)
            DM_CHECK(pending_at(shard, j)->session != pending->session);
    }
    return count;
}

/* --- a user's deliveries --- */

static void verify_delivery(const struct dm_shard *shard, const struct user *user, uint32_t index)
{
    const struct delivery *delivery = delivery_at(shard, index);
    const struct part *part = part_at(shard, delivery->part);
    DM_CHECK(part->envelope != NULL && (delivery->awaited > 0 || delivery->dropped.len > 0));
    uint32_t pendings = count_of_delivery(shard, index);
    uint32_t awaited = holds_state(user) ? delivery->awaited : 0;
    /* Where a publish was answered elsewhere, another owner may have deleted its rows before the
     * word of its end is here. */
    bool ended = part->coordinator != shard->options.number && delivery->stored;
    DM_CHECK(pendings == awaited || (ended && pendings < awaited));
    DM_CHECK(holds_state(user) || delivery->stored);
    for (uint32_t i = delivery->user_next; i; i = delivery_at(shard, i)->user_next)
        DM_CHECK(delivery_at(shard, i)->part != delivery->part);
}

static void verify_deliveries(const struct dm_shard *shard, uint32_t user_index,
                              struct census *census)
{
    const struct user *user = user_at(shard, user_index);
    uint32_t prev = 0;
    for (uint32_t i = user->first_delivery; i; prev = i, i = delivery_at(shard, i)->user_next) {
        const struct delivery *delivery = delivery_at(shard, i);
        DM_CHECK(census->deliveries++ < shard->deliveries.live);
        DM_CHECK(delivery->user == user_index && delivery->user_prev == prev);
        verify_delivery(shard, user, i);
    }
}

/* --- sessions --- */

static void verify_session(const struct dm_shard *shard, const struct user *user, uint32_t index,
                           struct census *census)
{
    const struct session *session = session_at(shard, index);
    if (session->flags & (SESSION_HELD | SESSION_GONE))
        DM_CHECK(user->state == USER_WAKING);
    DM_CHECK(!(session->flags & SESSION_HELD) || !(session->flags & SESSION_GONE));
    if (!holds_state(user)) {
        DM_CHECK(session->state == 0);
        DM_CHECK(!(session->flags & SESSION_FILTERED) || (session->flags & SESSION_STORED));
        return;
    }
    DM_CHECK(session->state || !(session->flags & (SESSION_FILTERED | SESSION_STORED)));
    if (!session->state)
        return;
    const struct session_state *state = state_at(shard, session->state);
    DM_CHECK((state->filters.count != 0) == ((session->flags & SESSION_FILTERED) != 0));
    DM_CHECK(!state->filters.count || state->unwritten || (session->flags & SESSION_STORED));
    census->states++;
    census->pendings += count_of_session(shard, index);
}

/* The list is circular through the first one's prev, oldest first. */
static void verify_sessions(const struct dm_shard *shard, uint32_t user_index,
                            struct census *census)
{
    const struct user *user = user_at(shard, user_index);
    uint32_t prev = 0, open = 0;
    for (uint32_t i = user->first_session; i; prev = i, i = session_at(shard, i)->next) {
        const struct session *session = session_at(shard, i);
        DM_CHECK(census->sessions++ < shard->sessions.live);
        census->behind += (session_at(shard, i)->flags & SESSION_BEHIND) != 0;
        DM_CHECK(session->user == user_index);
        DM_CHECK(!prev || session->prev == prev);
        open += !(session->flags & SESSION_GONE);
        verify_session(shard, user, i, census);
    }
    DM_CHECK(!prev || session_at(shard, user->first_session)->prev == prev);
    DM_CHECK(open == user->session_count);
    census->sockets += open;
}

/* --- users --- */

static uint32_t length_of(const struct dm_list *head)
{
    uint32_t length = 0;
    for (const struct dm_list *i = head->next; i != head; i = i->next, length++)
        DM_CHECK(i->next->prev == i && i->prev->next == i);
    return length;
}

static void verify_awake(const struct dm_shard *shard, uint32_t index, struct census *census)
{
    const struct user *user = user_at(shard, index);
    if (user->state == USER_ASLEEP) {
        DM_CHECK(user->awake == 0);
        census->asleep++;
        return;
    }
    const struct awake *awake = awake_at(shard, user->awake);
    uint32_t waits = length_of(&awake->waiting);
    census->awakes++;
    census->waits += waits;
    DM_CHECK(awake->user == index);
    bool retrying = user->state == USER_WAKING && awake->retry_at != 0;
    DM_CHECK(dm_list_linked(&awake->recent) == (user->state == USER_AWAKE || retrying));
    DM_CHECK(dm_list_linked(&awake->due) == (user->state == USER_AWAKE && waits));
    DM_CHECK(user->state != USER_SAVING || !waits);
    census->recent += user->state == USER_AWAKE;
    census->retrying += retrying;
    census->due += dm_list_linked(&awake->due);
    census->operations += user->state == USER_SAVING || (user->state == USER_WAKING && !retrying);
}

/* A user is kept for a session, a place, or an operation or delivery that will ask again. */
static bool has_reason(const struct dm_shard *shard, const struct user *user)
{
    return user->first_session || user->places || user->first_delivery ||
           user->state == USER_WAKING || user->state == USER_SAVING ||
           (user->awake && (awake_at(shard, user->awake)->writes ||
                            !dm_list_empty(&awake_at(shard, user->awake)->waiting)));
}

static void verify_users(const struct dm_shard *shard, struct census *census)
{
    for (uint32_t i = 1; i < dm_slab_end(&shard->users); i++) {
        const struct user *user = user_at(shard, i);
        if (!user->id.len)
            continue;
        census->users++;
        DM_CHECK(dm_user_find(shard, dm_user_id(user)) == i);
        DM_CHECK(dm_shard_owner(shard, dm_user_id(user)) == shard->options.number);
        DM_CHECK(has_reason(shard, user));
        DM_CHECK(user->session_count + user->places <=
                 2 * shard->options.limits.max_connections_per_user); /* see take_place */
        DM_CHECK(user->session_count <= shard->options.limits.max_connections_per_user);
        verify_awake(shard, i, census);
        verify_sessions(shard, i, census);
        verify_deliveries(shard, i, census);
    }
}

/* --- the shard's lists --- */

static void verify_lists(const struct dm_shard *shard, const struct census *census)
{
    uint64_t last = 0;
    DM_CHECK(length_of(&shard->recent) == census->recent);
    DM_CHECK(shard->recent_count == census->recent);
    for (const struct dm_list *i = shard->recent.next; i != &shard->recent; i = i->next) {
        const struct awake *awake =
            (const struct awake *)(const void *)((const char *)i - offsetof(struct awake, recent));
        DM_CHECK(user_at(shard, awake->user)->state == USER_AWAKE && awake->last_event >= last);
        last = awake->last_event;
    }
    last = 0;
    DM_CHECK(length_of(&shard->retries) == census->retrying);
    for (const struct dm_list *i = shard->retries.next; i != &shard->retries; i = i->next) {
        const struct awake *awake =
            (const struct awake *)(const void *)((const char *)i - offsetof(struct awake, recent));
        DM_CHECK(user_at(shard, awake->user)->state == USER_WAKING && awake->retry_at >= last);
        last = awake->retry_at;
    }
    DM_CHECK(length_of(&shard->due) == census->due);
    DM_CHECK(shard->ops_out >= census->operations);
}

/* --- publishes --- */

static uint32_t verify_part(const struct dm_shard *shard, uint32_t index)
{
    const struct part *part = part_at(shard, index);
    uint32_t deliveries = 0, prev = 0, awaited = 0;
    for (uint32_t i = part->first_delivery; i; prev = i, i = delivery_at(shard, i)->part_next) {
        const struct delivery *delivery = delivery_at(shard, i);
        DM_CHECK(deliveries++ < shard->deliveries.live);
        DM_CHECK(delivery->part == index && delivery->part_prev == prev);
        awaited += delivery->awaited;
    }
    DM_CHECK((part->scatter != NULL) == (part->waking != 0));
    DM_CHECK(part->scatter || deliveries);
    DM_CHECK(part->generation != 0 && part->coordinator < shard->options.shards);
    DM_CHECK(awaited <= part->awaited && part->awaited <= part->clients);
    DM_CHECK(part->clients <= part->delivered);
    return deliveries;
}

static void verify_parts(const struct dm_shard *shard, const struct census *census)
{
    uint32_t parts = 0, deliveries = 0, waking = 0;
    for (uint32_t i = 1; i < dm_slab_end(&shard->parts); i++) {
        if (!part_at(shard, i)->envelope)
            continue;
        parts++;
        waking += part_at(shard, i)->waking;
        deliveries += verify_part(shard, i);
    }
    DM_CHECK(parts == shard->parts.live);
    DM_CHECK(deliveries == shard->deliveries.live);
    DM_CHECK(waking == census->waits);
}

static void verify_coordination(const struct dm_shard *shard, uint32_t index)
{
    const struct coordination *at = coordination_at(shard, index);
    uint32_t scatters = 0;
    for (const struct scatter *i = at->scatters; i; i = i->next, scatters++) {
        DM_CHECK(i->coordination == index && i->generation == at->generation);
        DM_CHECK(i->coordinator == shard->options.number && i->publish == at->publish);
        DM_CHECK(i->owner < shard->options.shards);
    }
    DM_CHECK(at->index == index && at->parts_out <= scatters && (scatters > 0 || at->record));
    DM_CHECK(at->parts_out || (at->awaited > 0 && dm_timer_waits(&at->deadline)));
    DM_CHECK(at->publish->timeout_ms || (at->awaited == 0 && !dm_timer_waits(&at->deadline)));
    if (dm_timer_waits(&at->deadline))
        DM_CHECK(shard->deadlines.timers[at->deadline.place] == &at->deadline);
}

static void verify_coordinations(const struct dm_shard *shard)
{
    uint32_t open = 0, timers = 0;
    for (uint32_t i = 1; i < dm_slab_end(&shard->coordinations); i++) {
        if (!coordination_at(shard, i)->generation)
            continue;
        open++;
        timers += dm_timer_waits(&coordination_at(shard, i)->deadline);
        verify_coordination(shard, i);
    }
    DM_CHECK(open == shard->coordinations.live);
    DM_CHECK(timers == shard->deadlines.count);
    for (uint32_t i = 2; i <= shard->deadlines.count; i++)
        DM_CHECK(shard->deadlines.timers[i / 2]->at <= shard->deadlines.timers[i]->at);
}

/* --- all of it --- */

static void verify_counts(const struct dm_shard *shard, const struct census *census)
{
    DM_CHECK(census->users == shard->users.live && census->users == shard->index.count);
    DM_CHECK(shard->delivery_index.count == shard->deliveries.live);
    DM_CHECK(census->sessions == shard->sessions.live);
    DM_CHECK(census->states == shard->states.live);
    DM_CHECK(census->awakes == shard->awakes.live);
    DM_CHECK(census->pendings == shard->pendings.live);
    DM_CHECK(census->deliveries == shard->deliveries.live);
    const _Atomic uint64_t *gauges = shard->metrics->values;
    DM_CHECK(gauges[DM_METRIC_SESSIONS] == census->sockets);
    DM_CHECK(gauges[DM_METRIC_USERS_AWAKE] == census->awakes);
    DM_CHECK(gauges[DM_METRIC_USERS_ASLEEP] == census->asleep);
    DM_CHECK(gauges[DM_METRIC_PUBLISHES_OPEN] == shard->coordinations.live);
}

void dm_shard_verify(const struct dm_shard *shard)
{
    struct census census = {0};
    verify_users(shard, &census);
    verify_lists(shard, &census);
    verify_parts(shard, &census);
    verify_coordinations(shard);
    verify_counts(shard, &census);
    dm_word_verify(shard);
    dm_channels_verify(shard);
    DM_CHECK(dm_catch_up_verify(shard) == census.behind);
}
