/* Clients: they connect, subscribe, ack and leave, and look at all that comes. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "world.h"

/* --- sockets --- */

void client_opened(struct bed_client *bed, bool resumed)
{
    struct client *client = DM_CONTAINER(bed, struct client, bed);
    (void)resumed;
    client->opened_at = client->world->bed.step;
    memset(client->wants, 0, sizeof client->wants);
    memset(client->got, 0, sizeof client->got);
}

/* --- speaking --- */

void client_subscribe(struct client *client)
{
    uint32_t which = rand_below(&client->world->bed.rand, 2);
    char message[96];
    if (!client->bed.sock || client->native)
        return;
    snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"filters\":[{\"type\":\"%c\"}]}",
             "ab"[which]);
    if (bed_say(&client->bed, message))
        client->wants[which] = true;
}

void client_ack(struct client *client)
{
    struct world *world = client->world;
    uint32_t which = rand_below(&world->bed.rand, world->published_count);
    char message[BED_MESSAGE_MAX], id[DM_UUID_TEXT_LEN];
    struct published *published = &world->published[which];
    if (!client->bed.sock || !world->published_count || !client->got[which] ||
        world->ack_count == ACKS - 1)
        return;
    uint32_t number = world->ack_count + 1;
    dm_uuid_format(&published->id, id);
    snprintf(message, sizeof message,
             "{\"type\":\"ack\",\"envelopeId\":\"%.36s\",\"result\":%u,\"ref\":%u}", id, number,
             number);
    world->acks[number] = (struct ack){.publish = which};
    world->ack_count = number; /* before it is said: it may be answered, and told, at once */
    published->maybe_acked |= 1u << client->user;
    bed_trace(&world->bed, "client %u acks %u as %u", client->bed.number, which, number);
    (void)bed_say(&client->bed, message);
}

/* --- hearing --- */

static void hear_ok(struct world *world, struct dm_slice object)
{
    struct dm_slice ref = dm_json_get(object, DM_SLICE("ref"));
    uint32_t number = (uint32_t)dm_json_number(ref);
    struct ack *ack = &world->acks[number];
    struct client *client;
    if (number == 0 || number > world->ack_count || ack->ok_at)
        bed_fail(&world->bed, "ok to ack %u", number);
    ack->ok_at = world->bed.step;
    (void)client;
}

static bool is_true(struct dm_slice object, const char *name)
{
    return dm_slice_eq(dm_json_get(object, dm_slice_of(name)), DM_SLICE("true"));
}

/* What was asked after another was answered comes after it. */
static void check_order(struct client *client, uint32_t which)
{
    struct world *world = client->world;
    const struct published *it = &world->published[which];
    if (world->bed.store.failures || !client->native || !it->answered_at)
        return;
    for (uint32_t i = 0; i < world->published_count; i++)
        if (client->got[i] && world->published[i].asked_at > it->answered_at)
            bed_fail(&world->bed, "client %u gets %u after %u", client->bed.number, which, i);
}

static void hear_envelope(struct client *client, struct dm_slice object)
{
    struct world *world = client->world;
    struct dm_slice text = dm_json_get(object, DM_SLICE("envelopeId"));
    struct dm_uuid id;
    if (!dm_uuid_parse(dm_slice(text.at + 1, text.len - 2), &id))
        bed_fail(&world->bed, "an envelope without an id");
    struct published *published = published_of(world, &id);
    uint32_t which = (uint32_t)(published - world->published);
    bed_trace(&world->bed, "client %u gets %u%s", client->bed.number, which,
              is_true(object, "redelivered") ? " again" : "");
    if (!(published->users & (1u << client->user)))
        bed_fail(&world->bed, "client %u gets %u, which is not for it", client->bed.number, which);
    if (!client->native && !client->wants[published->type - 'a'])
        bed_fail(&world->bed, "client %u gets %u, which it did not ask for", client->bed.number,
                 which);
    if (client->got[which] && !published->forgotten)
        bed_fail(&world->bed, "client %u gets %u twice on a socket", client->bed.number, which);
    if (is_true(object, "redelivered") && !published->durable)
        bed_fail(&world->bed, "%u is redelivered, and is not durable", which);
    if (is_true(object, "redelivered") && (published->acked & (1u << client->user)))
        bed_fail(&world->bed, "%u is redelivered to %s, whose ack was answered", which,
                 client->bed.user);
    client->got[which] = true;
    check_order(client, which);
}

void client_heard(struct bed_client *bed, struct dm_slice text)
{
    struct client *client = DM_CONTAINER(bed, struct client, bed);
    struct world *world = client->world;
    struct dm_slice object = dm_json_value(text);
    if (dm_json_get(object, DM_SLICE("envelopeId")).at) {
        hear_envelope(client, object);
    } else if (dm_json_string_is(dm_json_get(object, DM_SLICE("type")), DM_SLICE("ok"))) {
        hear_ok(world, object);
        struct dm_slice ref = dm_json_get(object, DM_SLICE("ref"));
        uint32_t publish = world->acks[(uint32_t)dm_json_number(ref)].publish;
        world->published[publish].acked |= 1u << client->user;
    }
}
