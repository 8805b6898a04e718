/* A shard's beginning and end, its clock, and what it does at each turn's end. */
#include "hub/shard.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "hub/hub_priv.h"
#include "model/name.h"

/* After so many evictions, and none in this turn, free pages go back to the kernel. */
enum { TRIM_AFTER = 256 };

static uint32_t share_of(uint32_t whole, uint32_t shards)
{
    uint32_t share = whole / shards + (whole % shards != 0);
    return share ? share : 1;
}

struct dm_shard *dm_shard_create(const struct dm_shard_options *options,
                                 const struct dm_shard_ports *ports, struct dm_metrics *metrics)
{
    struct dm_shard *shard = DM_NEW(struct dm_shard);
    shard->options = *options;
    shard->ports = *ports;
    shard->metrics = metrics;
    dm_uuid_minter_init(&shard->minter, &shard->ports.rand);
    dm_slab_init(&shard->users, sizeof(struct user));
    dm_slab_init(&shard->sessions, sizeof(struct session));
    dm_slab_init(&shard->states, sizeof(struct session_state));
    dm_slab_init(&shard->awakes, sizeof(struct awake));
    dm_slab_init(&shard->pendings, sizeof(struct pending));
    dm_slab_init(&shard->deliveries, sizeof(struct delivery));
    dm_slab_init(&shard->parts, sizeof(struct part));
    dm_slab_init(&shard->expiries, sizeof(struct expiry));
    dm_slab_init(&shard->catch_ups, sizeof(struct catch_up));
    dm_slab_init(&shard->channels, sizeof(struct channel));
    dm_slab_init(&shard->listeners, sizeof(struct listener));
    dm_slab_init(&shard->claims, sizeof(struct claims));
    dm_word_init(shard);
    dm_slab_init(&shard->coordinations, sizeof(struct coordination));
    ports->rand.fill(ports->rand.self, shard->index_key, sizeof shard->index_key);
    if (options->resume_window_ms && options->number == 0)
        shard->expire_at = 1; /* what an earlier process has left */
    shard->holds_presence = ports->store.holds_presence;
    shard->began = ports->clock.wall_ms(ports->clock.self);
    shard->holds_publishes = ports->store.holds_publishes;
    if (shard->holds_publishes && options->number == 0)
        shard->forget_at = 1;
    dm_list_init(&shard->recent);
    dm_list_init(&shard->retries);
    dm_list_init(&shard->due);
    dm_list_init(&shard->calls);
    dm_list_init(&shard->due_calls);
    dm_list_init(&shard->rosters);
    dm_list_init(&shard->looks);
    for (size_t i = 0; i < DM_COUNT(shard->askings); i++)
        dm_list_init(&shard->askings[i]);
    dm_absent_load(shard);
    shard->max_awake = share_of(options->limits.max_awake, options->shards);
    return shard;
}

void dm_shard_destroy(struct dm_shard **shard_at)
{
    struct dm_shard *shard = *shard_at;
    if (!shard)
        return;
    DM_CHECK(shard->ops_out == 0 && shard->coordinations.live == 0);
    for (uint32_t i = 1; i < dm_slab_end(&shard->sessions); i++) {
        const struct session *session = dm_slab_peek(&shard->sessions, i);
        if (session && session->state) {
            dm_filter_set_dispose(&state_at(shard, session->state)->filters);
            dm_session_attach(state_at(shard, session->state), DM_NO_SLICE);
        }
    }
    for (uint32_t i = 1; i < dm_slab_end(&shard->users); i++) {
        struct user *user = dm_slab_peek(&shard->users, i);
        if (user)
            dm_short_id_dispose(&user->id);
    }
    dm_slab_dispose(&shard->users);
    dm_slab_dispose(&shard->sessions);
    dm_slab_dispose(&shard->states);
    dm_slab_dispose(&shard->awakes);
    dm_slab_dispose(&shard->pendings);
    dm_slab_dispose(&shard->deliveries);
    dm_slab_dispose(&shard->parts);
    dm_slab_dispose(&shard->coordinations);
    dm_slab_dispose(&shard->expiries);
    dm_catch_up_dispose(shard);
    dm_channels_dispose(shard);
    dm_presence_dispose(shard);
    dm_claims_dispose(shard);
    dm_absent_dispose(shard);
    dm_uuid_set_dispose(&shard->unsent);
    free(shard->plain);
    dm_word_dispose(shard);
    dm_index_dispose(&shard->expiry_index);
    dm_heap_dispose(&shard->expiry_timers);
    dm_index_dispose(&shard->index);
    dm_index_dispose(&shard->delivery_index);
    dm_heap_dispose(&shard->deadlines);
    dm_pace_dispose(&shard->pace);
    dm_buf_dispose(&shard->scratch);
    dm_buf_dispose(&shard->text);
    free(shard);
    *shard_at = NULL;
}

/* What a burst of evictions has freed goes back to the kernel once the burst is over. */
static uint64_t trim_heap(struct dm_shard *shard, uint32_t evicted_before, uint64_t now)
{
    if (shard->evicted_since_trim < TRIM_AFTER)
        return UINT64_MAX;
    if (shard->evicted_since_trim != evicted_before)
        return now + 1;
    dm_slab_trim(&shard->states);
    dm_slab_trim(&shard->awakes);
    dm_slab_trim(&shard->pendings);
    dm_slab_trim(&shard->deliveries);
    dm_slab_trim(&shard->parts);
    malloc_trim(0);
    shard->evicted_since_trim = 0;
    return UINT64_MAX;
}

uint64_t dm_shard_tick(struct dm_shard *shard)
{
    uint32_t evicted_before = shard->evicted_since_trim;
    shard->now = shard->wall = 0;
    uint64_t now = dm_shard_now(shard);
    uint64_t paced = dm_pace_tick(shard, now);
    uint64_t next = dm_clock_earlier(dm_publish_tick(shard, now), dm_awake_tick(shard, now));
    next = dm_clock_earlier(next, dm_user_tick(shard, now));
    next = dm_clock_earlier(next, dm_word_tick(shard, now)); /* before rows expire */
    next = dm_clock_earlier(next, dm_absent_tick(shard, now));
    next = dm_clock_earlier(next, dm_resume_tick(shard, now));
    next = dm_clock_earlier(next, dm_expiry_tick(shard, now));
    next = dm_clock_earlier(next, dm_catch_up_tick(shard, now));
    next = dm_clock_earlier(next, dm_record_tick(shard, now));
    next = dm_clock_earlier(next, dm_presence_tick(shard, now));
    next = dm_clock_earlier(next, dm_roster_tick(shard, now));
    next = dm_clock_earlier(next, paced);
    return dm_clock_earlier(next, trim_heap(shard, evicted_before, now));
}

void dm_shard_end_turn(struct dm_shard *shard)
{
    shard->now = shard->wall = 0;
}

void dm_shard_submit(struct dm_shard *shard, struct dm_store_op *op)
{
    shard->ops_out++;
    shard->ports.store.submit(shard->ports.store.self, op);
}

/* Rows that are to go are of sessions or publishes that have ended. Where the deletion fails they
 * match nothing any more and are swept at the next start. */
void dm_store_op_done(struct dm_mail *mail, struct dm_shard *shard)
{
    shard->ops_out--;
    dm_store_op_destroy(DM_CONTAINER(mail, struct dm_store_op, mail));
}

void dm_shard_forget_rows(struct dm_shard *shard, enum dm_store_kind kind,
                          const struct dm_uuid *envelope_id, const struct dm_uuid *session_id)
{
    struct dm_store_op *op = dm_store_op_create(kind, shard->options.number, dm_store_op_done);
    if (envelope_id)
        op->envelope_id = *envelope_id;
    if (session_id)
        op->session_id = *session_id;
    dm_shard_submit(shard, op);
}

uint64_t dm_shard_now(struct dm_shard *shard)
{
    if (!shard->now)
        shard->now = shard->ports.clock.mono_ms(shard->ports.clock.self);
    return shard->now;
}

uint64_t dm_shard_wall(struct dm_shard *shard)
{
    if (!shard->wall)
        shard->wall = shard->ports.clock.wall_ms(shard->ports.clock.self);
    return shard->wall;
}

struct dm_uuid dm_shard_mint(struct dm_shard *shard)
{
    return dm_uuid_mint(&shard->minter, dm_shard_wall(shard));
}

uint32_t dm_shard_number(const struct dm_shard *shard)
{
    return shard->options.number;
}

uint32_t dm_shard_owner(const struct dm_shard *shard, struct dm_slice user_id)
{
    return dm_shard_of_slot(dm_slot_of(user_id), shard->options.shards);
}

void dm_shard_slots(const struct dm_shard *shard, uint32_t *first, uint32_t *last)
{
    dm_slots_of_shard(shard->options.number, shard->options.shards, first, last);
}

struct dm_metrics *dm_shard_metrics(struct dm_shard *shard)
{
    return shard->metrics;
}

void *dm_shard_edge(const struct dm_shard *shard)
{
    return shard->ports.edge;
}

uint32_t dm_shard_close_sessions(struct dm_shard *shard, int code, struct dm_slice reason)
{
    uint32_t closed = 0;
    shard->ending = true;
    for (uint32_t i = 1; i < dm_slab_end(&shard->users); i++) {
        const struct user *user = dm_slab_peek(&shard->users, i);
        if (user && user->id.len)
            closed += dm_user_close_sessions(shard, i, code, reason);
    }
    return closed;
}

void dm_shard_finish_publishes(struct dm_shard *shard)
{
    (void)dm_publish_tick(shard, UINT64_MAX);
}

bool dm_shard_has_asked(const struct dm_shard *shard)
{
    return shard->socket_publishes != 0 || shard->asking_count != 0;
}

uint32_t dm_shard_busy(const struct dm_shard *shard)
{
    return shard->coordinations.live + shard->ops_out + !dm_list_empty(&shard->calls);
}
