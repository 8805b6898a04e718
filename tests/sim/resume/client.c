/* Clients: each means to have one session, loses its socket, and wants the session back. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "world.h"

static void make_secret(struct world *world, char out[SECRET])
{
    char text[SECRET + 1];
    snprintf(text, sizeof text, "secret-%025" PRIu64, ++world->secrets_made);
    memcpy(out, text, SECRET);
}

static void hash(const char secret[SECRET], unsigned char out[SECRET])
{
    for (uint32_t i = 0; i < SECRET; i++)
        out[i] = (unsigned char)secret[SECRET - 1 - i];
}

static bool same(const struct secret *a, const struct secret *b)
{
    return a->is && b->is && memcmp(a->text, b->text, SECRET) == 0;
}

static bool is_sure(const struct client *client)
{
    const struct world *world = client->world;
    return client->sure && !world->disconnecting[client->user] &&
           world->store.failures == client->opened_failures;
}

static void note_ended(const struct client *client)
{
    struct world *world = client->world;
    world->ended = dm_realloc(world->ended, (world->ended_count + 1) * sizeof *world->ended);
    world->ended[world->ended_count++] = client->session;
}

bool has_ended(const struct world *world, const struct dm_uuid *session)
{
    for (uint32_t i = 0; i < world->ended_count; i++)
        if (dm_uuid_eq(&world->ended[i], session))
            return true;
    return false;
}

bool client_is_known(const struct client *client, const struct row *row)
{
    unsigned char print[SECRET];
    hash(client->now.text, print);
    return memcmp(row->resume, print, SECRET) == 0 ||
           (row->has_before && memcmp(row->before, print, SECRET) == 0);
}

/* --- connecting --- */

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    struct asked *asked = DM_CONTAINER(admission, struct asked, admission);
    struct world *world = asked->client->world;
    (void)here;
    world->asked_open--;
    trace(world, "client %u is admitted: err %d, resumed %d", asked->client->number, admission->err,
          admission->resumed);
    if (admission->err) {
        if (admission->err != DM_ERR_UNAVAILABLE && admission->err != DM_ERR_COMMIT_UNKNOWN)
            fail(world, "an admission fails with %d", admission->err);
        asked->client->asking = false;
        asked->client->sure = false; /* a failed attempt may have been written all the same */
        free(asked);
        return;
    }
    /* What has happened to the session since it asked may have come first. */
    const struct client *client = asked->client;
    bool counts = same(&asked->used, &client->now) || same(&asked->used, &client->before);
    uint64_t away = client->dropped_ms ? world->now_ms - client->dropped_ms : 0;
    bool must =
        asked->must && counts && away + SLACK_MS < WINDOW_MS && is_sure(client) && !client->ended;
    if (!admission->resumed && must)
        fail(world, "client %u does not get its session back", asked->client->number);
    if (admission->resumed && asked->must_not && world->store.failures == client->ended_failures)
        fail(world, "client %u gets a session that had ended", asked->client->number);
    asked->next = world->granted;
    world->granted = asked;
}

static void ask(struct client *client, const struct secret *secret)
{
    struct world *world = client->world;
    struct asked *asked = DM_NEW(struct asked);
    struct dm_slice user = dm_slice_of(user_name(client->user));
    asked->client = client;
    asked->admission.dialect = DM_DIALECT_NATIVE;
    asked->admission.user_len = (uint8_t)user.len;
    memcpy(asked->admission.user_id, user.at, user.len);
    asked->admission.done = admitted;
    make_secret(world, asked->admission.next_secret);
    /* Its hash: the same, the last first, so that the first two bytes tell secrets apart. */
    hash(asked->admission.next_secret, asked->admission.next_resume);
    uint64_t away = client->dropped_ms ? world->now_ms - client->dropped_ms : 0;
    if (secret->is) {
        asked->used = *secret;
        asked->admission.resuming = true;
        hash(secret->text, asked->admission.resume);
        asked->must = is_sure(client) && !client->ended && away + SLACK_MS < WINDOW_MS;
        asked->must_not = client->ended;
    }
    client->asking = true;
    asked->disconnects = world->disconnects[client->user];
    asked->asked_ms = world->now_ms;
    world->asked_open++;
    trace(world, "client %u of %s asks, %s", client->number, user_name(client->user),
          secret->is ? asked->must ? "must resume" : "may resume" : "anew");
    dm_session_admit(world->shard[rand_below(&world->rand, world->shards)], &asked->admission);
}

void client_connect(struct client *client)
{
    if (client->asking)
        return;
    /* The secret before the last counts as long as nothing was said on the last one's socket. */
    if (client->before.is && rand_chance(&client->world->rand, 30)) {
        /* It never saw the last welcome, nor the socket that it came on. */
        client->now = client->before;
        client->before.is = false;
        if (client->sock)
            client_leave(client, false);
    }
    client->before.is = false; /* another attempt pushes it out */
    ask(client, &client->now);
}

static void lose_session(struct client *client)
{
    client->now.is = client->before.is = false;
    client->ended = client->sure = false;
    client->dropped_ms = 0;
    client->floor = client->kept = client->sent;
}

static void open_socket(struct asked *asked)
{
    struct client *client = asked->client;
    struct world *world = client->world;
    struct dm_slice user = dm_slice_of(user_name(client->user));
    uint32_t owner = dm_shard_owner(world->shard[0], user);
    if (client->sock && !asked->admission.resumed)
        client_leave(client, false); /* it has another session now */
    uint32_t sock = sock_open(world, client->number, owner);
    if (!asked->admission.resumed) {
        lose_session(client);
        client->session = asked->admission.session_id;
        client->doubted = asked->disconnects != world->disconnects[client->user] ||
                          world->disconnecting[client->user];
    } else if (!dm_uuid_eq(&client->session, &asked->admission.session_id)) {
        fail(world, "client %u is given another session", client->number);
    }
    trace(world, "client %u opens socket %u, %s", client->number, sock,
          asked->admission.resumed ? "resumed" : "anew");
    uint32_t number = dm_session_open(world->shard[owner], &asked->admission, sock);
    if (!number) { /* the session has changed meanwhile: it asks again */
        if (world->socks[sock].open)
            fail(world, "socket %u is refused and still open", sock);
        return;
    }
    world->socks[sock].number = number;
    if (has_ended(world, &asked->admission.session_id))
        fail(world, "client %u opens a session that had ended", client->number);
    if (client->sock)
        fail(world, "client %u's earlier socket %u is still open", client->number, client->sock);
    client->sock = sock;
    client->dropped_ms = 0;
    client->ended = false;
    /* A handshake longer than the window is no return within it. */
    client->sure = world->now_ms - asked->asked_ms + SLACK_MS < WINDOW_MS;
    client->opened_failures = world->store.failures;
    client->before = asked->used;
    client->before.is &= asked->admission.resumed;
    client->now.is = true;
    memcpy(client->now.text, asked->admission.next_secret, SECRET);
    counts_changed(world, client->user);
}

bool client_use_grant(struct world *world)
{
    struct asked *asked = world->granted;
    if (!asked)
        return false;
    struct client *client = asked->client;
    world->granted = asked->next;
    client->asking = false;
    if (rand_chance(&world->rand, 15)) {
        trace(world, "client %u's handshake fails", client->number);
        dm_session_withdraw(world->shard[rand_below(&world->rand, world->shards)],
                            &asked->admission);
        client->sure = false; /* which of its secrets count is the store's affair */
    } else {
        open_socket(asked);
    }
    dm_admission_dispose(&asked->admission);
    free(asked);
    return true;
}

/* --- with a socket --- */

/* What was said confirms the newest secret. */
static void say(struct client *client, const char *message)
{
    struct world *world = client->world;
    if (world->socks[client->sock].held[0])
        return;
    client->before.is = false;
    sock_say(world, client->sock, message);
}

void client_attach(struct client *client)
{
    char message[96];
    if (!client->sock || client->world->socks[client->sock].held[0])
        return;
    client->sent++;
    snprintf(message, sizeof message, "{\"type\":\"attach\",\"attachment\":%u,\"ref\":%u}",
             client->sent, client->sent);
    trace(client->world, "client %u attaches %u", client->number, client->sent);
    say(client, message);
}

void client_ack(struct client *client)
{
    char message[128];
    if (!client->sock || !client->world->last_envelope[0])
        return;
    snprintf(message, sizeof message, "{\"type\":\"ack\",\"envelopeId\":\"%.36s\",\"result\":%u}",
             client->world->last_envelope, client->number);
    say(client, message);
}

void client_leave(struct client *client, bool goodbye)
{
    struct world *world = client->world;
    struct sock *sock = &world->socks[client->sock];
    trace(world, "client %u %s", client->number, goodbye ? "says goodbye" : "drops");
    if (sock->held[0] && client->sent > client->kept)
        client->sure = client->sure && true;
    sock->open = false;
    client->sock = 0;
    client->dropped_ms = world->now_ms;
    client->ended = goodbye;
    client->ended_failures = world->store.failures;
    if (goodbye)
        note_ended(client);
    dm_session_closed(world->shard[sock->shard], sock->number, goodbye);
    counts_changed(world, client->user);
}

struct disconnect {
    struct dm_user_call call;
    struct world *world;
    uint32_t user;
};

/* Sessions without a socket have been ended. */
static void disconnected(struct dm_user_call *call, struct dm_shard *here)
{
    struct disconnect *disconnect = DM_CONTAINER(call, struct disconnect, call);
    struct world *world = disconnect->world;
    (void)here;
    world->disconnecting[disconnect->user]--;
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (world->clients[i].user == disconnect->user && !world->clients[i].sock)
            world->clients[i].sure = false;
    free(disconnect);
}

void client_disconnect(struct world *world, uint32_t user)
{
    struct disconnect *disconnect = DM_NEW(struct disconnect);
    struct dm_user_call *call = &disconnect->call;
    disconnect->world = world;
    disconnect->user = user;
    world->disconnecting[user]++;
    world->disconnects[user]++;
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (world->clients[i].user == user)
            world->clients[i].doubted = true;
    call->question = DM_USER_DISCONNECT;
    call->user_id = dm_slice_of(user_name(user));
    call->reason = DM_SLICE("enough");
    call->done = disconnected;
    trace(world, "%s is disconnected", user_name(user));
    dm_user_ask(world->shard[rand_below(&world->rand, world->shards)], call);
}

/* --- what it hears --- */

static struct client *client_of(struct world *world, uint32_t sock)
{
    return &world->clients[world->socks[sock].client];
}

static uint32_t number_in(struct dm_slice object, const char *name)
{
    struct dm_slice value = dm_json_get(object, dm_slice_of(name));
    return value.at ? (uint32_t)dm_json_number(value) : 0;
}

static void check_welcome(struct client *client, struct dm_slice object)
{
    uint32_t attachment = number_in(object, "attachment");
    struct dm_slice resumed = dm_json_get(object, DM_SLICE("resumed"));
    if (!dm_slice_eq(resumed, DM_SLICE("true"))) {
        if (attachment)
            fail(client->world, "a new session has an attachment");
        return;
    }
    if (!is_sure(client))
        return; /* it was ended meanwhile: it may be as it was */
    uint32_t least = client->kept > client->floor ? client->kept : 0;
    if (attachment < least || attachment > client->sent ||
        (attachment && attachment <= client->floor))
        fail(client->world, "client %u is back with attachment %u, not %u to %u", client->number,
             attachment, client->kept, client->sent);
}

void client_heard(struct world *world, uint32_t sock, struct dm_slice text)
{
    struct client *client = client_of(world, sock);
    struct dm_slice object = dm_json_value(text);
    struct dm_slice type = dm_json_get(object, DM_SLICE("type"));
    if (dm_json_string_is(type, DM_SLICE("welcome"))) {
        check_welcome(client, object);
    } else if (dm_json_string_is(type, DM_SLICE("ok"))) {
        uint32_t ref = number_in(object, "ref");
        if (ref <= client->kept || ref > client->sent)
            fail(world, "client %u is answered %u, not above %u to %u", client->number, ref,
                 client->kept, client->sent);
        client->kept = ref;
    } else if (dm_json_string_is(type, DM_SLICE("error")) && world->store.failures == 0) {
        fail(world, "client %u is refused: %.*s", client->number, (int)text.len, text.at);
    }
}

void client_closed(struct world *world, uint32_t sock, int code)
{
    struct client *client = client_of(world, sock);
    trace(world, "client %u's socket %u is closed with %d", client->number, sock, code);
    if (client->sock != sock && (code == 1013 || code == 4009))
        return; /* one that was just opened, and refused */
    if (client->sock != sock)
        fail(world, "client %u has socket %u, and %u is closed", client->number, client->sock,
             sock);
    client->sock = 0;
    if (code == 4009)
        return; /* by its own resumption */
    client->dropped_ms = world->now_ms;
    client->ended = code == 1000;
    client->ended_failures = world->store.failures;
    if (client->ended)
        note_ended(client);
    counts_changed(world, client->user);
}
