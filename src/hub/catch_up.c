/*
 * Sending a session what its user is owed and it does not take, or did not:
 * when it connects, is resumed, or subscribes. A page at a time is read from the
 * store, and the next one when the socket has taken the last; what comes live
 * meanwhile is held behind it, so that a session has all in order.
 *
 *   begun ─► READING ◄──────────► WAITING (for the socket, the user's wake, the store)
 *             │   ▲ it has subscribed since
 *   last page ▼   │
 *            FLUSHING what was held, as the socket takes it ─► LINGERING ── a moment ─► gone
 *
 * More than HELD_UNSENT times max_unsent held closes it with 4008: what it is owed is kept.
 *
 * An envelope that has only just been recorded may be read here before its
 * publish has come to this shard: for a moment it is remembered what was sent,
 * so that it is sent once.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

enum {
    LINGER_MS = 10000, /* a recorded publish is at its owners long before */
    FRESH_MS = 10000,  /* older ones are there already */
    AHEAD_MS = 1000,   /* what is dated later was not published just now: the clock was set back */
    PAUSE_MS_MIN = 1,  /* until it is tried again: whether the socket has taken all, */
    PAUSE_MS_MAX = 500 /* the user is awake */,
    FLUSH_BYTES = 256 * 1024,
    HELD_UNSENT = 4, /* so many times max_unsent may be held */
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

/* Longer each time, until something has gone on. */
static void wait(struct dm_shard *shard, struct catch_up *at)
{
    at->pause = at->pause ? 2 * at->pause : PAUSE_MS_MIN;
    if (at->pause > PAUSE_MS_MAX)
        at->pause = PAUSE_MS_MAX;
    due(shard, at, dm_shard_now(shard) + at->pause);
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

static bool holds_any(const struct catch_up *at)
{
    return at->held_first < at->held.len / sizeof(struct dm_wire *);
}

static struct dm_wire *shift_held(struct catch_up *at)
{
    struct dm_wire *wire = ((struct dm_wire **)(void *)at->held.bytes)[at->held_first++];
    at->held_bytes -= wire->len;
    if (!holds_any(at)) {
        dm_buf_clear(&at->held);
        at->held_first = 0;
    }
    return wire;
}

static void drop_held(struct catch_up *at)
{
    while (holds_any(at))
        dm_wire_release(shift_held(at));
}

/* So much that the kernel takes it. */
static void flush_some(struct dm_shard *shard, struct catch_up *at)
{
    for (uint64_t sent = 0; holds_any(at) && sent < FLUSH_BYTES;) {
        struct dm_wire *wire = shift_held(at);
        sent += wire->len;
        shard->ports.sink.send(shard->ports.sink.self, session_at(shard, at->session)->sock, wire);
        dm_wire_release(wire);
    }
}

static void hold(struct dm_shard *shard, struct catch_up *at, struct dm_wire *wire)
{
    if (at->held_bytes > HELD_UNSENT * shard->options.limits.max_unsent) {
        at->overflown = true; /* closed at the turn's end: not from within a delivery */
        drop_held(at);
        due(shard, at, dm_shard_now(shard));
    }
    if (at->overflown)
        return;
    dm_wire_retain(wire);
    dm_buf_add(&at->held, &wire, sizeof(struct dm_wire *));
    at->held_bytes += wire->len;
}

void dm_catch_up_send(struct dm_shard *shard, uint32_t session, struct dm_wire *wire,
                      const struct dm_uuid *durable)
{
    struct catch_up *at = find(shard, session);
    if (durable && dm_uuid_set_has(&at->sent, durable))
        return;
    if (durable)
        dm_uuid_set_add(&at->sent, durable);
    if (at->done || (at->failing && !holds_any(at)))
        shard->ports.sink.send(shard->ports.sink.self, session_at(shard, session)->sock, wire);
    else
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

static void end(struct dm_shard *shard, struct catch_up *at)
{
    drop_held(at);
    dm_index_remove(&shard->catch_up_index, hash_of(shard, at->session), at->index);
    session_at(shard, at->session)->flags &= (uint8_t)~SESSION_BEHIND;
    at->gone = true;
    if (!at->reading)
        free_record(shard, at);
}

void dm_catch_up_end(struct dm_shard *shard, uint32_t session)
{
    if (session_at(shard, session)->flags & SESSION_BEHIND)
        end(shard, find(shard, session));
}

void dm_catch_up_dispose(struct dm_shard *shard)
{
    for (uint32_t i = 1; i < dm_slab_end(&shard->catch_ups); i++) {
        struct catch_up *at = dm_slab_peek(&shard->catch_ups, i);
        if (at && at->index == i) {
            drop_held(at);
            free_record(shard, at);
        }
    }
    dm_index_dispose(&shard->catch_up_index);
    dm_heap_dispose(&shard->catch_up_timers);
    dm_slab_dispose(&shard->catch_ups);
}

static void close_slow(struct dm_shard *shard, struct catch_up *at)
{
    uint32_t session = at->session;
    dm_metrics_add(shard->metrics, DM_METRIC_CLOSED_SLOW, 1);
    shard->ports.sink.close(shard->ports.sink.self, session_at(shard, session)->sock, 4008,
                            DM_NO_SLICE);
    dm_session_closed(shard, session, false);
}

/* All pages are read, and the socket has taken what it was sent. */
static void flush(struct dm_shard *shard, struct catch_up *at)
{
    flush_some(shard, at);
    if (holds_any(at)) {
        due(shard, at, dm_shard_now(shard));
    } else if (at->fresh) {
        at->done = true;
        due(shard, at, dm_shard_now(shard) + LINGER_MS);
    } else {
        end(shard, at);
    }
}

/* --- a page --- */

static bool was_missed(const struct catch_up *at, uint64_t number)
{
    return at->unsent_from && number >= at->unsent_from;
}

static bool took_before(const struct catch_up *at, uint64_t number, struct dm_filter_probe *probe)
{
    if (was_missed(at, number))
        return false;
    return at->partial && dm_filter_set_matches(&at->before, probe);
}

/* Published since this began: it is on its way here live, and not answered. */
static bool is_new(struct dm_shard *shard, const struct catch_up *at, uint64_t ts)
{
    return ts > at->began && ts <= dm_shard_wall(shard) + AHEAD_MS;
}

/* What has come live came before one that is new. */
static void send_owed(struct dm_shard *shard, struct catch_up *at,
                      const struct dm_envelope *envelope)
{
    const struct session *session = session_at(shard, at->session);
    const struct user *user = user_at(shard, session->user);
    bool again = !is_new(shard, at, envelope->ts);
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
    at->after = row->number;
    if (dm_uuid_set_has(&at->sent, &row->envelope_id))
        return;
    if (row->channel.len && is_new(shard, at, row->ts) && !was_missed(at, row->number))
        return; /* it comes in its channel's order: here it would be too early */
    const struct dm_envelope_draft draft = {
        .id = row->envelope_id,
        .ts = row->ts,
        .type = dm_store_op_text(op, row->type),
        .payload = row->payload.len ? dm_store_op_text(op, row->payload) : DM_NO_SLICE,
        .channel = row->channel.len ? dm_store_op_text(op, row->channel) : DM_NO_SLICE,
    };
    struct dm_envelope *envelope = dm_envelope_create(&draft);
    struct dm_filter_probe probe;
    dm_filter_probe_init(&probe, envelope);
    if (dm_session_takes(shard, session, &probe) && !took_before(at, row->number, &probe)) {
        dm_uuid_set_add(&at->sent, &row->envelope_id);
        at->fresh |=
            row->ts + FRESH_MS > dm_shard_wall(shard) && row->ts <= dm_shard_wall(shard) + AHEAD_MS;
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
    due(shard, at, dm_shard_now(shard) + STORE_RETRY_MS);
}

static void go_on(struct dm_shard *shard, struct catch_up *at);

static void see_to_page(struct dm_shard *shard, struct catch_up *at, const struct dm_store_op *op)
{
    at->failing = false;
    at->pause = 0;
    for (uint32_t i = 0; i < op->page->count; i++)
        see_to(shard, at, op, &op->page->rows[i]);
    if (op->page->more) {
        due(shard, at, dm_shard_now(shard));
        return;
    }
    at->flushing = !at->restart;
    if (at->restart)
        at->after = at->first;
    at->restart = false;
    go_on(shard, at);
}

static void loaded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct catch_up *at = catch_up_at(shard, op->user);
    shard->ops_out--;
    at->reading = false;
    if (at->gone)
        free_record(shard, at);
    else if (op->err)
        fail(shard, at);
    else if (!is_ready(shard, session_at(shard, at->session)))
        wait(shard, at); /* fallen asleep: it is read once more */
    else
        see_to_page(shard, at, op);
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
    bool taken = shard->ports.sink.unsent(shard->ports.sink.self, session->sock) == 0;
    if (at->failing && taken) /* the store cannot be read: what is live goes on */
        flush_some(shard, at);
    if (at->overflown)
        close_slow(shard, at);
    else if (!taken)
        wait(shard, at);
    else if (at->flushing)
        flush(shard, at);
    else if (!is_ready(shard, session) && !dm_user_rouse(shard, session->user))
        wait(shard, at);
    else
        load(shard, at);
}

void dm_catch_up_begin(struct dm_shard *shard, uint32_t session, struct dm_filter_set *before)
{
    if (!shard->holds_publishes)
        return;
    bool running = session_at(shard, session)->flags & SESSION_BEHIND;
    struct catch_up *at = running ? find(shard, session) : create(shard, session);
    if (running && !at->done) { /* `before` is what it took when that was begun */
        if (before && at->first) {
            dm_filter_set_dispose(&at->before); /* of the rows before the first nobody asked yet */
            at->before = *before;
            at->partial = true;
        } else if (before) {
            dm_filter_set_dispose(before);
        }
        at->restart = !at->flushing;
        at->first = 0;
        at->after = at->flushing ? 0 : at->after;
        at->flushing = false;
        return;
    }
    dm_filter_set_dispose(&at->before);
    at->before = before ? *before : (struct dm_filter_set){0};
    at->partial = before != NULL;
    at->first = at->after = at->unsent_from = 0;
    at->done = at->flushing = false;
    at->began = dm_shard_wall(shard);
    go_on(shard, at);
}

void dm_catch_up_from(struct dm_shard *shard, uint32_t session, uint64_t number)
{
    bool running = session_at(shard, session)->flags & SESSION_BEHIND;
    struct catch_up *at = running ? find(shard, session) : create(shard, session);
    bool under_way = running && !at->done;
    if (!at->unsent_from || number < at->unsent_from)
        at->unsent_from = number;
    if (!under_way || number <= at->first)
        at->first = number - 1;
    if (under_way && !at->flushing) {
        at->restart = true; /* the page that is on its way may be older than that number */
        return;
    }
    at->after = at->first;
    at->done = at->flushing = false;
    at->began = dm_shard_wall(shard);
    wait(shard, at);
}

uint64_t dm_catch_up_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_timer *timer;
    while ((timer = dm_heap_first(&shard->catch_up_timers)) != NULL && timer->at <= now) {
        struct catch_up *at = DM_CONTAINER(timer, struct catch_up, timer);
        dm_heap_remove(&shard->catch_up_timers, timer);
        if (at->done)
            end(shard, at);
        else
            go_on(shard, at);
    }
    return timer ? timer->at : UINT64_MAX;
}

static void verify(const struct dm_shard *shard, const struct catch_up *at)
{
    const struct session *session = session_at(shard, at->session);
    uint64_t bytes = 0;
    struct dm_wire *const *held = (void *)at->held.bytes;
    for (size_t i = at->held_first; i < at->held.len / sizeof *held; i++)
        bytes += held[i]->len;
    DM_CHECK((session->flags & SESSION_BEHIND) && find(shard, at->session) == at);
    DM_CHECK(bytes == at->held_bytes && !(at->done && holds_any(at)));
    DM_CHECK(at->reading != dm_timer_waits(&at->timer) || at->overflown);
}

uint32_t dm_catch_up_verify(const struct dm_shard *shard)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i < dm_slab_end(&shard->catch_ups); i++) {
        const struct catch_up *at = dm_slab_peek(&shard->catch_ups, i);
        if (!at || at->index != i || at->gone)
            continue;
        verify(shard, at);
        count++;
    }
    return count;
}
