/*
 * The world of fuzz_session.c: a shard, the fakes around it, and clients that
 * have a queue of what they say, as a socket has.
 */
#ifndef DM_FUZZ_SESSION_WORLD_H
#define DM_FUZZ_SESSION_WORLD_H

#include "codec/frame.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "session_store.h"

enum { CLIENTS = 9, EVENTS_MAX = 200, HOLDS_MAX = 100 };

static const struct dm_slice users[] = {DM_SLICE_INIT("u"), DM_SLICE_INIT("v"), DM_SLICE_INIT("w")};
static const struct dm_slice channels[] = {DM_SLICE_INIT("presence-p"), DM_SLICE_INIT("private-s"),
                                           DM_SLICE_INIT("lobby"), DM_SLICE_INIT("presence-q")};

static const struct {
    enum dm_dialect_id dialect;
    const char *user, *channel;
} plan[CLIENTS] = {
    {DM_DIALECT_HOPEFLOW, "u", ""},
    {DM_DIALECT_NATIVE, "u", ""},
    {DM_DIALECT_NATIVE, "v", ""},
    {DM_DIALECT_NOTIFIER, "v", ""},
    {DM_DIALECT_BROADCAST, "w", "presence-p"},
    {DM_DIALECT_BROADCAST, "u", "presence-p"},
    {DM_DIALECT_BROADCAST, "v", "private-s"},
    {DM_DIALECT_BROADCAST, "guest:g", "lobby"},
    {DM_DIALECT_NATIVE, "w", ""},
};

struct message {
    struct message *next;
    bool binary;
    struct dm_slice text;
};

struct client {
    uint32_t number, sock;     /* of its session; 0: none */
    uint32_t coming, openings; /* the sock that is being opened, and how many there were */
    uint32_t said, answers;    /* on this socket */
    uint32_t wanted, told;     /* the same, of those with a ref */
    bool admitting, admitted, held, resumed;
    unsigned char secret[DM_RESUME_HASH_LEN];
    struct message *inbox;
    struct dm_admission admission;
};

struct publishing {
    struct dm_publish publish;
    bool answered;
};

struct world {
    struct fake_store store;
    struct dm_shard *shard;
    struct dm_metrics *metrics;
    struct client clients[CLIENTS];
    struct dm_authorization *questions[2 * EVENTS_MAX];
    struct publishing *publishes[EVENTS_MAX + DM_COUNT(channels)];
    uint32_t question_count, publish_count, fills, open_calls;
    bool slow;
    uint64_t now;
};

static enum dm_dialect_id dialect_of(const struct world *world, const struct client *client)
{
    return plan[client - world->clients].dialect;
}

/* --- ports --- */

static uint64_t mono_ms(void *self)
{
    return ((const struct world *)self)->now;
}

static uint64_t wall_ms(void *self)
{
    return 1750000000000u + ((const struct world *)self)->now;
}

static void fill(void *self, void *out, size_t len)
{
    struct world *world = self;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)(++world->fills * 2654435761u >> 24);
}

static void submit(void *self, struct dm_store_op *op)
{
    store_submit(&((struct world *)self)->store, op);
}

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    (void)self, (void)mail;
    DM_CHECK(shard > 0); /* there is but one: nothing is posted */
}

/* A socket's number never comes again: what is sent to an earlier one is a fault. */
static struct client *client_of(struct world *world, uint32_t sock)
{
    struct client *client = &world->clients[sock % CLIENTS];
    DM_CHECK(sock && ((client->number && sock == client->sock) || sock == client->coming));
    return client;
}

static int verify(void *self, uint32_t sock, struct dm_slice token, struct dm_slice user_id,
                  uint64_t *expires_ms, bool *may_publish, struct dm_buf *claims)
{
    struct world *world = self;
    const struct client *client = client_of(world, sock);
    DM_CHECK(dm_slice_eq(user_id, dm_slice_of(plan[client - world->clients].user)));
    *expires_ms = wall_ms(world) + token.len * 100;
    *may_publish = token.len % 2;
    if (claims)
        dm_buf_lit(claims, "{\"channels\":[\"private-s\"]}");
    return dm_slice_starts(token, DM_SLICE("good")) ? DM_OK : DM_ERR_UNAUTHORIZED;
}

/* Of private names the backend is asked, but for one user. */
static bool authorize(void *self, struct dm_authorization *ask)
{
    struct world *world = self;
    bool is_private = dm_slice_starts(ask->channel, DM_SLICE("private-"));
    DM_CHECK(dm_name_valid(ask->channel) && ask->shard == 0);
    ask->err = is_private ? DM_ERR_FORBIDDEN : DM_OK;
    if (!is_private || dm_slice_eq(ask->user_id, users[2]))
        return true;
    DM_CHECK(world->question_count < DM_COUNT(world->questions));
    world->questions[world->question_count++] = ask;
    return false;
}

static bool has(struct dm_slice object, struct dm_slice name, enum dm_json_kind kind)
{
    return dm_json_kind(dm_json_get(object, name)) == kind;
}

static void take_broadcast(struct dm_slice text)
{
    struct dm_json_walk walk = dm_json_walk(dm_json_value(text));
    struct dm_slice key, value;
    uint32_t count = 0;
    while (dm_json_next(&walk, &key, &value))
        count++;
    DM_CHECK(count == 2 && has(text, DM_SLICE("event"), DM_JSON_STRING));
    DM_CHECK(!has(text, DM_SLICE("data"), DM_JSON_ABSENT));
}

static void take(struct world *world, struct client *client, struct dm_slice text)
{
    enum dm_dialect_id dialect = dialect_of(world, client);
    if (dialect == DM_DIALECT_HOPEFLOW && dm_slice_eq(text, DM_SLICE("pong"))) {
        client->answers++;
        return;
    }
    DM_CHECK(dm_json_valid(text) && dm_json_kind(dm_json_value(text)) == DM_JSON_OBJECT);
    if (dialect == DM_DIALECT_BROADCAST) {
        take_broadcast(text);
        return;
    }
    DM_CHECK(has(text, DM_SLICE("type"), DM_JSON_STRING));
    if (dialect == DM_DIALECT_NOTIFIER) {
        client->answers += dm_slice_eq(text, DM_SLICE("{\"type\":\"pong\"}"));
        return;
    }
    bool reffed = !has(text, DM_SLICE("ref"), DM_JSON_ABSENT);
    bool envelope = !reffed && has(text, DM_SLICE("envelopeId"), DM_JSON_STRING);
    DM_CHECK(envelope || dialect == DM_DIALECT_NATIVE);
    client->answers += !envelope;
    client->told += reffed;
}

static void send(void *self, uint32_t sock, struct dm_wire *wire)
{
    struct client *client = client_of(self, sock);
    struct dm_frame_head head;
    DM_CHECK(dm_frame_read_head(wire->bytes, wire->len, false, &head) == DM_FRAME_WHOLE);
    DM_CHECK(head.opcode == DM_OP_TEXT && head.fin && head.size + head.payload == wire->len);
    take(self, client, dm_slice(wire->bytes + head.size, head.payload));
}

static void hang_up(void *self, uint32_t sock, int code, struct dm_slice reason)
{
    struct client *client = client_of(self, sock);
    DM_CHECK(dm_close_code_valid((unsigned)code) && reason.len <= 123);
    if (sock == client->coming)
        client->coming = 0;
    else
        client->number = 0;
}

static uint64_t unsent(void *self, uint32_t sock)
{
    (void)client_of(self, sock);
    return 0;
}

static void resume(void *self, uint32_t sock)
{
    struct client *client = client_of(self, sock);
    client->held = false;
    client->resumed = true;
}

/* --- what clients say --- */

static void drop_first(struct client *client)
{
    struct message *message = client->inbox;
    client->inbox = message->next;
    free((char *)message->text.at);
    free(message);
}

static bool wants_answer(enum dm_dialect_id dialect, const struct message *message)
{
    struct dm_buf scratch = DM_BUF_INIT;
    struct dm_command command;
    dm_dialect_of(dialect)->read(message->text, message->binary, &scratch, &command);
    dm_buf_dispose(&scratch);
    return dialect == DM_DIALECT_NATIVE && command.kind != DM_COMMAND_IGNORE && command.ref.at;
}

static void offer(struct world *world, struct client *client)
{
    const struct message *message = client->inbox;
    client->resumed = false;
    client->said++;
    enum dm_session_answer answer =
        dm_session_message(world->shard, client->number, message->binary, message->text);
    DM_CHECK(answer == DM_SESSION_TAKEN || answer == DM_SESSION_HOLD);
    if (!client->number)
        return;
    if (answer == DM_SESSION_TAKEN) {
        client->wanted += wants_answer(dialect_of(world, client), message);
        drop_first(client);
    } else {
        client->said--;
        client->held = !client->resumed; /* resumed within: it is offered again */
    }
}

static void pump(struct world *world, struct client *client)
{
    for (uint32_t holds = 0; client->number && client->inbox && !client->held; holds++) {
        offer(world, client);
        DM_CHECK(holds < HOLDS_MAX);
    }
    while (!client->number && client->inbox)
        drop_first(client);
    DM_CHECK(!client->number ||
             client->answers <= client->said + (dialect_of(world, client) == DM_DIALECT_NATIVE));
}

/* --- sessions --- */

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    (void)here;
    DM_CHECK(admission->err == DM_OK);
    DM_CONTAINER(admission, struct client, admission)->admitted = true;
}

static void admit(struct world *world, uint32_t at, bool resuming)
{
    struct client *client = &world->clients[at];
    struct dm_slice user = dm_slice_of(plan[at].user), channel = dm_slice_of(plan[at].channel);
    if (client->admitting)
        return;
    client->admitting = true;
    client->admission = (struct dm_admission){.dialect = plan[at].dialect,
                                              .user_len = (uint8_t)user.len,
                                              .channel_len = (uint8_t)channel.len,
                                              .may_publish = true,
                                              .resuming = resuming && client->openings,
                                              .done = admitted};
    memcpy(client->admission.user_id, user.at, user.len);
    memcpy(client->admission.channel, channel.at, channel.len);
    memcpy(client->admission.resume, client->secret, sizeof client->secret);
    fill(world, client->secret, sizeof client->secret);
    memcpy(client->admission.next_resume, client->secret, sizeof client->secret);
    memset(client->admission.next_secret, 'x', sizeof client->admission.next_secret);
    dm_session_admit(world->shard, &client->admission);
}

static void close_session(struct world *world, struct client *client, bool goodbye)
{
    if (client->number)
        dm_session_closed(world->shard, client->number, goodbye);
    client->number = 0;
}

/* Its socket has come. An earlier one of the client ends now, if that was not resumed on this. */
static void arrive(struct world *world, uint32_t at)
{
    struct client *client = &world->clients[at];
    uint32_t sock = ++client->openings * CLIENTS + at, said = client->said;
    client->coming = sock;
    client->admitting = client->admitted = false;
    client->said = client->answers = client->told = 0;
    uint32_t number = dm_session_open(world->shard, &client->admission, sock);
    DM_CHECK(!number == !client->coming && (number || client->admission.resumed));
    DM_CHECK(client->answers == (number && plan[at].dialect == DM_DIALECT_NATIVE));
    dm_admission_dispose(&client->admission);
    client->coming = 0;
    client->said = said;
    close_session(world, client, true);
    client->number = number;
    client->sock = sock;
    client->said = client->wanted = 0;
    client->held = false;
    while (client->inbox)
        drop_first(client);
}

/* --- the world --- */

static void turn(struct world *world)
{
    for (uint32_t at = 0; at < CLIENTS; at++) {
        if (world->clients[at].admitted && !world->slow)
            arrive(world, at);
        pump(world, &world->clients[at]);
    }
    (void)dm_shard_tick(world->shard);
    for (uint32_t at = 0; at < CLIENTS; at++)
        pump(world, &world->clients[at]);
    dm_shard_end_turn(world->shard);
}

/* What the store has comes back, and what follows from it too. */
static void settle(struct world *world)
{
    struct fake_store *store = &world->store;
    turn(world);
    while (!world->slow && (store_step(store, &store->writes, world->shard) ||
                            store_step(store, &store->reads, world->shard)))
        turn(world);
    dm_shard_verify(world->shard);
}

static void pass(struct world *world, uint64_t ms, uint64_t step)
{
    for (uint64_t end = world->now + ms; world->now < end; world->now += step)
        settle(world);
}

static void decide(struct world *world, int err)
{
    if (!world->question_count)
        return;
    struct dm_authorization *ask = world->questions[0];
    memmove(world->questions, world->questions + 1,
            --world->question_count * sizeof *world->questions);
    ask->err = err;
    ask->mail.run(&ask->mail, world->shard);
}

static struct world *make_world(void)
{
    struct world *world = DM_NEW(struct world);
    struct dm_shard_options options = {
        .shards = 1,
        .hibernate_after_ms = 1500,
        .resume_window_ms = 5000,
        .limits = {.max_connections_per_user = 100,
                   .max_filters_per_session = 60,
                   .max_channels_per_user = 3,
                   .max_targets = 100,
                   .max_attachment = 64,
                   .max_unsent = 150,
                   .max_awake = 3},
    };
    struct dm_shard_ports ports = {
        .clock = {world, mono_ms, wall_ms},
        .rand = {world, fill},
        .store = {.self = world, .submit = submit},
        .sink = {world, send, hang_up, unsent, resume},
        .verify = {world, verify},
        .authorize = {world, authorize},
        .post = {.self = world, .send = post},
    };
    world->metrics = DM_NEW(struct dm_metrics);
    world->now = 1000;
    store_init(&world->store);
    world->shard = dm_shard_create(&options, &ports, world->metrics);
    for (uint32_t at = 0; at < CLIENTS; at++)
        admit(world, at, false);
    settle(world);
    return world;
}

#endif
