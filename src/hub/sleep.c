/* Falling asleep: what is written before, and who sleeps next. */
#include "hub/hub_priv.h"

enum { EVICTIONS_A_TICK = 512 /* so that no turn is long */ };

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
    dm_awake_give(shard, user);
    shard->evicted_since_trim++;
    dm_user_free_if_unused(shard, user);
}

bool dm_session_must_write(const struct dm_shard *shard, const struct session *session)
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
        if (dm_session_must_write(shard, session_at(shard, i)))
            return true;
    return false;
}

void dm_session_add_to(struct dm_shard *shard, struct session *session, struct dm_store_op *op)
{
    struct session_state *state = state_at(shard, session->state);
    dm_buf_clear(&shard->text);
    dm_filter_set_save(&state->filters, &shard->text);
    dm_store_op_add_session(op, &session->id, dm_slice_of(dm_dialect_of(session->dialect)->name),
                            dm_buf_slice(&shard->text), state->attachment);
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
    dm_attempt_note(shard, session->user, &session->id, ATTEMPT_WRITTEN);
}

/* A failed write leaves everything of the user to be written once more. */
void dm_user_mark_unwritten(struct dm_shard *shard, uint32_t user)
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
    struct awake *awake = dm_awake_of(shard, user);
    shard->ops_out--;
    if (op->err) {
        dm_user_mark_unwritten(shard, user);
        shard->store_retry_at = dm_shard_now(shard) + STORE_RETRY_MS;
    }
    if (op->err || awake->touched) {
        dm_user_move(shard, user, USER_AWAKE);
        if (awake->touched)
            dm_awake_push(shard, awake);
        else
            dm_awake_put_first(shard, awake);
        awake->touched = false;
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
        if (dm_session_must_write(shard, session_at(shard, i)))
            dm_session_add_to(shard, session_at(shard, i), op);
    dm_user_move(shard, index, USER_SAVING);
    dm_shard_submit(shard, op);
}

static void evict(struct dm_shard *shard, uint32_t user, bool idle)
{
    dm_metrics_add(shard->metrics, idle ? DM_METRIC_EVICTIONS_IDLE : DM_METRIC_EVICTIONS_PRESSURE,
                   1);
    dm_awake_unlink(shard, dm_awake_of(shard, user));
    if (user_must_write(shard, user))
        save(shard, user);
    else
        fall_asleep(shard, user);
}

uint64_t dm_sleep_tick(struct dm_shard *shard, uint64_t now)
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
        if (awake->writes) { /* something of it is on its way to the store */
            dm_awake_unlink(shard, awake);
            dm_awake_push(shard, awake);
            continue;
        }
        evict(shard, awake->user, idle);
    }
    return UINT64_MAX;
}
