/*
 * Sending a session what its user is owed and it does not take, or did not:
 * when it connects, is resumed, or subscribes. A page at a time is read from the
 * store, and the next one when the socket has taken the last; what comes live
 * meanwhile is held behind it, so that a session has all in order.
 *
 *   begun ─► READING ◄──────────► WAITING (for the socket, the user's wake, the store)
 *               │ last page
 *               ▼
 *            LINGERING ── a moment ─► gone
 *
 * An envelope that has only just been recorded may be read here before its
 * publish has come to this shard: for a moment it is remembered what was sent,
 * so that it is sent once.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

enum {
    LINGER_MS = 10000,   /* a recorded publish is at its owners long before */
    FRESH_MS = 10000,    /* older ones are there already */
    SOCKET_PAUSE_MS = 10 /* until the socket is asked again whether it has taken all */
};

/* --- which sessions --- */

static uint64_t hash_of(const struct dm_shard *shard, uint32_t session)
{
    return dm_hash(shard->index_key, &session, sizeof session);
}

static struct catch_up *catch_up_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->catch_ups, index);
}

static bool is_of(const void *context, uint32_t value, struct dm_slice key)
{
    const struct catch_up *at = catch_up_at(context, value);
    return memcmp(&at->session, key.at, sizeof at->session) == 0;
}

static struct catch_up *find(const struct dm_shard *shard, uint32_t session)
{
    uint32_t index = dm_index_find(&shard->catch_up_index, hash_of(shard, session), is_of, shard,
                                   dm_slice((const char *)&session, sizeof session));
    DM_CHECK(index); /* it is SESSION_BEHIND */
    return catch_up_at(shard, index);
}

static void due(struct dm_shard *shard, struct catch_up *at, uint64_t when)
{
    dm_heap_remove(&shard->catch_up_timers, &at->timer);
    dm_heap_add(&shard->catch_up_timers, &at->timer, when);
}

static struct catch_up *create(struct dm_shard *shard, uint32_t session)
{
    uint32_t index = dm_slab_take(&shard->catch_ups);
    struct catch_up *at = catch_up_at(shard, index);
    at->session = session;
    at->index = index;
    dm_index_put(&shard->catch_up_index, hash_of(shard, session), index);
    session_at(shard, session)->flags |= SESSION_BEHIND;
    return at;
}

/* --- what came live --- */

/* Gives all that is held to the socket, or where there is none any more to nobody. */
static void let_go(struct dm_shard *shard, struct catch_up *at, bool send)
{
    struct dm_wire **held = (void *)at->held.bytes;
    for (size_t i = 0; i < at->held.len / sizeof *held; i++) {
        if (send)
            shard->ports.sink.send(shard->ports.sink.self, session_at(shard, at->session)->sock,
                                   held[i]);
        dm_wire_release(held[i]);
    }
    dm_buf_dispose(&at->held);
    at->held_bytes = 0;
}

/* More than a socket may leave unsent is its own affair, at once. */
static void hold(struct dm_shard *shard, struct catch_up *at, struct dm_wire *wire)
{
    dm_wire_retain(wire);
    dm_buf_add(&at->held, &wire, sizeof(struct dm_wire *));
    at->held_bytes += wire->len;
    if (at->held_bytes > shard->options.limits.max_unsent)
        let_go(shard, at, true);
}

void dm_catch_up_send(struct dm_shard *shard, uint32_t session, struct dm_wire *wire,
                      const struct dm_uuid *durable)
{
    struct catch_up *at = find(shard, session);
    if (durable && dm_uuid_set_has(&at->sent, durable))
        return;
    if (durable)
        dm_uuid_set_add(&at->sent, durable);
    if (at->done || at->failing) {
        shard->ports.sink.send(shard->ports.sink.self, session_at(shard, session)->sock, wire);
        return;
    }
    hold(shard, at, wire);
}

/* --- the end --- */

static void free_record(struct dm_shard *shard, struct catch_up *at)
{
    dm_heap_remove(&shard->catch_up_timers, &at->timer);
    dm_filter_set_dispose(&at->before);
    dm_uuid_set_dispose(&at->sent);
    dm_buf_dispose(&at->held);
    dm_slab_give(&shard->catch_ups, at->index);
}

static void end(struct dm_shard *shard, struct catch_up *at, bool send)
{
    let_go(shard, at, send);
    dm_index_remove(&shard->catch_up_index, hash_of(shard, at->session), at->index);
    session_at(shard, at->session)->flags &= (uint8_t)~SESSION_BEHIND;
    at->gone = true;
    if (!at->reading)
        free_record(shard, at);
}

void dm_catch_up_end(struct dm_shard *shard, uint32_t session)
{
    if (session_at(shard, session)->flags & SESSION_BEHIND)
        end(shard, find(shard, session), false);
}

void dm_catch_up_dispose(struct dm_shard *shard)
{
    for (uint32_t i = 1; i < dm_slab_end(&shard->catch_ups); i++) {
        struct catch_up *at = dm_slab_peek(&shard->catch_ups, i);
        if (at && at->index == i) {
            let_go(shard, at, false);
            free_record(shard, at);
        }
    }
    dm_index_dispose(&shard->catch_up_index);
    dm_heap_dispose(&shard->catch_up_timers);
    dm_slab_dispose(&shard->catch_ups);
}

static void finish(struct dm_shard *shard, struct catch_up *at)
{
    if (!at->fresh) {
        end(shard, at, true);
        return;
    }
    let_go(shard, at, true);
    at->done = true;
    due(shard, at, dm_shard_now(shard) + LINGER_MS);
}

/* --- a page --- */

static bool took_before(const struct catch_up *at, struct dm_filter_probe *probe)
{
    return at->partial && dm_filter_set_matches(&at->before, probe);
}

/* One that was published since this began is on its way here, and not answered: what has come live
 * came before it. */
static void send_owed(struct dm_shard *shard, struct catch_up *at,
                      const struct dm_envelope *envelope)
{
    const struct session *session = session_at(shard, at->session);
    const struct user *user = user_at(shard, session->user);
    bool again = envelope->ts <= at->began;
    dm_buf_clear(&shard->text);
    dm_dialect_of(session->dialect)->write(envelope, dm_user_id(user), again, &shard->text);
    struct dm_wire *wire = dm_wire_create(DM_OP_TEXT, dm_buf_slice(&shard->text));
    if (again)
        shard->ports.sink.send(shard->ports.sink.self, session->sock, wire);
    else
        hold(shard, at, wire);
    dm_wire_release(wire);
    dm_metrics_add(shard->metrics, DM_METRIC_REDELIVERIES, again);
}

static void see_to(struct dm_shard *shard, struct catch_up *at, const struct dm_store_op *op,
                   const struct dm_store_owed *row)
{
    const struct session *session = session_at(shard, at->session);
    struct dm_slice payload = row->payload.len ? dm_store_op_text(op, row->payload) : DM_NO_SLICE;
    at->after = row->number;
    if (dm_uuid_set_has(&at->sent, &row->envelope_id))
        return;
    struct dm_envelope *envelope = dm_envelope_create(
        &row->envelope_id, row->ts, dm_store_op_text(op, row->type), payload, DM_NO_SLICE);
    struct dm_filter_probe probe;
    dm_filter_probe_init(&probe, envelope);
    if (dm_session_takes(shard, session, &probe) && !took_before(at, &probe)) {
        dm_uuid_set_add(&at->sent, &row->envelope_id);
        at->fresh |= row->ts + FRESH_MS > dm_shard_wall(shard);
        send_owed(shard, at, envelope);
    }
    dm_filter_probe_dispose(&probe);
    dm_envelope_release(envelope);
}

/* Its filters are at hand. */
static bool is_ready(const struct dm_shard *shard, const struct session *session)
{
    enum user_state state = user_at(shard, session->user)->state;
    return !(session->flags & SESSION_FILTERED) || state == USER_AWAKE || state == USER_SAVING;
}

static void fail(struct dm_shard *shard, struct catch_up *at)
{
    at->failing = true;
    let_go(shard, at, true);
    due(shard, at, dm_shard_now(shard) + STORE_RETRY_MS);
}

static void loaded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct catch_up *at = catch_up_at(shard, op->user);
    const struct dm_store_page *page = op->page;
    shard->ops_out--;
    at->reading = false;
    if (at->gone) {
        free_record(shard, at);
    } else if (op->err) {
        fail(shard, at);
    } else if (page->after != at->after || !is_ready(shard, session_at(shard, at->session))) {
        due(shard, at, dm_shard_now(shard)); /* begun anew, or fallen asleep: read it once more */
    } else {
        at->failing = false;
        for (uint32_t i = 0; i < page->count; i++)
            see_to(shard, at, op, &page->rows[i]);
        if (page->more)
            due(shard, at, dm_shard_now(shard));
        else
            finish(shard, at);
    }
    dm_store_op_destroy(op);
}

static void load(struct dm_shard *shard, struct catch_up *at)
{
    const struct session *session = session_at(shard, at->session);
    struct dm_store_op *op = dm_store_op_create(DM_STORE_LOAD_OWED, shard->options.number, loaded);
    op->user = at->index;
    op->user_id = dm_store_op_add_text(op, dm_user_id(user_at(shard, session->user)));
    op->now = dm_shard_wall(shard);
    dm_store_op_page(op)->after = at->after;
    at->reading = true;
    dm_heap_remove(&shard->catch_up_timers, &at->timer);
    dm_shard_submit(shard, op);
}

/* The first page at once, so that what is owed comes before all that is sent from here on. */
static void go_on(struct dm_shard *shard, struct catch_up *at)
{
    const struct session *session = session_at(shard, at->session);
    uint64_t now = dm_shard_now(shard);
    if (!is_ready(shard, session) && !dm_user_rouse(shard, session->user))
        due(shard, at, now + 1);
    else if (shard->ports.sink.unsent(shard->ports.sink.self, session->sock) > 0)
        due(shard, at, now + SOCKET_PAUSE_MS);
    else
        load(shard, at);
}

void dm_catch_up_begin(struct dm_shard *shard, uint32_t session, struct dm_filter_set *before)
{
    if (!shard->holds_publishes)
        return;
    bool running = session_at(shard, session)->flags & SESSION_BEHIND;
    struct catch_up *at = running ? find(shard, session) : create(shard, session);
    bool again = running && !at->done; /* `before` is what it took when that was begun */
    at->after = 0;
    if (before && again) {
        dm_filter_set_dispose(before);
    } else if (before) {
        dm_filter_set_dispose(&at->before);
        at->before = *before;
        at->partial = true;
    }
    at->done = false;
    at->began = dm_shard_wall(shard);
    if (!at->reading)
        go_on(shard, at);
}

uint64_t dm_catch_up_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_timer *timer;
    while ((timer = dm_heap_first(&shard->catch_up_timers)) != NULL && timer->at <= now) {
        struct catch_up *at = DM_CONTAINER(timer, struct catch_up, timer);
        dm_heap_remove(&shard->catch_up_timers, timer);
        if (at->done)
            end(shard, at, true);
        else
            go_on(shard, at);
    }
    return timer ? timer->at : UINT64_MAX;
}
