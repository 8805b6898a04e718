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

enum { ACKS_OUT_MAX = 4096 /* of envelopes that nobody awaits */ };

static struct dm_store_op *ack_op(struct dm_shard *shard, uint32_t index,
                                  const struct dm_command *command, dm_mail_run back)
{
    const struct session *session = session_at(shard, index);
    struct dm_store_op *op = dm_store_op_create(DM_STORE_RECORD_ACK, shard->options.number, back);
    struct dm_store_publish *publish = dm_store_op_publish(op);
    op->caller = dm_addressee_create(shard, index, command->ref);
    op->session_id = session->id;
    op->envelope_id = command->envelope;
    op->user = session->user;
    op->user_id = dm_store_op_add_text(op, dm_user_id(user_at(shard, session->user)));
    op->now = dm_shard_wall(shard);
    op->oldest = shard->began;
    publish->result =
        dm_store_op_add_text(op, command->result.at ? command->result : DM_SLICE("null"));
    publish->retention = shard->options.result_retention_ms;
    return op;
}

static void answer_ack(struct dm_shard *shard, struct dm_store_op *op, bool counts)
{
    shard->ops_out--;
    dm_metrics_add(shard->metrics, counts ? DM_METRIC_ACKS : DM_METRIC_ACKS_IGNORED, 1);
    dm_metrics_add(shard->metrics, DM_METRIC_RESULTS_DROPPED, counts && op->publish->cut);
    dm_addressee_answer(shard, op->caller, op->err ? op->err : counts ? DM_OK : DM_ERR_NOT_FOUND);
}

static bool it_counts(const struct dm_store_op *op)
{
    return !op->err && op->publish->found != DM_RECORDED_NOT;
}

/* The pending ack is there until now, unless its session has dropped or the publish is answered;
 * where the store has failed the client may ack once more. */
static void awaited_ack_stored(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    uint32_t user = op->user, session = dm_session_find(shard, user, &op->session_id);
    uint32_t pending = session ? dm_pending_find(shard, session, &op->envelope_id) : 0;
    bool counts = it_counts(op);
    dm_awake_of(shard, user)->writes--;
    answer_ack(shard, op, counts);
    if (pending && op->err) {
        pending_at(shard, pending)->acking = false;
    } else if (pending) {
        struct ended ended = end_pending(shard, pending, counts ? SETTLED_ACKED : SETTLED_GONE);
        tell_coordinator(shard, &ended, DM_NO_SLICE);
    }
    dm_user_free_if_unused(shard, user);
    dm_store_op_destroy(op);
}

static void ack_awaited(struct dm_shard *shard, uint32_t index, uint32_t pending,
                        const struct dm_command *command)
{
    struct dm_store_op *op = ack_op(shard, index, command, awaited_ack_stored);
    pending_at(shard, pending)->acking = true;
    op->publish->awaited = true;
    dm_awake_of(shard, op->user)->writes++;
    dm_shard_submit(shard, op);
}

static void unawaited_ack_stored(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    shard->acks_out--;
    answer_ack(shard, op, it_counts(op));
    dm_store_op_destroy(op);
}

static void ignore(struct dm_shard *shard, uint32_t session, const struct dm_command *command,
                   int err)
{
    dm_metrics_add(shard->metrics, DM_METRIC_ACKS_IGNORED, 1);
    dm_answer(shard, session_at(shard, session), command->ref, err, DM_NO_SLICE);
}

/* Of one that is owed, or was open when its process crashed, the store knows. */
void dm_session_ack_unawaited(struct dm_shard *shard, uint32_t session,
                              const struct dm_command *command)
{
    const struct dm_uuid *id = &command->envelope;
    if (!shard->holds_publishes || (shard->plain && dm_uuid_eq(dm_plain_place(shard, id), id))) {
        ignore(shard, session, command, DM_ERR_NOT_FOUND);
        return;
    }
    if (shard->acks_out == ACKS_OUT_MAX) {
        ignore(shard, session, command, DM_ERR_OVERLOADED);
        return;
    }
    shard->acks_out++;
    dm_shard_submit(shard, ack_op(shard, session, command, unawaited_ack_stored));
}

/* --- all others --- */

void dm_session_ack(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    uint32_t pending = dm_pending_find(shard, index, &command->envelope);
    if (!pending) {
        dm_session_ack_unawaited(shard, index, command);
        return;
    }
    if (pending_at(shard, pending)->acking) {
        ignore(shard, index, command, DM_ERR_NOT_FOUND);
        return;
    }
    if (part_at(shard, delivery_at(shard, pending_at(shard, pending)->delivery)->part)->recorded) {
        ack_awaited(shard, index, pending, command);
        return;
    }
    struct ended ended = end_pending(shard, pending, SETTLED_ACKED);
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
