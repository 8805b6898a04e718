/* Clients: they connect, subscribe, ack and leave, and look at all that comes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "world.h"

/* --- connecting --- */

struct asked {
    struct dm_admission admission;
    struct asked *next;
    struct client *client;
    uint32_t life;
};

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    struct asked *asked = DM_CONTAINER(admission, struct asked, admission);
    struct world *world = asked->client->world;
    (void)here;
    world->open_calls--;
    if (admission->err) {
        asked->client->asking = false;
        free(asked);
        return;
    }
    asked->next = world->granted;
    world->granted = asked;
}

/* Here a secret is its own hash, the last byte first. */
static void hash(const char secret[DM_RESUME_SECRET_LEN], unsigned char *out)
{
    for (uint32_t i = 0; i < DM_RESUME_SECRET_LEN; i++)
        out[i] = (unsigned char)secret[DM_RESUME_SECRET_LEN - 1 - i];
}

void client_connect(struct client *client)
{
    struct world *world = client->world;
    char secret[DM_RESUME_SECRET_LEN + 1];
    if (client->asking || client->sock)
        return;
    struct asked *asked = DM_NEW(struct asked);
    struct dm_slice user = dm_slice_of(user_name(client->user));
    asked->client = client;
    asked->life = world->life;
    asked->admission.dialect = client->native ? DM_DIALECT_NATIVE : DM_DIALECT_HOPEFLOW;
    asked->admission.user_len = (uint8_t)user.len;
    memcpy(asked->admission.user_id, user.at, user.len);
    asked->admission.done = admitted;
    snprintf(secret, sizeof secret, "secret-%025" PRIu64, ++world->secrets_made);
    memcpy(asked->admission.next_secret, secret, DM_RESUME_SECRET_LEN);
    hash(secret, asked->admission.next_resume);
    asked->admission.resuming = client->native && client->has_secret;
    if (asked->admission.resuming)
        hash(client->secret, asked->admission.resume);
    client->asking = true;
    world->open_calls++;
    trace(world, "client %u of %s asks", client->number, user_name(client->user));
    dm_session_admit(world->shard[rand_below(&world->rand, world->shards)], &asked->admission);
}

static void open_socket(struct asked *asked)
{
    struct client *client = asked->client;
    struct world *world = client->world;
    struct dm_slice user = dm_slice_of(user_name(client->user));
    uint32_t owner = dm_shard_owner(world->shard[0], user);
    uint32_t sock = sock_open(world, client->number, owner);
    client->sock = sock;
    client->opened_at = world->step;
    memset(client->wants, 0, sizeof client->wants);
    memset(client->got, 0, sizeof client->got);
    client->has_secret = true;
    memcpy(client->secret, asked->admission.next_secret, sizeof client->secret);
    trace(world, "client %u of %s opens socket %u, resumed %d", client->number,
          user_name(client->user), sock, asked->admission.resumed);
    uint32_t number = dm_session_open(world->shard[owner], &asked->admission, sock);
    world->socks[sock].number = number;
    if (!number)
        client->sock = 0;
}

bool client_use_grant(struct world *world)
{
    struct asked *asked = world->granted;
    if (!asked)
        return false;
    world->granted = asked->next;
    asked->client->asking = false;
    if (world->dead || rand_chance(&world->rand, 10))
        dm_session_withdraw(world->shard[rand_below(&world->rand, world->shards)],
                            &asked->admission);
    else
        open_socket(asked);
    dm_admission_dispose(&asked->admission);
    free(asked);
    return true;
}

void client_leave(struct client *client, bool goodbye)
{
    struct world *world = client->world;
    struct sock *sock = &world->socks[client->sock];
    trace(world, "client %u %s", client->number, goodbye ? "says goodbye" : "drops");
    sock->open = false;
    client->sock = 0;
    client->has_secret &= !goodbye;
    dm_session_closed(world->shard[sock->shard], sock->number, goodbye);
}

void client_closed(struct world *world, uint32_t sock, int code)
{
    struct client *client = &world->clients[world->socks[sock].client];
    trace(world, "client %u's socket %u is closed with %d", client->number, sock, code);
    if (client->sock == sock)
        client->sock = 0;
}

/* --- speaking --- */

void client_subscribe(struct client *client)
{
    uint32_t which = rand_below(&client->world->rand, 2);
    char message[96];
    if (!client->sock || client->native)
        return;
    snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"filters\":[{\"type\":\"%c\"}]}",
             "ab"[which]);
    if (sock_say(client->world, client->sock, message))
        client->wants[which] = true;
}

void client_ack(struct client *client)
{
    struct world *world = client->world;
    uint32_t which = rand_below(&world->rand, world->published_count);
    char message[MESSAGE_MAX], id[DM_UUID_TEXT_LEN];
    struct published *published = &world->published[which];
    if (!client->sock || !world->published_count || !client->got[which] ||
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
    trace(world, "client %u acks %u as %u", client->number, which, number);
    (void)sock_say(world, client->sock, message);
}

/* --- hearing --- */

static void hear_ok(struct world *world, struct dm_slice object)
{
    struct dm_slice ref = dm_json_get(object, DM_SLICE("ref"));
    uint32_t number = (uint32_t)dm_json_number(ref);
    struct ack *ack = &world->acks[number];
    struct client *client;
    if (number == 0 || number > world->ack_count || ack->ok_at)
        fail(world, "ok to ack %u", number);
    ack->ok_at = world->step;
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
    if (world->store.failures || !client->native || !it->answered_at)
        return;
    for (uint32_t i = 0; i < world->published_count; i++)
        if (client->got[i] && world->published[i].asked_at > it->answered_at)
            fail(world, "client %u gets %u after %u", client->number, which, i);
}

static void hear_envelope(struct client *client, struct dm_slice object)
{
    struct world *world = client->world;
    struct dm_slice text = dm_json_get(object, DM_SLICE("envelopeId"));
    struct dm_uuid id;
    if (!dm_uuid_parse(dm_slice(text.at + 1, text.len - 2), &id))
        fail(world, "an envelope without an id");
    struct published *published = published_of(world, &id);
    uint32_t which = (uint32_t)(published - world->published);
    trace(world, "client %u gets %u%s", client->number, which,
          is_true(object, "redelivered") ? " again" : "");
    if (!(published->users & (1u << client->user)))
        fail(world, "client %u gets %u, which is not for it", client->number, which);
    if (!client->native && !client->wants[published->type - 'a'])
        fail(world, "client %u gets %u, which it did not ask for", client->number, which);
    if (client->got[which] && !published->forgotten)
        fail(world, "client %u gets %u twice on a socket", client->number, which);
    if (is_true(object, "redelivered") && !published->durable)
        fail(world, "%u is redelivered, and is not durable", which);
    if (is_true(object, "redelivered") && (published->acked & (1u << client->user)))
        fail(world, "%u is redelivered to %s, whose ack was answered", which,
             user_name(client->user));
    client->got[which] = true;
    check_order(client, which);
}

void client_heard(struct world *world, uint32_t sock, struct dm_slice text)
{
    struct client *client = &world->clients[world->socks[sock].client];
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
