/* Waking: what is read back, and what goes on then. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hub/hub_priv.h"

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
    bool filtered = session_at(shard, index)->flags & SESSION_FILTERED;
    session_at(shard, index)->flags &= (uint8_t)~SESSION_FILTERED;
    struct dm_store_session key = {.id = session_at(shard, index)->id};
    const struct dm_store_session *row =
        op->session_count ? bsearch(&key, op->sessions, op->session_count, sizeof key, by_session)
                          : NULL;
    struct session_state *state = dm_session_state(shard, index);
    if (row && row->attachment.len)
        dm_session_attach(state, dm_store_op_text(op, row->attachment));
    if (row ? !dm_filter_set_load(&state->filters, dm_store_op_text(op, row->filters)) : filtered)
        dm_log(DM_LOG_ERROR, "session_row_unreadable", NULL);
    if (state->filters.count)
        session_at(shard, index)->flags |= SESSION_FILTERED;
}

static void restore_pendings(struct dm_shard *shard, uint32_t index, const struct dm_store_op *op)
{
    struct session *session = session_at(shard, index);
    struct dm_store_pending key = {.session_id = session->id};
    if (!op->pending_count)
        return;
    const struct dm_store_pending *rows = op->pending, *end = rows + op->pending_count;
    const struct dm_store_pending *row =
        bsearch(&key, rows, op->pending_count, sizeof key, by_pending_session);
    while (row && row > rows && dm_uuid_eq(&row[-1].session_id, &session->id))
        row--;
    for (; row && row < end && dm_uuid_eq(&row->session_id, &session->id); row++) {
        uint32_t delivery = dm_delivery_find(shard, session->user, &row->envelope_id);
        if (!delivery /* its publish has been answered meanwhile */ ||
            dm_uuid_set_has(&delivery_at(shard, delivery)->settled, &session->id))
            continue;
        uint32_t pending = dm_pending_add(shard, index, delivery);
        pending_at(shard, pending)->stored = PENDING_STORED;
        pending_at(shard, pending)->late =
            dm_delivery_dropped(delivery_at(shard, delivery), &session->id);
    }
}

void dm_store_op_sort(struct dm_store_op *op)
{
    if (op->session_count)
        qsort(op->sessions, op->session_count, sizeof *op->sessions, by_session);
    if (op->pending_count)
        qsort(op->pending, op->pending_count, sizeof *op->pending, by_pending_session);
}

void dm_session_restore(struct dm_shard *shard, uint32_t session, struct dm_store_op *op)
{
    restore_filters(shard, session, op);
    restore_pendings(shard, session, op);
}

static void restore(struct dm_shard *shard, uint32_t user, struct dm_store_op *op)
{
    dm_store_op_sort(op);
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next) {
        if (!(session_at(shard, i)->flags & SESSION_STORED))
            continue;
        dm_session_restore(shard, i, op);
    }
}

/* Input that was held goes on at the end of this turn, before the deliveries that came meanwhile:
 * a subscribe that a client sent before its backend published is not overtaken. */
static void go_on(struct dm_shard *shard, uint32_t user)
{
    struct awake *awake = dm_awake_of(shard, user);
    if (!dm_list_empty(&awake->waiting))
        dm_list_push(&shard->due, &awake->due);
    uint32_t next = user_at(shard, user)->first_session;
    if (!next)
        dm_user_free_if_unused(shard, user);
    for (uint32_t i = next; i; i = next) {
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
    struct awake *awake = dm_awake_of(shard, user);
    if (must_wake(shard, user) || !dm_list_empty(&awake->waiting)) {
        awake->retry_at = dm_shard_now(shard) + STORE_RETRY_MS;
        dm_list_push(&shard->retries, &awake->recent);
        return;
    }
    dm_awake_give(shard, user);
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
        dm_awake_push(shard, dm_awake_of(shard, user));
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
    dm_awake_of(shard, user)->retry_at = 0;
    dm_shard_submit(shard, op);
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
    struct awake *awake = dm_awake_of(shard, index);
    awake->user = index;
    dm_list_init(&awake->waiting);
    if (!has_rows(shard, user)) {
        dm_user_move(shard, index, USER_AWAKE);
        dm_awake_push(shard, awake);
        return true;
    }
    dm_user_move(shard, index, USER_WAKING);
    dm_metrics_add(shard->metrics, DM_METRIC_WAKES, 1);
    load(shard, index);
    return false;
}

uint64_t dm_wake_tick(struct dm_shard *shard, uint64_t now)
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
