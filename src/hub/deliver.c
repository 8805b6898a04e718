/*
 * The owner's half of a publish: which sessions take it, what they are sent,
 * and the acks that are awaited from them.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

/* A target of a part whose user is waking. */
struct wait {
    struct dm_list link;
    uint32_t part, target;
};

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

static void pending_remove(struct dm_shard *shard, uint32_t index)
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

/* --- deliveries and parts --- */

static uint32_t delivery_add(struct dm_shard *shard, uint32_t part_index, uint32_t user_index)
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
    return index;
}

static void delivery_remove(struct dm_shard *shard, uint32_t index)
{
    struct delivery *delivery = delivery_at(shard, index);
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
    dm_buf_dispose(&delivery->settled);
    dm_slab_give(&shard->deliveries, index);
}

/* Where a session stands, or would stand, among those that have settled. */
static uint32_t settled_place(const struct delivery *delivery, uint32_t session)
{
    const uint32_t *settled = (const void *)delivery->settled.bytes;
    uint32_t low = 0, high = (uint32_t)(delivery->settled.len / sizeof *settled);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (settled[middle] < session)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remember_settled(struct delivery *delivery, uint32_t session)
{
    size_t place = settled_place(delivery, session) * sizeof session;
    size_t behind = delivery->settled.len - place;
    dm_buf_reserve(&delivery->settled, sizeof session);
    char *at = delivery->settled.bytes + place;
    memmove(at + sizeof session, at, behind);
    memcpy(at, &session, sizeof session);
    delivery->settled.len += sizeof session;
}

bool dm_delivery_settled(const struct dm_shard *shard, uint32_t index, uint32_t session)
{
    const struct delivery *delivery = delivery_at(shard, index);
    const uint32_t *settled = (const void *)delivery->settled.bytes;
    uint32_t place = settled_place(delivery, session);
    return place < delivery->settled.len / sizeof *settled && settled[place] == session;
}

static void part_free(struct dm_shard *shard, uint32_t index)
{
    struct part *part = part_at(shard, index);
    DM_CHECK(part->first_delivery == 0 && part->waking == 0);
    dm_filter_probe_dispose(&part->probe);
    dm_envelope_release(part->envelope);
    dm_slab_give(&shard->parts, index);
}

static void part_free_if_done(struct dm_shard *shard, uint32_t index)
{
    const struct part *part = part_at(shard, index);
    if (!part->first_delivery && !part->scatter)
        part_free(shard, index);
}

/* --- sending --- */

/* One user's frames of one envelope, encoded once a dialect. */
struct frames {
    struct dm_wire *wires[DM_DIALECT_COUNT];
};

static struct dm_wire *frame_for(struct dm_shard *shard, struct frames *frames,
                                 enum dm_dialect_id dialect, const struct dm_envelope *envelope,
                                 const struct user *user)
{
    if (!frames->wires[dialect]) {
        dm_buf_clear(&shard->text);
        dm_dialect_of(dialect)->write(envelope, dm_user_id(user), &shard->text);
        frames->wires[dialect] = dm_wire_create(DM_OP_TEXT, dm_buf_slice(&shard->text));
    }
    return frames->wires[dialect];
}

static bool takes(const struct dm_shard *shard, const struct session *session, struct part *part)
{
    if (session->flags & SESSION_GONE)
        return false;
    if (!(session->flags & SESSION_FILTERED))
        return !dm_dialect_of(session->dialect)->needs_filters;
    return dm_filter_set_matches(&state_at(shard, session->state)->filters, &part->probe);
}

static void await(struct dm_shard *shard, uint32_t session, uint32_t part, uint32_t user,
                  uint32_t *delivery)
{
    if (!*delivery)
        *delivery = delivery_add(shard, part, user);
    dm_pending_add(shard, session, *delivery);
    delivery_at(shard, *delivery)->awaited++;
    part_at(shard, part)->awaited++;
}

/* The user is awake, or no session of it needs its state. */
static void deliver(struct dm_shard *shard, uint32_t part_index, uint32_t user_index)
{
    struct part *part = part_at(shard, part_index);
    const struct user *user = user_at(shard, user_index);
    bool awaits = part->scatter->publish->timeout_ms > 0;
    struct frames frames = {{NULL}};
    uint32_t delivery = 0, sent = 0;
    for (uint32_t i = user->first_session; i; i = session_at(shard, i)->next) {
        struct session *session = session_at(shard, i);
        if (!takes(shard, session, part))
            continue;
        struct dm_wire *wire = frame_for(shard, &frames, session->dialect, part->envelope, user);
        shard->ports.sink.send(shard->ports.sink.self, session->sock, wire);
        sent++;
        if (!dm_dialect_of(session->dialect)->acks)
            continue;
        part->clients++;
        if (awaits)
            await(shard, i, part_index, user_index, &delivery);
    }
    for (unsigned dialect = 0; dialect < DM_DIALECT_COUNT; dialect++)
        dm_wire_release(frames.wires[dialect]);
    part->delivered += sent;
    dm_metrics_add(shard->metrics, DM_METRIC_DELIVERIES, sent);
}

/* --- scatters --- */

static void send_back(struct dm_shard *shard, uint32_t part_index)
{
    struct part *part = part_at(shard, part_index);
    struct scatter *scatter = part->scatter;
    scatter->clients = part->clients;
    scatter->delivered = part->delivered;
    scatter->awaited = part->awaited;
    scatter->part = part->first_delivery ? part_index : 0;
    part->scatter = NULL;
    part_free_if_done(shard, part_index);
    dm_scatter_back(shard, scatter);
}

/* Filters are needed to choose, and a pending ack needs a session's state to hang on. */
static bool needs_state(const struct dm_shard *shard, const struct user *user, bool awaits)
{
    for (uint32_t i = user->first_session; i; i = session_at(shard, i)->next) {
        const struct session *session = session_at(shard, i);
        const struct dm_dialect *dialect = dm_dialect_of(session->dialect);
        if ((session->flags & SESSION_FILTERED) ||
            (awaits && dialect->acks && !dialect->needs_filters))
            return true;
    }
    return false;
}

static void wait_for_wake(struct dm_shard *shard, uint32_t part, uint32_t target, uint32_t user)
{
    struct wait *wait = DM_NEW(struct wait);
    wait->part = part;
    wait->target = target;
    dm_list_push(&awake_at(shard, user_at(shard, user)->awake)->waiting, &wait->link);
    part_at(shard, part)->waking++;
}

static void deliver_or_wait(struct dm_shard *shard, uint32_t part, uint32_t target)
{
    const struct dm_publish *publish = part_at(shard, part)->scatter->publish;
    uint32_t index = dm_user_find(shard, publish->targets[target]);
    if (!index)
        return;
    const struct user *user = user_at(shard, index);
    if (user->state == USER_ASLEEP && !needs_state(shard, user, publish->timeout_ms > 0)) {
        deliver(shard, part, index);
        return;
    }
    if (!dm_user_rouse(shard, index) || !dm_list_empty(&awake_at(shard, user->awake)->waiting)) {
        wait_for_wake(shard, part, target, index);
        return;
    }
    dm_user_touch(shard, index);
    deliver(shard, part, index);
}

static uint32_t part_create(struct dm_shard *shard, struct scatter *scatter)
{
    uint32_t index = dm_slab_take(&shard->parts);
    struct part *part = part_at(shard, index);
    part->scatter = scatter;
    part->coordinator = scatter->coordinator;
    part->coordination = scatter->coordination;
    part->generation = scatter->generation;
    part->envelope = dm_envelope_retain(scatter->publish->envelope);
    dm_filter_probe_init(&part->probe, part->envelope);
    return index;
}

void dm_scatter_deliver(struct dm_shard *shard, struct scatter *scatter)
{
    uint32_t part = part_create(shard, scatter);
    uint32_t target = scatter->first_target;
    while (target != NO_TARGET) {
        deliver_or_wait(shard, part, target);
        target = scatter->next_target ? scatter->next_target[target] : NO_TARGET;
    }
    if (part_at(shard, part)->waking == 0)
        send_back(shard, part);
}

static void fail_target(struct dm_shard *shard, const struct wait *wait, int err)
{
    struct scatter *scatter = part_at(shard, wait->part)->scatter;
    scatter->failed = true;
    if (scatter->publish->target_errs)
        scatter->publish->target_errs[wait->target] = err;
}

/* Delivers all that waited before any of it is answered: an answer may end a publish, and with it
 * what this user is kept for. */
void dm_deliver_waiting(struct dm_shard *shard, uint32_t user, int err)
{
    struct dm_list done;
    dm_list_init(&done);
    struct dm_list *waiting = &awake_at(shard, user_at(shard, user)->awake)->waiting, *link;
    while ((link = dm_list_shift(waiting)) != NULL) {
        struct wait *wait = DM_CONTAINER(link, struct wait, link);
        if (err)
            fail_target(shard, wait, err);
        else
            deliver(shard, wait->part, user);
        dm_list_push(&done, &wait->link);
    }
    if (!err)
        dm_user_free_if_unused(shard, user);
    while ((link = dm_list_shift(&done)) != NULL) {
        struct wait *wait = DM_CONTAINER(link, struct wait, link);
        if (--part_at(shard, wait->part)->waking == 0)
            send_back(shard, wait->part);
        free(wait);
    }
}

/* --- acks, drops and ends --- */

struct settle_mail {
    struct dm_mail mail;
    uint32_t coordination, generation;
    struct dm_slice result;
    char bytes[];
};

static void settle_here(struct dm_mail *mail, struct dm_shard *here)
{
    struct settle_mail *settle = DM_CONTAINER(mail, struct settle_mail, mail);
    dm_publish_settle(here, settle->coordination, settle->generation, settle->result);
    free(settle);
}

static void tell_coordinator(struct dm_shard *shard, const struct part *part,
                             struct dm_slice result)
{
    if (part->coordinator == shard->options.number) {
        dm_publish_settle(shard, part->coordination, part->generation, result);
        return;
    }
    struct settle_mail *settle = dm_alloc(sizeof *settle + result.len);
    *settle = (struct settle_mail){.mail = {.run = settle_here},
                                   .coordination = part->coordination,
                                   .generation = part->generation};
    if (result.at) {
        memcpy(settle->bytes, result.at, result.len);
        settle->result = dm_slice(settle->bytes, result.len);
    }
    shard->ports.post.send(shard->ports.post.self, part->coordinator, &settle->mail);
}

/* `result` absent: the session dropped. */
static void settle(struct dm_shard *shard, uint32_t pending_index, struct dm_slice result)
{
    const struct pending *pending = pending_at(shard, pending_index);
    uint32_t delivery_index = pending->delivery;
    struct delivery *delivery = delivery_at(shard, delivery_index);
    uint32_t part_index = delivery->part;
    if (pending->stored != PENDING_NEW && result.at) {
        remember_settled(delivery, pending->session);
        dm_store_forget(shard, DM_STORE_FORGET_PENDING, &part_at(shard, part_index)->envelope->id,
                        &session_at(shard, pending->session)->id);
    }
    pending_remove(shard, pending_index);
    struct part copy = *part_at(shard, part_index);
    if (--delivery->awaited == 0) {
        delivery_remove(shard, delivery_index);
        part_free_if_done(shard, part_index);
    }
    tell_coordinator(shard, &copy, result);
}

void dm_session_acked(struct dm_shard *shard, uint32_t session, const struct dm_uuid *envelope,
                      struct dm_slice result)
{
    uint32_t state = session_at(shard, session)->state;
    uint32_t i = state ? state_at(shard, state)->first_pending : 0;
    while (i) {
        const struct pending *pending = pending_at(shard, i);
        const struct part *part = part_at(shard, delivery_at(shard, pending->delivery)->part);
        if (dm_uuid_eq(&part->envelope->id, envelope))
            break;
        i = pending->session_next;
    }
    dm_metrics_add(shard->metrics, i ? DM_METRIC_ACKS : DM_METRIC_ACKS_IGNORED, 1);
    if (i)
        settle(shard, i, result.at ? result : DM_SLICE("null"));
}

void dm_session_drop_pendings(struct dm_shard *shard, uint32_t session)
{
    uint32_t state = session_at(shard, session)->state;
    while (state && state_at(shard, state)->first_pending)
        settle(shard, state_at(shard, state)->first_pending, DM_NO_SLICE);
}

/* Drops what is left of one delivery: in memory, or in the store of an asleep user. */
static void delivery_end(struct dm_shard *shard, uint32_t index)
{
    uint32_t user = delivery_at(shard, index)->user;
    while (delivery_at(shard, index)->first_pending)
        pending_remove(shard, delivery_at(shard, index)->first_pending);
    delivery_remove(shard, index);
    dm_user_free_if_unused(shard, user);
}

void dm_part_end(struct dm_shard *shard, const struct scatter *scatter)
{
    struct part *part = dm_slab_peek(&shard->parts, scatter->part);
    if (!part || part->generation != scatter->generation ||
        part->coordination != scatter->coordination || part->coordinator != scatter->coordinator)
        return; /* all its acks came in time */
    bool stored = false;
    struct dm_uuid envelope = part->envelope->id;
    while (part->first_delivery) {
        stored |= delivery_at(shard, part->first_delivery)->stored != 0;
        delivery_end(shard, part->first_delivery);
    }
    if (stored)
        dm_store_forget(shard, DM_STORE_FORGET_ENVELOPE, &envelope, NULL);
    part_free(shard, scatter->part);
}
