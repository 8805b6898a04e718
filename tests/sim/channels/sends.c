/*
 * Sends to channels, and whispers: who must get them, who may, and in which
 * order. A send is checked when all is at rest and the store is well.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "ports/store_channel.h"
#include "ports/store_publish.h"
#include "world.h"

/* --- what is asked --- */

static bool takes(const struct world *world, const struct send *send, const struct client *client)
{
    if (!client->bed.sock)
        return false;
    if (listens(client))
        return client->channel == send->channel;
    return client->bed.dialect != DM_DIALECT_HOPEFLOW ||
           (client->wants[send->type] && !world->bed.socks[client->bed.sock].held[0]);
}

static void look_who_is_in(struct world *world, struct send *send)
{
    send->members = send->strangers = 0;
    for (uint32_t user = 0; user < USERS; user++) {
        const struct membership *at = &world->members[send->channel][user];
        if (!at->shaky && at->is)
            send->members |= 1u << user;
        if (!at->shaky && !at->is)
            send->strangers |= 1u << user;
    }
}

struct send *send_begin(struct world *world, uint32_t channel)
{
    struct send *send = &world->sends[world->send_count];
    if (world->send_count == SENDS)
        return NULL;
    world->send_count++;
    send->channel = channel;
    send->type = rand_below(&world->bed.rand, 2);
    send->asked_at = world->bed.step;
    send->failures = world->failures_at_rest;
    bool ends = world->extras[channel].endings != 0;
    send->extras_high = ends ? world->extras[channel].was : world->extras[channel].is;
    send->extras_low = ends ? 0 : send->extras_high;
    look_who_is_in(world, send);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (takes(world, send, &world->clients[i]))
            send->through |= 1u << i;
    return send;
}

/* user USERS: those that never connect */
void sends_shake(struct world *world, uint32_t channel, uint32_t user)
{
    for (uint32_t i = 0; i < world->send_count; i++) {
        struct send *send = &world->sends[i];
        bool open = send->asking || (send->whisper && !send->answered_at && !send->checked);
        if (send->channel != channel || !open)
            continue;
        if (user == USERS)
            send->extras_low = 0;
        send->members &= ~(1u << user);
        send->strangers &= ~(1u << user);
    }
}

/* As the commit has it. */
void sends_recorded(struct world *world, struct dm_store_op *op)
{
    if (op->publish->found != DM_RECORDED_NEW)
        return;
    for (uint32_t i = 0; i < world->send_count; i++) {
        struct send *send = &world->sends[i];
        if (!dm_uuid_eq(&send->id, &op->envelope_id))
            continue;
        if (send->recorded)
            send->loose = true;
        send->recorded = true;
        send->targets |= members_mask(world, send->channel);
        send->target_extras = world->extras[send->channel].is;
    }
}

/* --- asking --- */

struct asked {
    struct dm_publish publish;
    struct world *world;
    uint32_t which;
    bool again;
};

/* A listener and a notifier are sent it before it is answered. */
static void check_at_once(struct world *world, const struct send *send)
{
    uint32_t which = (uint32_t)(send - world->sends);
    if (send->loose || send->answered_in != world->bed.life)
        return;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        bool pushed = client->bed.dialect == DM_DIALECT_NOTIFIER &&
                      (send->members & (1u << client->user)) &&
                      world->bed.store.failures == send->failures;
        if ((send->through & (1u << i)) && (listens(client) || pushed) && !client->got[which])
            bed_fail(&world->bed, "%u is answered, and client %u did not get it", which, i);
    }
}

static uint32_t bits(uint32_t mask)
{
    return (uint32_t)__builtin_popcount(mask);
}

static void check_members(struct world *world, const struct send *send)
{
    uint32_t which = (uint32_t)(send - world->sends), told = send->told_members;
    uint32_t low = bits(send->members) + send->extras_low;
    uint32_t high = USERS - bits(send->strangers) + send->extras_high;
    if (send->loose || send->repeated) /* of several that ask only one is told */
        return;
    if (send->recorded && told != bits(send->targets) + send->target_extras)
        bed_fail(&world->bed, "%u is told of %u members, and was for %x and %u", which, told,
                 send->targets, send->target_extras);
    if (!send->recorded && (send->durable || send->repeatable))
        bed_fail(&world->bed, "%u is answered, and not recorded", which);
    if (!send->recorded && (told < low || told > high))
        bed_fail(&world->bed, "%u is told of %u members, and there were %u to %u", which, told, low,
                 high);
}

static void check_results(struct world *world, uint32_t which, struct dm_slice results)
{
    bool there[ACKS] = {false};
    while (results.len) {
        uint32_t number = (uint32_t)atoi(dm_slice_split(&results, ',').at);
        if (number == 0 || number > world->ack_count || world->acks[number].send != which ||
            there[number])
            bed_fail(&world->bed, "%u is told of ack %u", which, number);
        there[number] = true;
    }
}

static void take_answer(struct asked *asked)
{
    struct world *world = asked->world;
    struct send *send = &world->sends[asked->which];
    const struct dm_publish *publish = &asked->publish;
    bed_trace(&world->bed, "send %u is answered: %d, members %u, delivered %u", asked->which,
              publish->err, publish->members, publish->delivered);
    expect_failures(world, publish->err, "a send");
    check_results(world, asked->which, dm_publish_results(publish));
    if (publish->client_count > publish->delivered)
        bed_fail(&world->bed, "%u is told of more clients than sessions", asked->which);
    if (asked->again || send->answered_at) {
        send->loose |= publish->err != DM_OK;
        return;
    }
    send->answered_at = world->bed.step;
    send->answered_in = world->bed.life;
    send->refused = publish->err != DM_OK;
    send->loose |= send->refused; /* it may come once more to those that have it */
    send->told_members = publish->members;
    send->told_delivered = publish->delivered;
    if (send->refused)
        return;
    check_at_once(world, send);
    check_members(world, send);
}

static void answered(struct dm_publish *publish, struct dm_shard *here)
{
    struct asked *asked = DM_CONTAINER(publish, struct asked, publish);
    struct world *world = asked->world;
    (void)here;
    world->bed.open_calls--;
    if (world->bed.dead)
        world->sends[asked->which].loose = true;
    else
        take_answer(asked);
    world->sends[asked->which].asking--;
    dm_publish_dispose(publish);
    free(asked);
}

static void ask(struct world *world, uint32_t which, bool again)
{
    struct send *send = &world->sends[which];
    struct asked *asked = DM_NEW(struct asked);
    struct dm_publish *publish = &asked->publish;
    char type[] = {(char)('a' + send->type), 0}, payload[24];
    asked->world = world;
    asked->which = which;
    asked->again = again;
    snprintf(payload, sizeof payload, "{\"n\":%u}", which);
    publish->envelope = dm_envelope_create(&(struct dm_envelope_draft){
        .id = send->id,
        .ts = world->bed.now_ms,
        .type = dm_slice_of(type),
        .payload = dm_slice_of(payload),
        .channel = channel_name(send->channel),
    });
    publish->channel = publish->envelope->channel;
    publish->timeout_ms = send->timeout_ms;
    publish->durable = send->durable;
    publish->repeatable = send->repeatable;
    publish->ttl_ms = 100000000;
    publish->principal = DM_SLICE("key:sim");
    publish->done = answered;
    world->bed.open_calls++;
    send->asking++;
    dm_publish(bed_any_shard(&world->bed), publish);
}

void send_make(struct world *world)
{
    static const uint32_t timeouts[] = {0, 0, 30, 400};
    struct send *send = send_begin(world, rand_below(&world->bed.rand, CHANNELS));
    if (!send)
        return;
    uint32_t kind = rand_below(&world->bed.rand, 8);
    uint32_t which = (uint32_t)(send - world->sends);
    send->id = dm_shard_mint(world->bed.shard[0]);
    send->durable = kind == 1 || kind == 3;
    send->repeatable = kind == 2 || kind == 3;
    send->timeout_ms = timeouts[rand_below(&world->bed.rand, 4)];
    bed_trace(&world->bed, "send %u to %s (members %x, not %x), type %c, %s%s%u ms", which,
              channel_names[send->channel], send->members, send->strangers, (int)('a' + send->type),
              send->durable ? "durable " : "", send->repeatable ? "repeatable " : "",
              send->timeout_ms);
    ask(world, which, false);
}

/* While it runs it is the same; after an error, or a crash, it may be sent anew. */
void send_again(struct world *world)
{
    uint32_t count = world->send_count, last = count < 8 ? count : 8;
    uint32_t which = count - last + rand_below(&world->bed.rand, last);
    struct send *send = &world->sends[which];
    if (!count || !send->repeatable)
        return;
    bed_trace(&world->bed, "send %u again", which);
    send->repeated = true;
    if (send->refused || (!send->asking && !send->answered_at) || world->bed.store.failures) {
        send->loose = true;
        look_who_is_in(world, send);
        if (send->answered_at) /* to whom it went before is not known any more */
            send->strangers = 0;
    }
    ask(world, which, true);
}

/* --- what comes --- */

static void check_order(struct client *client, uint32_t which)
{
    struct world *world = client->world;
    const struct send *send = &world->sends[which];
    for (uint32_t i = 0; i < client->hears; i++) {
        uint32_t earlier = client->heard[i];
        const struct send *other = &world->sends[earlier];
        if (!world->bed.store.failures && !send->loose && send->answered_at &&
            other->asked_at > send->answered_at)
            bed_fail(&world->bed, "client %u gets %u after %u", client->bed.number, which, earlier);
        if (other->channel != send->channel || other->loose || send->loose)
            continue;
        if (world->bed.store.failures && (send->durable || other->durable))
            continue; /* what is owed to whom could not be loaded comes when it can be */
        if (world->before[which][earlier])
            bed_fail(&world->bed, "client %u gets %u before %u, another the other way round",
                     client->bed.number, earlier, which);
        world->before[earlier][which] = true;
    }
    client->heard[client->hears++] = which;
}

static void check_may(struct client *client, const struct send *send, uint32_t which)
{
    struct bed *bed = client->bed.bed;
    uint32_t bit = 1u << client->user;
    if (send->whisper && send->from == client->bed.number && send->from_sock == client->bed.sock)
        bed_fail(bed, "client %u hears its own whisper %u", client->bed.number, which);
    if (listens(client)) {
        if (client->channel != send->channel)
            bed_fail(bed, "client %u gets %u, of another channel", client->bed.number, which);
        return;
    }
    bool recorded = send->durable || send->repeatable;
    if (recorded ? !(send->targets & bit) : (send->strangers & bit) != 0)
        bed_fail(bed, "client %u gets %u, and is no member", client->bed.number, which);
    if (client->bed.dialect == DM_DIALECT_HOPEFLOW && !client->wants[send->type])
        bed_fail(bed, "client %u gets %u, which it did not ask for", client->bed.number, which);
}

void send_got(struct client *client, struct dm_slice channel, uint32_t which, bool again)
{
    struct world *world = client->world;
    struct send *send = &world->sends[which];
    uint32_t bit = 1u << client->bed.number;
    bed_trace(&world->bed, "client %u gets %u%s", client->bed.number, which, again ? " again" : "");
    if (client->bed.dialect != DM_DIALECT_HOPEFLOW &&
        !dm_slice_eq(channel, channel_name(send->channel)))
        bed_fail(&world->bed, "client %u gets %u of another name", client->bed.number, which);
    check_may(client, send, which);
    if (again && !send->durable)
        bed_fail(&world->bed, "%u is redelivered, and is not durable", which);
    /* Where a user could not be loaded all behind what it missed comes again. */
    bool excused = send->loose || (again && world->bed.store.failures);
    if (!excused && (client->got[which] || (!again && (send->live & bit))))
        bed_fail(&world->bed, "client %u gets %u twice", client->bed.number, which);
    client->got[which] = true;
    if (again) {
        send->again |= bit;
        return;
    }
    send->live |= bit;
    if (client->hears < SENDS)
        check_order(client, which);
}

void sends_forgotten(struct world *world, uint32_t user)
{
    for (uint32_t i = 0; i < world->send_count; i++)
        world->sends[i].forgotten |= 1u << user;
}

void sends_left(struct client *client)
{
    bool acks =
        client->bed.dialect == DM_DIALECT_NATIVE || client->bed.dialect == DM_DIALECT_HOPEFLOW;
    for (uint32_t i = 0; i < client->world->send_count; i++) {
        struct send *send = &client->world->sends[i];
        send->through &= ~(1u << client->bed.number);
        send->gone += acks && !send->checked && !client->got[i];
    }
}

/* --- at rest --- */

/* All its sockets that were there all the time, or none; all, where it was a member all the time.
 */
static void check_user(struct world *world, const struct send *send, uint32_t user)
{
    uint32_t which = (uint32_t)(send - world->sends), got = 0, missed = 0;
    bool failed = world->bed.store.failures != send->failures;
    bool must = (send->members & (1u << user)) != 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        if (client->user != user || listens(client) || !(send->through & (1u << i)))
            continue;
        if (failed && client->bed.dialect == DM_DIALECT_NOTIFIER && send->durable)
            continue; /* which is not redelivered */
        got += client->got[which];
        missed += !client->got[which];
    }
    if (missed && (must || got))
        bed_fail(&world->bed, "%u came to %u sockets of %s, and to %u it did not (member: %d)",
                 which, got, user_names[user], missed, must);
}

static void check_listeners(struct world *world, const struct send *send)
{
    uint32_t which = (uint32_t)(send - world->sends);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if ((send->through & (1u << i)) && listens(&world->clients[i]) &&
            !world->clients[i].got[which])
            bed_fail(&world->bed, "client %u listens and does not get %u", i, which);
}

static void check_delivered(struct world *world, const struct send *send)
{
    uint32_t which = (uint32_t)(send - world->sends);
    bool made_up = send->durable && world->bed.store.failures != send->failures; /* later, as new */
    uint32_t low = made_up ? 0 : bits(send->live),
             high = bits(send->live | send->again) + send->gone;
    if (send->told_delivered < low || send->told_delivered > high)
        bed_fail(&world->bed, "%u was delivered to %u sessions, and is told of %u (to %u)", which,
                 low, send->told_delivered, high);
}

static void check_send(struct world *world, const struct send *send)
{
    bool answered = send->answered_at && !send->refused;
    bool lived = send->answered_in == world->bed.life;
    bool certain = world->bed.store.failures == send->failures && (send->asking || send->certain);
    if (send->loose)
        return;
    if ((answered && lived) || certain) {
        for (uint32_t user = 0; user < USERS; user++)
            check_user(world, send, user);
        check_listeners(world, send);
    }
    if (answered && lived && !send->whisper)
        check_delivered(world, send);
}

void sends_check(struct world *world)
{
    for (uint32_t i = 0; i < world->send_count; i++) {
        if (world->sends[i].checked)
            continue;
        check_send(world, &world->sends[i]);
        world->sends[i].checked = !world->sends[i].asking;
    }
}

/* No two sockets of all disagree, by way of others neither. */
void sends_check_order(struct world *world)
{
    static uint64_t after[SENDS][(SENDS + 63) / 64];
    memset(after, 0, sizeof after);
    for (uint32_t i = 0; i < world->send_count; i++)
        for (uint32_t j = 0; j < world->send_count; j++)
            if (world->before[i][j])
                after[i][j / 64] |= (uint64_t)1 << (j % 64);
    for (uint32_t via = 0; via < world->send_count; via++)
        for (uint32_t i = 0; i < world->send_count; i++)
            if (after[i][via / 64] >> (via % 64) & 1)
                for (size_t word = 0; word < DM_COUNT(after[i]); word++)
                    after[i][word] |= after[via][word];
    for (uint32_t i = 0; i < world->send_count; i++)
        if (after[i][i / 64] >> (i % 64) & 1)
            bed_fail(&world->bed, "%u comes before itself", i);
}

/* A session that is new gets what its user is owed: the members when it was recorded. */
static void check_owed(struct world *world, uint32_t user)
{
    struct client *client = &world->clients[user]; /* a native one of that user */
    client_leave(client, true);
    client->bed.has_secret = false;
    while (!client->bed.sock) {
        client_connect(client);
        world_rest(world);
    }
    bed_pass(&world->bed, 50, 20);
    for (uint32_t i = 0; i < world->send_count; i++) {
        const struct send *send = &world->sends[i];
        bool is_owed = send->durable && send->recorded && (send->targets & (1u << user)) &&
                       !((send->maybe_acked | send->forgotten) & (1u << user));
        if (is_owed && !send->loose && !client->got[i])
            bed_fail(&world->bed, "%s is owed %u, and does not get it", user_names[user], i);
    }
}

void sends_check_owed(struct world *world)
{
    for (uint32_t user = 0; user < USERS; user++)
        check_owed(world, user);
}
