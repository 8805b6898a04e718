/* The owner's half of a publish, coming back: acks, drops, and the end of it. */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

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

static void tell_coordinator(struct dm_shard *shard, const struct part *part, enum settling how,
                             struct dm_slice result)
{
    if (part->coordinator == shard->options.number) {
        dm_publish_settle(shard, part->coordination, part->generation, how, result);
        return;
    }
    struct settle_mail *settle = dm_alloc(sizeof *settle + result.len);
    *settle = (struct settle_mail){.mail = {.run = settle_here},
                                   .coordination = part->coordination,
                                   .generation = part->generation,
                                   .how = how};
    if (result.at) {
        memcpy(settle->bytes, result.at, result.len);
        settle->result = dm_slice(settle->bytes, result.len);
    }
    shard->ports.post.send(shard->ports.post.self, part->coordinator, &settle->mail);
}

static void settle(struct dm_shard *shard, uint32_t pending_index, enum settling how,
                   struct dm_slice result)
{
    const struct pending *pending = pending_at(shard, pending_index);
    uint32_t delivery_index = pending->delivery;
    struct delivery *delivery = delivery_at(shard, delivery_index);
    uint32_t part_index = delivery->part;
    if (pending->stored != PENDING_NEW && result.at) {
        dm_uuid_set_add(&delivery->settled, &session_at(shard, pending->session)->id);
        dm_shard_forget_rows(shard, DM_STORE_FORGET_PENDING,
                             &part_at(shard, part_index)->envelope->id,
                             &session_at(shard, pending->session)->id);
    }
    bool late = pending->late;
    if (how == SETTLED_MAY_RETURN && !late)
        dm_buf_add(&delivery->dropped, &session_at(shard, pending->session)->id,
                   sizeof(struct dm_uuid));
    dm_pending_remove(shard, pending_index);
    if (late && how != SETTLED_ACKED)
        return;
    struct part copy = *part_at(shard, part_index);
    delivery->awaited -= !late;
    if (delivery->awaited == 0 && delivery->dropped.len == 0) {
        dm_delivery_remove(shard, delivery_index);
        dm_part_free_if_done(shard, part_index);
    }
    tell_coordinator(shard, &copy, late ? SETTLED_LATE : how, result);
}

bool dm_session_acked(struct dm_shard *shard, uint32_t session, const struct dm_uuid *envelope,
                      struct dm_slice result)
{
    uint32_t i = dm_pending_find(shard, session, envelope);
    dm_metrics_add(shard->metrics, i ? DM_METRIC_ACKS : DM_METRIC_ACKS_IGNORED, 1);
    if (i)
        settle(shard, i, SETTLED_ACKED, result.at ? result : DM_SLICE("null"));
    return i != 0;
}

void dm_session_drop_pendings(struct dm_shard *shard, uint32_t session, bool may_return)
{
    enum settling how = may_return ? SETTLED_MAY_RETURN : SETTLED_GONE;
    uint32_t state = session_at(shard, session)->state;
    while (state && state_at(shard, state)->first_pending)
        settle(shard, state_at(shard, state)->first_pending, how, DM_NO_SLICE);
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
