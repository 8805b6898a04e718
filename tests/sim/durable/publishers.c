/* Publishers: they publish, ask for the same again, and look what has become of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "ports/store_publish.h"
#include "world.h"

struct call {
    struct dm_publish publish;
    struct dm_publish_look look;
    struct world *world;
    struct dm_slice targets[USERS];
    uint32_t which, asked_at, life;
    bool again;
};

struct published *published_of(struct world *world, const struct dm_uuid *id)
{
    for (uint32_t i = 0; i < world->published_count; i++)
        if (dm_uuid_eq(&world->published[i].id, id))
            return &world->published[i];
    bed_fail(&world->bed, "an id that nobody has published");
}

/* Every result was sent, once; and every ack that was answered before it was asked is there. */
void answer_check(struct world *world, const struct published *published, struct dm_slice results,
                  uint32_t asked_at)
{
    uint32_t which = (uint32_t)(published - world->published);
    bool there[ACKS] = {false};
    while (results.len) {
        struct dm_slice one = dm_slice_split(&results, ',');
        uint32_t number = (uint32_t)dm_json_number(one);
        if (number == 0 || number > world->ack_count || world->acks[number].publish != which)
            bed_fail(&world->bed, "%u is told of ack %u", which, number);
        if (there[number])
            bed_fail(&world->bed, "%u is told of ack %u twice", which, number);
        there[number] = true;
    }
    for (uint32_t i = 1; i <= world->ack_count; i++)
        if (world->acks[i].publish == which && world->acks[i].ok_at &&
            world->acks[i].ok_at < asked_at && !there[i])
            bed_fail(&world->bed, "%u is not told of ack %u, which was answered", which, i);
}

/* --- asking --- */

static void check_answer(struct call *call)
{
    struct world *world = call->world;
    struct published *published = &world->published[call->which];
    struct dm_slice results = dm_publish_results(&call->publish);
    if (published->durable || published->repeatable)
        answer_check(world, published, results, call->asked_at);
    if (!published->answered_at && !call->again) {
        published->answered_at = world->bed.step;
        published->answered_in = world->bed.life;
    }
    if (published->durable || !published->repeatable)
        return;
    if (!published->told[0])
        snprintf(published->told, sizeof published->told, "(%.*s)", (int)results.len, results.at);
    else if (!dm_slice_eq(dm_slice(published->told + 1, strlen(published->told) - 2), results))
        bed_fail(&world->bed, "%u is told %.*s, and was told %s", call->which, (int)results.len,
                 results.at, published->told);
}

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    struct call *call = DM_CONTAINER(publish, struct call, publish);
    struct world *world = call->world;
    (void)here;
    world->bed.open_calls--;
    bed_trace(&world->bed, "publish %u is answered: %d, delivered %u, results %.*s", call->which,
              publish->err, publish->delivered, (int)dm_publish_results(publish).len,
              dm_publish_results(publish).at);
    if (!world->bed.dead && publish->err == DM_ERR_CONFLICT)
        bed_fail(&world->bed, "publish %u is in conflict", call->which);
    if (publish->err == DM_ERR_UNAVAILABLE && publish->delivered)
        world->published[call->which].forgotten = true;
    if (!world->bed.dead && !publish->err)
        check_answer(call);
    dm_publish_dispose(publish);
    free(call);
}

static void ask(struct world *world, uint32_t which, bool again)
{
    const struct published *it = &world->published[which];
    struct call *call = DM_NEW(struct call);
    struct dm_publish *publish = &call->publish;
    char type[] = {it->type, 0};
    call->world = world;
    call->which = which;
    call->again = again;
    call->asked_at = world->bed.step;
    for (uint32_t i = 0; i < USERS; i++)
        if (it->users & (1u << i))
            call->targets[publish->target_count++] = dm_slice_of(user_name(i));
    publish->targets = call->targets;
    const struct dm_envelope_draft draft = {.id = it->id,
                                            .ts = world->bed.now_ms,
                                            .type = dm_slice_of(type),
                                            .payload = DM_SLICE("{\"x\":1}")};
    publish->envelope = dm_envelope_create(&draft);
    publish->timeout_ms = it->timeout_ms;
    publish->durable = it->durable;
    publish->repeatable = it->repeatable;
    publish->ttl_ms = 1000000;
    publish->principal = DM_SLICE("key:sim");
    publish->done = published;
    world->bed.open_calls++;
    dm_publish(bed_any_shard(&world->bed), publish);
}

void publisher_publish(struct world *world)
{
    uint32_t which = world->published_count;
    if (which == PUBLISHES)
        return;
    struct published *it = &world->published[which];
    uint32_t kind = rand_below(&world->bed.rand, 4);
    *it = (struct published){.id = dm_shard_mint(world->bed.shard[0]),
                             .durable = kind & 1,
                             .repeatable = kind & 2,
                             .type = "ab"[rand_below(&world->bed.rand, 2)],
                             .timeout_ms = rand_chance(&world->bed.rand, 70) ? 800 : 0,
                             .asked_at = world->bed.step,
                             .asked_in = world->bed.life};
    it->users = rand_chance(&world->bed.rand, 60)
                    ? 1u << rand_below(&world->bed.rand, USERS)
                    : 1 + rand_below(&world->bed.rand, (1u << USERS) - 1);
    world->published_count++;
    bed_trace(&world->bed, "publish %u to %x, type %c, %s%s", which, it->users, it->type,
              it->durable ? "durable " : "", it->repeatable ? "repeatable" : "");
    ask(world, which, false);
}

/* Most often one of the last. */
void publisher_repeat(struct world *world)
{
    uint32_t count = world->published_count, last = count < 4 ? count : 4;
    uint32_t which = rand_chance(&world->bed.rand, 70)
                         ? count - last + rand_below(&world->bed.rand, last)
                         : rand_below(&world->bed.rand, count);
    if (world->published_count && world->published[which].repeatable) {
        bed_trace(&world->bed, "publish %u again", which);
        ask(world, which, true);
    }
}

/* --- looking --- */

static void looked(struct dm_publish_look *look, struct dm_shard *here)
{
    struct call *call = DM_CONTAINER(look, struct call, look);
    struct world *world = call->world;
    const struct published *it = &world->published[call->which];
    (void)here;
    world->bed.open_calls--;
    if (!world->bed.dead && !look->err)
        answer_check(world, it, dm_buf_slice(&look->found->results), call->asked_at);
    if (!world->bed.dead && look->err == DM_ERR_NOT_FOUND && it->answered_at &&
        it->answered_at < call->asked_at && (it->durable || it->repeatable))
        bed_fail(&world->bed, "publish %u was answered and is not there", call->which);
    free(call);
}

void publisher_look(struct world *world)
{
    if (!world->published_count)
        return;
    struct call *call = DM_NEW(struct call);
    call->world = world;
    call->asked_at = world->bed.step;
    call->which = rand_below(&world->bed.rand, world->published_count);
    call->look.envelope_id = world->published[call->which].id;
    call->look.done = looked;
    world->bed.open_calls++;
    dm_publish_look_up(bed_any_shard(&world->bed), &call->look);
}
