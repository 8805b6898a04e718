/*
 * The owner's half of a publish, going out: which sessions take it, and what
 * they are sent.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

/* A target of a part whose user is waking. */
struct wait {
    struct dm_list link;
    uint32_t part, target;
};

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
        dm_dialect_of(dialect)->write(envelope, dm_user_id(user), false, &shard->text);
        frames->wires[dialect] = dm_wire_create(DM_OP_TEXT, dm_buf_slice(&shard->text));
    }
    return frames->wires[dialect];
}

bool dm_session_takes_all(const struct session *session)
{
    return !(session->flags & SESSION_FILTERED) && !dm_dialect_of(session->dialect)->needs_filters;
}

bool dm_session_takes(const struct dm_shard *shard, const struct session *session,
                      struct dm_filter_probe *probe)
{
    if (session->flags & SESSION_GONE)
        return false;
    if (!(session->flags & SESSION_FILTERED))
        return dm_session_takes_all(session);
    return dm_filter_set_matches(&state_at(shard, session->state)->filters, probe);
}

static void send(struct dm_shard *shard, uint32_t session, const struct part *part,
                 struct dm_wire *wire)
{
    if (session_at(shard, session)->flags & SESSION_BEHIND)
        dm_catch_up_send(shard, session, wire, part->durable ? &part->envelope->id : NULL);
    else
        shard->ports.sink.send(shard->ports.sink.self, session_at(shard, session)->sock, wire);
}

static void await(struct dm_shard *shard, uint32_t session, uint32_t part, uint32_t user,
                  uint32_t *delivery)
{
    if (!*delivery)
        *delivery = dm_delivery_add(shard, part, user);
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
        if (!dm_session_takes(shard, session, &part->probe))
            continue;
        send(shard, i, part, frame_for(shard, &frames, session->dialect, part->envelope, user));
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
    dm_filter_probe_dispose(&part->probe); /* unpacked it is larger than the envelope */
    dm_part_free_if_done(shard, part_index);
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

/* An ack of it that comes too late need not ask the store. */
static void note_plain(struct dm_shard *shard, const struct dm_uuid *id)
{
    if (!shard->plain)
        shard->plain = dm_calloc(PLAIN_IDS, sizeof *shard->plain);
    *dm_plain_place(shard, id) = *id;
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
    part->durable = scatter->publish->durable;
    part->recorded = part->durable || scatter->publish->repeatable;
    if (part->recorded)
        shard->holds_publishes = true;
    else if (shard->holds_publishes)
        note_plain(shard, &part->envelope->id);
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

/* What is durable comes when the user can be loaded again: behind it what is published meanwhile.
 */
static void owe(struct dm_shard *shard, uint32_t user, uint64_t number)
{
    for (uint32_t i = user_at(shard, user)->first_session; i; i = session_at(shard, i)->next)
        if (!(session_at(shard, i)->flags & SESSION_GONE) &&
            dm_dialect_of(session_at(shard, i)->dialect)->acks)
            dm_catch_up_from(shard, i, number);
}

static void fail_target(struct dm_shard *shard, uint32_t user, const struct wait *wait, int err)
{
    struct scatter *scatter = part_at(shard, wait->part)->scatter;
    scatter->failed = true;
    if (scatter->publish->durable)
        owe(shard, user, scatter->publish->number);
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
            fail_target(shard, user, wait, err);
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
