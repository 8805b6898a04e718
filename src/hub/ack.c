/* The owner's half of a publish, coming back: acks, drops, and the end of it. */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"
#include "ports/store_publish.h"

struct settle_mail {
    struct dm_mail mail;
    uint32_t coordination, generation;
    enum settling how;
    struct dm_slice result;
    char bytes[];
};

static void settle_here(struct dm_mail *mail, struct dm_shard *here)
{
    struct settle_mail *settle = DM_CONTAINER(mail, struct settle_mail, mail);
    dm_publish_settle(here, settle->coordination, settle->generation, settle->how, settle->result);
    free(settle);
}

/* Whom to tell how a pending ack has ended. */
struct ended {
    uint32_t coordinator, coordination, generation;
    enum settling how;
    bool told; /* it has ended for the coordinator before: there is nothing to tell */
};

static void tell_coordinator(struct dm_shard *shard, const struct ended *ended,
                             struct dm_slice result)
{
    if (ended->told)
        return;
    if (ended->coordinator == shard->options.number) {
        dm_publish_settle(shard, ended->coordination, ended->generation, ended->how, result);
        return;
    }
    struct settle_mail *settle = dm_alloc(sizeof *settle + result.len);
    *settle = (struct settle_mail){.mail = {.run = settle_here},
                                   .coordination = ended->coordination,
                                   .generation = ended->generation,
                                   .how = ended->how};
    if (result.at) {
        memcpy(settle->bytes, result.at, result.len);
        settle->result = dm_slice(settle->bytes, result.len);
    }
    shard->ports.post.send(shard->ports.post.self, ended->coordinator, &settle->mail);
}

/* Takes the pending ack out of all records. */
static struct ended end_pending(struct dm_shard *shard, uint32_t pending_index, enum settling how)
{
    const struct pending *pending = pending_at(shard, pending_index);
    const struct dm_uuid *session_id = &session_at(shard, pending->session)->id;
    uint32_t delivery_index = pending->delivery;
    struct delivery *delivery = delivery_at(shard, delivery_index);
    uint32_t part_index = delivery->part;
    const struct part *part = part_at(shard, part_index);
    bool late = pending->late;
    struct ended ended = {part->coordinator, part->coordination, part->generation,
                          late ? SETTLED_LATE : how, late && how != SETTLED_ACKED};
    if (pending->stored != PENDING_NEW && how == SETTLED_ACKED) {
        dm_uuid_set_add(&delivery->settled, session_id);
        dm_shard_forget_rows(shard, DM_STORE_FORGET_PENDING, &part->envelope->id, session_id);
    }
    if (how == SETTLED_MAY_RETURN && !late)
        dm_buf_add(&delivery->dropped, session_id, sizeof *session_id);
    dm_pending_remove(shard, pending_index);
    if (ended.told)
        return ended;
    delivery->awaited -= !late;
    if (delivery->awaited == 0 && delivery->dropped.len == 0) {
        dm_delivery_remove(shard, delivery_index);
        dm_part_free_if_done(shard, part_index);
    }
    return ended;
}

/* --- acks of recorded publishes: they count once the store has them --- */

struct acking {
    struct addressee *to;
    struct ended ended;
};

static void ack_recorded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct acking *acking = op->caller;
    bool counts = !op->err && op->publish->found != DM_RECORDED_NOT;
    shard->ops_out--;
    dm_metrics_add(shard->metrics, counts ? DM_METRIC_ACKS : DM_METRIC_ACKS_IGNORED, 1);
    dm_addressee_answer(shard, acking->to, op->err ? op->err : counts ? DM_OK : DM_ERR_NOT_FOUND);
    /* What the store could not take is awaited on: the client may ack once more. */
    if (!op->err) {
        if (!counts && acking->ended.how == SETTLED_ACKED)
            acking->ended.how = SETTLED_GONE;
        acking->ended.told |= !counts && acking->ended.how == SETTLED_LATE;
        tell_coordinator(shard, &acking->ended, DM_NO_SLICE);
    }
    free(acking);
    dm_store_op_destroy(op);
}

static void record_ack(struct dm_shard *shard, uint32_t index, const struct dm_command *command,
                       const struct ended *ended)
{
    const struct session *session = session_at(shard, index);
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_RECORD_ACK, shard->options.number, ack_recorded);
    struct dm_store_publish *publish = dm_store_op_publish(op);
    struct acking *acking = DM_NEW(struct acking);
    *acking = (struct acking){dm_addressee_create(shard, index, command->ref), *ended};
    op->caller = acking;
    op->session_id = session->id;
    op->envelope_id = command->envelope;
    op->user_id = dm_store_op_add_text(op, dm_user_id(user_at(shard, session->user)));
    op->now = dm_shard_wall(shard);
    publish->result =
        dm_store_op_add_text(op, command->result.at ? command->result : DM_SLICE("null"));
    publish->retention = shard->options.result_retention_ms;
    publish->awaited = !ended->told;
    dm_shard_submit(shard, op);
}

/* Of one that is owed, or was open when its process crashed, the store knows. */
void dm_session_ack_unawaited(struct dm_shard *shard, uint32_t session,
                              const struct dm_command *command)
{
    if (shard->holds_publishes) {
        record_ack(shard, session, command, &(struct ended){.told = true});
        return;
    }
    dm_metrics_add(shard->metrics, DM_METRIC_ACKS_IGNORED, 1);
    dm_answer(shard, session_at(shard, session), command->ref, DM_ERR_NOT_FOUND, DM_NO_SLICE);
}

/* --- all others --- */

void dm_session_ack(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    uint32_t pending = dm_pending_find(shard, index, &command->envelope);
    if (!pending) {
        dm_session_ack_unawaited(shard, index, command);
        return;
    }
    bool recorded =
        part_at(shard, delivery_at(shard, pending_at(shard, pending)->delivery)->part)->recorded;
    struct ended ended = end_pending(shard, pending, SETTLED_ACKED);
    if (recorded) {
        record_ack(shard, index, command, &ended);
        return;
    }
    dm_metrics_add(shard->metrics, DM_METRIC_ACKS, 1);
    tell_coordinator(shard, &ended, command->result.at ? command->result : DM_SLICE("null"));
    dm_answer(shard, session_at(shard, index), command->ref, DM_OK, DM_NO_SLICE);
}

void dm_session_drop_pendings(struct dm_shard *shard, uint32_t session, bool may_return)
{
    enum settling how = may_return ? SETTLED_MAY_RETURN : SETTLED_GONE;
    uint32_t state = session_at(shard, session)->state;
    while (state && state_at(shard, state)->first_pending) {
        struct ended ended = end_pending(shard, state_at(shard, state)->first_pending, how);
        tell_coordinator(shard, &ended, DM_NO_SLICE);
    }
}

/* Drops what is left of one delivery: in memory, or in the store of an asleep user. */
static void delivery_end(struct dm_shard *shard, uint32_t index)
{
    uint32_t user = delivery_at(shard, index)->user;
    while (delivery_at(shard, index)->first_pending)
        dm_pending_remove(shard, delivery_at(shard, index)->first_pending);
    dm_delivery_remove(shard, index);
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
        dm_shard_forget_rows(shard, DM_STORE_FORGET_ENVELOPE, &envelope, NULL);
    dm_part_free(shard, scatter->part);
}
