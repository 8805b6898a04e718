/* Clients: they come and go, and look at all that comes. */
#include <string.h>

#include "base/err.h"
#include "codec/json.h"
#include "world.h"

/* --- sockets --- */

void clients_init(struct world *world)
{
    static const enum dm_dialect_id dialects[] = {DM_DIALECT_NATIVE,    DM_DIALECT_NATIVE,
                                                  DM_DIALECT_BROADCAST, DM_DIALECT_BROADCAST,
                                                  DM_DIALECT_NOTIFIER,  DM_DIALECT_HOPEFLOW};
    for (uint32_t i = 0; i < CLIENTS; i++) {
        struct client *client = &world->clients[i];
        client->world = world;
        client->user = i % USERS;
        client->bed.bed = &world->bed;
        client->bed.number = i;
        client->bed.user = user_names[client->user];
        client->bed.dialect =
            i < USERS ? DM_DIALECT_NATIVE : dialects[rand_below(&world->bed.rand, 6)];
    }
}

void client_connect(struct client *client)
{
    if (client->bed.asking || client->bed.sock)
        return;
    client->channel = rand_below(&client->world->bed.rand, CHANNELS);
    client->bed.channel = channel_names[client->channel];
    bed_connect(&client->bed);
}

void client_opened(struct bed_client *bed, bool resumed)
{
    struct client *client = client_of(bed);
    (void)resumed;
    client->opened_at = bed->bed->step;
    memset(client->wants, 0, sizeof client->wants);
    memset(client->got, 0, sizeof client->got);
    memset(client->sees, 0, sizeof client->sees);
    client->hears = 0;
    presence_opened(client);
}

static void went(struct client *client)
{
    sends_left(client);
    presence_left(client);
}

void client_leave(struct client *client, bool goodbye)
{
    if (!client->bed.sock)
        return;
    went(client);
    bed_leave(&client->bed, goodbye);
}

void client_closed(struct bed_client *bed, int code)
{
    struct client *client = client_of(bed);
    bool may = code == 1000 || code == 1012 || code == 1013 || code == 4009 ||
               (code == 4403 && listens(client));
    if (!may)
        bed_fail(bed->bed, "client %u is closed with %d", bed->number, code);
    went(client);
}

/* --- hearing --- */

static struct dm_slice text_of(struct dm_slice string)
{
    return string.len >= 2 ? dm_slice(string.at + 1, string.len - 2) : string;
}

static bool is(struct dm_slice object, const char *name, const char *text)
{
    return dm_json_string_is(dm_json_get(object, dm_slice_of(name)), dm_slice_of(text));
}

/* The number that a send's payload has. */
static uint32_t number_in(struct client *client, struct dm_slice payload)
{
    struct dm_slice number =
        dm_json_kind(payload) == DM_JSON_OBJECT ? dm_json_get(payload, DM_SLICE("n")) : DM_NO_SLICE;
    uint32_t which = number.at ? (uint32_t)dm_json_number(number) : SENDS;
    if (which >= client->world->send_count)
        bed_fail(client->bed.bed, "a payload that nobody has sent");
    return which;
}

static void check_type(struct client *client, uint32_t which, struct dm_slice object,
                       const char *key)
{
    const struct send *send = &client->world->sends[which];
    char type[] = {(char)('a' + send->type), 0};
    if (!is(object, key, send->whisper ? "whisper" : type))
        bed_fail(client->bed.bed, "%u comes with another type", which);
    if (send->whisper && is_native(client) &&
        !is(object, "from", user_names[client->world->clients[send->from].user]))
        bed_fail(client->bed.bed, "whisper %u is not from who said it", which);
}

/* hopeflow and native */
static void hear_envelope(struct client *client, struct dm_slice object)
{
    struct dm_slice payload = dm_json_get(object, DM_SLICE("payload"));
    struct dm_slice channel = text_of(dm_json_get(object, DM_SLICE("channel")));
    bool again = dm_slice_eq(dm_json_get(object, DM_SLICE("redelivered")), DM_SLICE("true"));
    bool came = is(object, "type", "presence.join");
    if (!is(object, "userId", client->bed.user))
        bed_fail(client->bed.bed, "an envelope of another user");
    if (came || is(object, "type", "presence.leave")) {
        presence_heard(client, channel_named(client->world, channel), payload, came);
        return;
    }
    uint32_t which = number_in(client, payload);
    check_type(client, which, object, "type");
    send_got(client, channel, which, again);
}

static void hear_native(struct client *client, struct dm_slice object)
{
    if (dm_json_get(object, DM_SLICE("envelopeId")).at)
        hear_envelope(client, object);
    else if (!is(object, "type", "welcome"))
        commands_hear(client, object);
}

static void hear_event(struct client *client, struct dm_slice object)
{
    struct dm_slice data = dm_json_get(object, DM_SLICE("data"));
    bool came = is(object, "event", "presence:join");
    if (came || is(object, "event", "presence:leave")) {
        presence_heard(client, client->channel, data, came);
        return;
    }
    uint32_t which = number_in(client, data);
    check_type(client, which, object, "event");
    send_got(client, channel_name(client->channel), which, false);
}

static void hear_push(struct client *client, struct dm_slice object)
{
    struct dm_slice channel = text_of(dm_json_get(object, DM_SLICE("channel")));
    uint32_t which = number_in(client, dm_json_get(object, DM_SLICE("data")));
    check_type(client, which, object, "type");
    send_got(client, channel, which, false);
}

void client_heard(struct bed_client *bed, struct dm_slice text)
{
    struct client *client = client_of(bed);
    if (!dm_json_valid(text) || dm_json_kind(dm_json_value(text)) != DM_JSON_OBJECT)
        bed_fail(bed->bed, "a message that is no object");
    struct dm_slice object = dm_json_value(text);
    if (bed->dialect == DM_DIALECT_BROADCAST)
        hear_event(client, object);
    else if (bed->dialect == DM_DIALECT_NOTIFIER)
        hear_push(client, object);
    else if (is_native(client))
        hear_native(client, object);
    else
        hear_envelope(client, object);
}
