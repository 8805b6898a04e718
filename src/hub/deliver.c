/*
 * The owner's half of a publish, going out: which sessions take it, and what
 * they are sent. What is for a channel: channel_deliver.c.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

/* A user of a part that is waking; `target`: NO_TARGET where it is one as a member. */
struct wait {
    struct dm_list link;
    uint32_t part, target;
};

/* --- sending --- */

/* One user's frames of one envelope, encoded once a dialect. */
struct frames {
    struct dm_wire *wires[DM_DIALECT_COUNT];
};

static struct dm_wire *encode(struct dm_shard *shard, enum dm_dialect_id dialect,
                              const struct dm_envelope *envelope, struct dm_slice user_id)
{
    dm_buf_clear(&shard->text);
    dm_dialect_of(dialect)->write(envelope, user_id, false, &shard->text);
    return dm_wire_create(DM_OP_TEXT, dm_buf_slice(&shard->text));
}

/* One that names no user is the part's, and good for all of them. */
static struct dm_wire *frame_for(struct dm_shard *shard, struct part *part, struct frames *frames,
                                 enum dm_dialect_id dialect, const struct user *user)
{
    bool same = dm_dialect_of(dialect)->same_for_all;
    struct dm_wire **wire = same ? &part->wires[dialect] : &frames->wires[dialect];
    if (!*wire)
        *wire = encode(shard, dialect, part->envelope, dm_user_id(user));
    return *wire;
}

bool dm_session_takes_all(const struct session *session)
{
    return !(session->flags & SESSION_FILTERED) && !dm_dialect_of(session->dialect)->needs_filters;
}

bool dm_session_takes(const struct dm_shard *shard, const struct session *session,
                      struct dm_filter_probe *probe)
{
    if ((session->flags & SESSION_GONE) || dm_dialect_of(session->dialect)->listens)
        return false;
    if (!(session->flags & SESSION_FILTERED))
        return dm_session_takes_all(session);
    return dm_filter_set_matches(&state_at(shard, session->state)->filters, probe);
}

/* What is of peers only some dialects can show; and it goes to others than who caused it. */
static bool is_for(const struct part *part, const struct session *session)
{
    const struct dm_publish *publish = part->scatter->publish;
    return (!part->envelope->of_peers || dm_dialect_of(session->dialect)->hears_peers) &&
           !dm_uuid_eq(&publish->except_session, &session->id);
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

void dm_deliver_to_listener(struct dm_shard *shard, struct part *part, uint32_t index)
{
    const struct session *session = session_at(shard, index);
    if (!is_for(part, session))
        return;
    send(shard, index, part,
         frame_for(shard, part, NULL, session->dialect, user_at(shard, session->user)));
    part->delivered++;
    dm_metrics_add(shard->metrics, DM_METRIC_DELIVERIES, 1);
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
        if (!is_for(part, session) || !dm_session_takes(shard, session, &part->probe))
            continue;
        send(shard, i, part, frame_for(shard, part, &frames, session->dialect, user));
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

void dm_part_send_back(struct dm_shard *shard, uint32_t part_index)
{
    struct part *part = part_at(shard, part_index);
    struct scatter *scatter = part->scatter;
    scatter->clients = part->clients;
    scatter->delivered = part->delivered;
    scatter->awaited = part->awaited;
    scatter->part = part->first_delivery ? part_index : 0;
    part->scatter = NULL;
    for (unsigned dialect = 0; dialect < DM_DIALECT_COUNT; dialect++) {
        dm_wire_release(part->wires[dialect]);
        part->wires[dialect] = NULL;
    }
    dm_filter_probe_dispose(&part->probe); /* unpacked it is larger than the envelope */
    dm_part_free_if_done(shard, part_index);
    dm_scatter_back(shard, scatter);
}

/* Filters are needed to choose, and a pending ack needs a session's state to hang on. */
static bool needs_state(const struct dm_shard *shard, const struct part *part,
                        const struct user *user)
{
    bool awaits = part->scatter->publish->timeout_ms > 0;
    for (uint32_t i = user->first_session; i; i = session_at(shard, i)->next) {
        const struct session *session = session_at(shard, i);
        const struct dm_dialect *dialect = dm_dialect_of(session->dialect);
        if (!is_for(part, session))
            continue;
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

void dm_deliver_to_user(struct dm_shard *shard, uint32_t part, uint32_t index, uint32_t target)
{
    const struct user *user = user_at(shard, index);
    if (user->state == USER_ASLEEP && !needs_state(shard, part_at(shard, part), user)) {
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

uint32_t dm_part_create(struct dm_shard *shard, struct scatter *scatter)
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

void dm_deliver_to_targets(struct dm_shard *shard, uint32_t part)
{
    const struct scatter *scatter = part_at(shard, part)->scatter;
    uint32_t target = scatter->first_target;
    while (target != NO_TARGET) {
        uint32_t user = dm_user_find(shard, scatter->publish->targets[target]);
        if (user)
            dm_deliver_to_user(shard, part, user, target);
        target = scatter->next_target ? scatter->next_target[target] : NO_TARGET;
    }
}

void dm_scatter_deliver(struct dm_shard *shard, struct scatter *scatter)
{
    if (scatter->publish->channel.at) {
        dm_channel_deliver(shard, scatter);
        return;
    }
    uint32_t part = dm_part_create(shard, scatter);
    dm_deliver_to_targets(shard, part);
    if (part_at(shard, part)->waking == 0)
        dm_part_send_back(shard, part);
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
    if (scatter->publish->target_errs && wait->target != NO_TARGET)
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
            dm_part_send_back(shard, wait->part);
        free(wait);
    }
}
