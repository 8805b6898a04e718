/*
 * Falling asleep and waking: which users are awake, in order of last use; what
 * is written before one sleeps; what is read back before one wakes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hub/hub_priv.h"

enum {
    EVICTIONS_A_TICK = 512, /* so that no turn is long */
    RETRY_MS = 250,         /* after the store failed */
};

/* --- the store --- */

void dm_store_send(struct dm_shard *shard, struct dm_store_op *op)
{
    shard->ops_out++;
    shard->ports.store.submit(shard->ports.store.self, op);
}

/* Rows that are to go are of sessions or publishes that have ended. Where the deletion fails they
 * match nothing any more and are swept at the next start. */
static void forgotten(struct dm_mail *mail, struct dm_shard *shard)
{
    shard->ops_out--;
    dm_store_op_destroy(DM_CONTAINER(mail, struct dm_store_op, mail));
}

void dm_store_forget(struct dm_shard *shard, enum dm_store_kind kind,
                     const struct dm_uuid *envelope_id, const struct dm_uuid *session_id)
{
    struct dm_store_op *op = dm_store_op_create(kind, shard->options.number, forgotten);
    if (envelope_id)
        op->envelope_id = *envelope_id;
    if (session_id)
        op->session_id = *session_id;
    dm_store_send(shard, op);
}

/* --- awake users in order of use --- */

static struct awake *awake_of(const struct dm_shard *shard, uint32_t user)
{
    return awake_at(shard, user_at(shard, user)->awake);
}

static void make_recent(struct dm_shard *shard, struct awake *awake)
{
    awake->last_event = dm_shard_now(shard);
    dm_list_push(&shard->recent, &awake->recent);
    shard->recent_count++;
}

static void leave_recent(struct dm_shard *shard, struct awake *awake)
{
    dm_list_unlink(&awake->recent);
    shard->recent_count--;
}

void dm_user_touch(struct dm_shard *shard, uint32_t user)
{
    struct awake *awake = awake_of(shard, user);
    if (user_at(shard, user)->state == USER_SAVING) {
        awake->touched = true;
        return;
    }
    DM_CHECK(user_at(shard, user)->state == USER_AWAKE);
    awake->last_event = dm_shard_now(shard);
    dm_list_unlink(&awake->recent);
    dm_list_push(&shard->recent, &awake->recent);
}

static void give_awake(struct dm_shard *shard, uint32_t index)
{
    struct user *user = user_at(shard, index);
    DM_CHECK(dm_list_empty(&awake_at(shard, user->awake)->waiting));
    dm_slab_give(&shard->awakes, user->awake);
    user->awake = 0;
    dm_user_move(shard, index, USER_ASLEEP);
}

void dm_user_forget_awake(struct dm_shard *shard, uint32_t user)
{
    leave_recent(shard, awake_of(shard, user));
    give_awake(shard, user);
}

/* --- falling asleep --- */

/* What a session has in memory goes; its pending acks stay in the store, and in their delivery's
 * count. */
static void empty_session(struct dm_shard *shard, struct session *session)
{
    if (!session->state)
        return;
    struct session_state *state = state_at(shard, session->state);
    uint32_t next;
    for (uint32_t i = state->first_pending; i; i = next) {
        struct pending *pending = pending_at(shard, i);
        DM_CHECK(pending->stored == PENDING_STORED);
        next = pending->session_next;
        delivery_at(shard, pending->delivery)->first_pending = 0;
        dm_slab_give(&shard->pendings, i);
    }
    state->first_pending = 0;
    dm_session_drop_state(shard, session);
}

static void fall_asleep(struct dm_shard *shard, uint32_t user)
{
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next)
        empty_session(shard, session_at(shard, i));
    give_awake(shard, user);
    shard->evicted_since_trim++;
    dm_user_free_if_unused(shard, user);
}

static bool must_write(const struct dm_shard *shard, const struct session *session)
{
    if (!session->state)
        return false;
    const struct session_state *state = state_at(shard, session->state);
    if (state->unwritten)
        return true;
    for (uint32_t i = state->first_pending; i; i = pending_at(shard, i)->session_next)
        if (pending_at(shard, i)->stored != PENDING_STORED)
            return true;
    return false;
}

static bool user_must_write(const struct dm_shard *shard, uint32_t user)
{
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next)
        if (must_write(shard, session_at(shard, i)))
            return true;
    return false;
}

static void write_session(struct dm_shard *shard, struct session *session, struct dm_store_op *op)
{
    struct session_state *state = state_at(shard, session->state);
    dm_buf_clear(&shard->text);
    dm_filter_set_save(&state->filters, &shard->text);
    dm_store_op_add_session(op, &session->id, dm_slice_of(dm_dialect_of(session->dialect)->name),
                            dm_buf_slice(&shard->text));
    for (uint32_t i = state->first_pending; i; i = pending_at(shard, i)->session_next) {
        struct pending *pending = pending_at(shard, i);
        if (pending->stored == PENDING_STORED)
            continue;
        struct delivery *delivery = delivery_at(shard, pending->delivery);
        dm_store_op_add_pending(op, &part_at(shard, delivery->part)->envelope->id, &session->id);
        pending->stored = PENDING_STORED;
        delivery->stored = 1;
    }
    state->unwritten = false;
    session->flags |= SESSION_STORED;
}

/* A failed write leaves everything of the user to be written once more. */
static void mark_unwritten(struct dm_shard *shard, uint32_t user)
{
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next) {
        if (!session_at(shard, i)->state)
            continue;
        struct session_state *state = state_at(shard, session_at(shard, i)->state);
        state->unwritten = true;
        for (uint32_t p = state->first_pending; p; p = pending_at(shard, p)->session_next)
            if (pending_at(shard, p)->stored == PENDING_STORED)
                pending_at(shard, p)->stored = PENDING_AGAIN;
    }
}

static void saved(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    uint32_t user = op->user;
    struct awake *awake = awake_of(shard, user);
    shard->ops_out--;
    if (op->err) {
        mark_unwritten(shard, user);
        shard->store_retry_at = dm_shard_now(shard) + RETRY_MS;
    }
    if (op->err || awake->touched) {
        awake->touched = false;
        dm_user_move(shard, user, USER_AWAKE);
        make_recent(shard, awake);
        dm_user_free_if_unused(shard, user);
    } else {
        fall_asleep(shard, user);
    }
    dm_store_op_destroy(op);
}

static void save(struct dm_shard *shard, uint32_t index)
{
    struct user *user = user_at(shard, index);
    struct dm_store_op *op = dm_store_op_create(DM_STORE_SAVE_USER, shard->options.number, saved);
    op->user = index;
    op->user_id = dm_store_op_add_text(op, dm_user_id(user));
    for (uint32_t i = user->first_session; i; i = session_at(shard, i)->next)
        if (must_write(shard, session_at(shard, i)))
            write_session(shard, session_at(shard, i), op);
    dm_user_move(shard, index, USER_SAVING);
    dm_store_send(shard, op);
}

static void evict(struct dm_shard *shard, uint32_t user, bool idle)
{
    dm_metrics_add(shard->metrics, idle ? DM_METRIC_EVICTIONS_IDLE : DM_METRIC_EVICTIONS_PRESSURE,
                   1);
    leave_recent(shard, awake_of(shard, user));
    if (user_must_write(shard, user))
        save(shard, user);
    else
        fall_asleep(shard, user);
}

/* --- waking --- */

static int by_session(const void *a, const void *b)
{
    const struct dm_store_session *left = a, *right = b;
    return memcmp(left->id.bytes, right->id.bytes, sizeof left->id.bytes);
}

static int by_pending_session(const void *a, const void *b)
{
    const struct dm_store_pending *left = a, *right = b;
    return memcmp(left->session_id.bytes, right->session_id.bytes, sizeof left->session_id.bytes);
}

/* A row that is gone or unreadable is the store's damage, not a reason to stop: the session goes on
 * without filters, and the log says so. */
static void restore_filters(struct dm_shard *shard, uint32_t index, const struct dm_store_op *op)
{
    session_at(shard, index)->flags &= (uint8_t)~SESSION_FILTERED;
    struct dm_store_session key = {.id = session_at(shard, index)->id};
    const struct dm_store_session *row =
        op->session_count ? bsearch(&key, op->sessions, op->session_count, sizeof key, by_session)
                          : NULL;
    struct session_state *state = dm_session_state(shard, index);
    if (!row || !dm_filter_set_load(&state->filters, dm_store_op_text(op, row->filters)))
        dm_log(DM_LOG_ERROR, "session_row_unreadable", NULL);
    if (state->filters.count)
        session_at(shard, index)->flags |= SESSION_FILTERED;
}

/* The open delivery of an envelope at a user; 0 where its publish has been answered meanwhile. */
static uint32_t delivery_of(const struct dm_shard *shard, uint32_t user,
                            const struct dm_uuid *envelope_id)
{
    uint32_t i = user_at(shard, user)->first_delivery;
    while (i &&
           !dm_uuid_eq(&part_at(shard, delivery_at(shard, i)->part)->envelope->id, envelope_id))
        i = delivery_at(shard, i)->user_next;
    return i;
}

static void restore_pendings(struct dm_shard *shard, uint32_t index, const struct dm_store_op *op)
{
    struct session *session = session_at(shard, index);
    struct dm_store_pending key = {.session_id = session->id};
    const struct dm_store_pending *rows = op->pending, *end = rows + op->pending_count;
    const struct dm_store_pending *row =
        op->pending_count ? bsearch(&key, rows, op->pending_count, sizeof key, by_pending_session)
                          : NULL;
    while (row && row > rows && dm_uuid_eq(&row[-1].session_id, &session->id))
        row--;
    for (; row && row < end && dm_uuid_eq(&row->session_id, &session->id); row++) {
        uint32_t delivery = delivery_of(shard, session->user, &row->envelope_id);
        if (!delivery || dm_delivery_settled(shard, delivery, index))
            continue;
        uint32_t pending = dm_pending_add(shard, index, delivery);
        pending_at(shard, pending)->stored = PENDING_STORED;
    }
}

static void restore(struct dm_shard *shard, uint32_t user, struct dm_store_op *op)
{
    if (op->session_count)
        qsort(op->sessions, op->session_count, sizeof *op->sessions, by_session);
    if (op->pending_count)
        qsort(op->pending, op->pending_count, sizeof *op->pending, by_pending_session);
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next) {
        if (!(session_at(shard, i)->flags & SESSION_STORED))
            continue;
        restore_filters(shard, i, op);
        restore_pendings(shard, i, op);
    }
}

/* Input that was held goes on at the end of this turn, before the deliveries that came meanwhile:
 * a subscribe that a client sent before its backend published is not overtaken. */
static void go_on(struct dm_shard *shard, uint32_t user)
{
    struct awake *awake = awake_of(shard, user);
    if (!dm_list_empty(&awake->waiting))
        dm_list_push(&shard->due, &awake->due);
    uint32_t next;
    for (uint32_t i = user_at(shard, user)->first_session; i; i = next) {
        struct session *session = session_at(shard, i);
        next = session->next;
        if (session->flags & SESSION_GONE) {
            dm_session_end(shard, i); /* may free the user, then there is no next */
        } else if (session->flags & SESSION_HELD) {
            session->flags &= (uint8_t)~SESSION_HELD;
            shard->ports.sink.resume(shard->ports.sink.self, session->sock);
        }
    }
}

static bool must_wake(const struct dm_shard *shard, uint32_t user)
{
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next)
        if (session_at(shard, i)->flags & (SESSION_HELD | SESSION_GONE))
            return true;
    return false;
}

/* Whoever is answered here may publish again at once: that then waits for the next try. */
static void load_failed(struct dm_shard *shard, uint32_t user)
{
    dm_deliver_waiting(shard, user, DM_ERR_UNAVAILABLE);
    struct awake *awake = awake_of(shard, user);
    if (must_wake(shard, user) || !dm_list_empty(&awake->waiting)) {
        awake->retry_at = dm_shard_now(shard) + RETRY_MS;
        dm_list_push(&shard->retries, &awake->recent);
        return;
    }
    give_awake(shard, user);
    dm_user_free_if_unused(shard, user);
}

static void loaded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    uint32_t user = op->user;
    shard->ops_out--;
    if (op->err) {
        load_failed(shard, user);
    } else {
        dm_user_move(shard, user, USER_AWAKE);
        make_recent(shard, awake_of(shard, user));
        restore(shard, user, op);
        go_on(shard, user);
    }
    dm_store_op_destroy(op);
}

static void load(struct dm_shard *shard, uint32_t user)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_LOAD_USER, shard->options.number, loaded);
    op->user = user;
    op->user_id = dm_store_op_add_text(op, dm_user_id(user_at(shard, user)));
    awake_of(shard, user)->retry_at = 0;
    dm_store_send(shard, op);
}

static bool has_rows(const struct dm_shard *shard, const struct user *user)
{
    for (uint32_t i = user->first_session; i; i = session_at(shard, i)->next)
        if (session_at(shard, i)->flags & SESSION_STORED)
            return true;
    return false;
}

bool dm_user_rouse(struct dm_shard *shard, uint32_t index)
{
    struct user *user = user_at(shard, index);
    if (user->state != USER_ASLEEP)
        return user->state != USER_WAKING;
    user->awake = dm_slab_take(&shard->awakes);
    struct awake *awake = awake_of(shard, index);
    awake->user = index;
    dm_list_init(&awake->waiting);
    if (!has_rows(shard, user)) {
        dm_user_move(shard, index, USER_AWAKE);
        make_recent(shard, awake);
        return true;
    }
    dm_user_move(shard, index, USER_WAKING);
    dm_metrics_add(shard->metrics, DM_METRIC_WAKES, 1);
    load(shard, index);
    return false;
}

/* --- the end of a turn --- */

static uint64_t retry_loads(struct dm_shard *shard, uint64_t now)
{
    while (!dm_list_empty(&shard->retries)) {
        struct awake *awake = DM_CONTAINER(shard->retries.next, struct awake, recent);
        if (awake->retry_at > now)
            return awake->retry_at;
        dm_list_unlink(&awake->recent);
        load(shard, awake->user);
    }
    return UINT64_MAX;
}

static uint64_t evict_idle(struct dm_shard *shard, uint64_t now)
{
    for (int budget = EVICTIONS_A_TICK; !dm_list_empty(&shard->recent); budget--) {
        struct awake *awake = DM_CONTAINER(shard->recent.next, struct awake, recent);
        uint64_t idle_at = awake->last_event + shard->options.hibernate_after_ms;
        bool idle = idle_at <= now;
        if (!idle && shard->recent_count <= shard->max_awake)
            return idle_at;
        if (now < shard->store_retry_at && user_must_write(shard, awake->user))
            return shard->store_retry_at;
        if (budget == 0)
            return now;
        evict(shard, awake->user, idle);
    }
    return UINT64_MAX;
}

uint64_t dm_hibernate_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_list *link;
    while ((link = dm_list_shift(&shard->due)) != NULL)
        dm_deliver_waiting(shard, DM_CONTAINER(link, struct awake, due)->user, DM_OK);
    uint64_t retry = retry_loads(shard, now);
    uint64_t evict_at = evict_idle(shard, now);
    return retry < evict_at ? retry : evict_at;
}
