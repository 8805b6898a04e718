/* The coordinator's half of a publish: scatter, gather, answer in time. */
#include "hub/publish.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

static void answered(struct dm_mail *mail, struct dm_shard *here)
{
    struct dm_publish *publish = DM_CONTAINER(mail, struct dm_publish, mail);
    publish->done(publish, here);
}

void dm_publish_answer(struct dm_shard *shard, struct dm_publish *publish)
{
    if (publish->origin == shard->options.number) {
        publish->done(publish, shard);
        return;
    }
    publish->mail.run = answered;
    shard->ports.post.send(shard->ports.post.self, publish->origin, &publish->mail);
}

static void end_here(struct dm_mail *mail, struct dm_shard *here)
{
    struct scatter *scatter = DM_CONTAINER(mail, struct scatter, mail);
    dm_part_end(here, scatter);
    free(scatter);
}

/* Owners that still await acks are told that nobody waits for them any more. */
static void end_scatters(struct dm_shard *shard, struct scatter *scatter, bool all_settled)
{
    while (scatter) {
        struct scatter *next = scatter->next;
        if (scatter->part && !all_settled && scatter->owner != shard->options.number) {
            scatter->mail.run = end_here;
            shard->ports.post.send(shard->ports.post.self, scatter->owner, &scatter->mail);
        } else {
            if (scatter->part && !all_settled)
                dm_part_end(shard, scatter);
            free(scatter);
        }
        scatter = next;
    }
}

static void finish(struct dm_shard *shard, uint32_t index)
{
    struct coordination *at = coordination_at(shard, index);
    struct coordination copy = *at;
    dm_heap_remove(&shard->deadlines, &at->deadline);
    dm_slab_give(&shard->coordinations, index);
    dm_metrics_sub(shard->metrics, DM_METRIC_PUBLISHES_OPEN, 1);
    if (copy.awaited > 0 && !copy.publish->err)
        dm_metrics_add(shard->metrics, DM_METRIC_PUBLISH_TIMEOUTS, 1);
    end_scatters(shard, copy.scatters, copy.awaited == 0 && !copy.lingers);
    free(copy.next_target);
    if (copy.record)
        dm_record_finish(shard, copy.record);
    else
        dm_publish_answer(shard, copy.publish);
}

static void finish_if_done(struct dm_shard *shard, uint32_t index, bool in_time)
{
    struct coordination *at = coordination_at(shard, index);
    if (at->parts_out)
        return;
    if (at->awaited == 0 || !in_time) {
        finish(shard, index);
    } else if (at->record && !at->noted) {
        at->noted = true;
        dm_record_delivered(shard, at->record);
    }
}

/* --- scattering --- */

static void deliver_here(struct dm_mail *mail, struct dm_shard *here)
{
    dm_scatter_deliver(here, DM_CONTAINER(mail, struct scatter, mail));
}

static struct scatter *scatter_create(struct dm_shard *shard, uint32_t index, uint32_t owner,
                                      uint32_t first_target)
{
    struct coordination *at = coordination_at(shard, index);
    struct scatter *scatter = DM_NEW(struct scatter);
    scatter->publish = at->publish;
    scatter->coordinator = shard->options.number;
    scatter->coordination = index;
    scatter->generation = at->generation;
    scatter->owner = owner;
    scatter->first_target = first_target;
    scatter->next_target = at->next_target;
    scatter->next = at->scatters;
    at->scatters = scatter;
    at->parts_out++;
    return scatter;
}

/* One scatter for each shard that owns a target, the targets of each chained in order; of what is
 * for a channel one for each shard. */
static void make_scatters(struct dm_shard *shard, uint32_t index)
{
    struct coordination *at = coordination_at(shard, index);
    const struct dm_publish *publish = at->publish;
    bool to_all = publish->channel.at;
    if (publish->target_count == 1 && !to_all) {
        scatter_create(shard, index, dm_shard_owner(shard, publish->targets[0]), 0);
        return;
    }
    uint32_t firsts[DM_SHARDS_MAX];
    for (uint32_t i = 0; i < DM_SHARDS_MAX; i++)
        firsts[i] = NO_TARGET;
    if (publish->target_count)
        at->next_target = dm_calloc(publish->target_count, sizeof *at->next_target);
    for (uint32_t target = publish->target_count; target-- > 0;) {
        uint32_t owner = dm_shard_owner(shard, publish->targets[target]);
        at->next_target[target] = firsts[owner];
        firsts[owner] = target;
    }
    for (uint32_t owner = 0; owner < shard->options.shards; owner++)
        if (to_all || firsts[owner] != NO_TARGET)
            scatter_create(shard, index, owner, firsts[owner]);
}

static void scatter(struct dm_shard *shard, uint32_t index)
{
    struct scatter *next;
    for (struct scatter *i = coordination_at(shard, index)->scatters; i; i = next) {
        next = i->next;
        if (i->owner == shard->options.number) {
            dm_scatter_deliver(shard, i);
            continue;
        }
        i->mail.run = deliver_here;
        shard->ports.post.send(shard->ports.post.self, i->owner, &i->mail);
    }
}

static uint32_t next_generation(struct dm_shard *shard)
{
    if (++shard->next_generation == 0)
        shard->next_generation = 1;
    return shard->next_generation;
}

static struct coordination *coordination_create(struct dm_shard *shard, struct dm_publish *publish,
                                                struct record *record)
{
    uint32_t index = dm_slab_take(&shard->coordinations);
    struct coordination *at = coordination_at(shard, index);
    at->publish = publish;
    at->record = record;
    at->generation = next_generation(shard);
    at->index = index;
    dm_metrics_add(shard->metrics, DM_METRIC_PUBLISHES_OPEN, 1);
    return at;
}

void dm_coordinate(struct dm_shard *shard, struct dm_publish *publish, struct record *record,
                   uint64_t deadline)
{
    struct coordination *at = coordination_create(shard, publish, record);
    uint32_t index = at->index;
    dm_metrics_add(shard->metrics, DM_METRIC_PUBLISHES, 1);
    make_scatters(shard, index);
    at->parts_out++; /* its own, so that it cannot finish while it scatters */
    if (publish->timeout_ms)
        dm_heap_add(&shard->deadlines, &at->deadline, deadline);
    scatter(shard, index);
    at->parts_out--;
    finish_if_done(shard, index, publish->timeout_ms != 0);
}

/* Who has been sent it before the crash is not known: it waits to its deadline. */
void dm_coordinate_rest(struct dm_shard *shard, struct dm_publish *publish, struct record *record,
                        uint64_t deadline)
{
    struct coordination *at = coordination_create(shard, publish, record);
    at->awaited = 1;
    at->noted = true;
    dm_heap_add(&shard->deadlines, &at->deadline, deadline);
}

static void coordinate(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_publish *publish = DM_CONTAINER(mail, struct dm_publish, mail);
    if (publish->durable || publish->repeatable)
        dm_record_ask(shard, publish);
    else
        dm_coordinate(shard, publish, NULL, dm_shard_now(shard) + publish->timeout_ms);
}

static uint32_t coordinator_of(const struct dm_shard *shard, const struct dm_publish *publish)
{
    const struct dm_uuid *id = &publish->envelope->id;
    if (publish->durable || publish->repeatable)
        return dm_shard_owner(shard, dm_slice((const char *)id->bytes, sizeof id->bytes));
    if (publish->channel.at)
        return dm_channel_coordinator(shard, publish->channel);
    return publish->target_count == 1 ? dm_shard_owner(shard, publish->targets[0])
                                      : publish->origin;
}

void dm_publish(struct dm_shard *shard, struct dm_publish *publish)
{
    DM_CHECK(publish->target_count >= 1 || publish->channel.at);
    publish->origin = shard->options.number;
    publish->mail.run = coordinate;
    uint32_t owner = coordinator_of(shard, publish);
    if (owner == publish->origin)
        coordinate(&publish->mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, owner, &publish->mail);
}

/* --- gathering --- */

static void gather(struct dm_mail *mail, struct dm_shard *shard)
{
    struct scatter *scatter = DM_CONTAINER(mail, struct scatter, mail);
    uint32_t index = scatter->coordination;
    struct coordination *at = coordination_at(shard, index);
    struct dm_publish *publish = at->publish;
    at->parts_out--;
    at->awaited += scatter->awaited;
    publish->client_count += scatter->clients;
    publish->delivered += scatter->delivered;
    publish->members += scatter->members;
    if (scatter->failed && !publish->durable) /* else it is owed, and will come yet */
        publish->err = DM_ERR_UNAVAILABLE;
    /* Where a user could not be loaded the answer is an error already: acks change nothing. */
    bool in_time = publish->timeout_ms != 0 && dm_timer_waits(&at->deadline);
    finish_if_done(shard, index, in_time && !publish->err);
}

void dm_scatter_back(struct dm_shard *shard, struct scatter *scatter)
{
    if (scatter->coordinator == shard->options.number) {
        gather(&scatter->mail, shard);
        return;
    }
    scatter->mail.run = gather;
    shard->ports.post.send(shard->ports.post.self, scatter->coordinator, &scatter->mail);
}

static void add_result(struct dm_shard *shard, struct dm_publish *publish, struct dm_slice result)
{
    if (publish->results.len + result.len > DM_RESULT_BYTES_MAX) {
        dm_metrics_add(shard->metrics, DM_METRIC_RESULTS_DROPPED, 1);
        result = DM_SLICE("null");
    }
    if (publish->result_count++)
        dm_buf_add_byte(&publish->results, ',');
    dm_buf_add_slice(&publish->results, result);
}

void dm_publish_settle(struct dm_shard *shard, uint32_t index, uint32_t generation,
                       enum settling how, struct dm_slice result)
{
    struct coordination *at = dm_slab_peek(&shard->coordinations, index);
    if (!at || at->generation != generation)
        return; /* answered already */
    at->awaited -= how != SETTLED_LATE;
    at->lingers |= how == SETTLED_MAY_RETURN;
    if (result.at)
        add_result(shard, at->publish, result);
    finish_if_done(shard, index, true);
}

uint64_t dm_publish_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_timer *timer;
    while ((timer = dm_heap_first(&shard->deadlines)) != NULL && timer->at <= now) {
        struct coordination *at = DM_CONTAINER(timer, struct coordination, deadline);
        dm_heap_remove(&shard->deadlines, timer);
        if (at->parts_out == 0)
            finish(shard, at->index);
    }
    return timer ? timer->at : UINT64_MAX;
}
