/* Mail, sockets and publishes of this world. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "codec/frame.h"
#include "codec/json.h"
#include "world.h"

/* --- mail --- */

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    struct world *world = self;
    struct dm_list *link = (struct dm_list *)mail->links;
    dm_list_push(&world->mail[shard], link);
}

struct dm_post post_port(struct world *world)
{
    return (struct dm_post){.self = world, .send = post};
}

bool mail_step(struct world *world)
{
    uint32_t first = rand_below(&world->rand, world->shards);
    for (uint32_t i = 0; i < world->shards; i++) {
        uint32_t shard = (first + i) % world->shards;
        struct dm_list *link = dm_list_shift(&world->mail[shard]);
        if (!link)
            continue;
        struct dm_mail *mail = DM_CONTAINER(link, struct dm_mail, links);
        mail->run(mail, world->shard[shard]);
        return true;
    }
    return false;
}

/* --- sockets --- */

static struct sock *sock_at(struct world *world, uint32_t sock)
{
    if (sock == 0 || sock >= world->sock_count || !world->socks[sock].open)
        fail(world, "socket %u is not open", sock);
    return &world->socks[sock];
}

uint32_t sock_open(struct world *world, uint32_t client, uint32_t shard)
{
    uint32_t sock = world->sock_count ? world->sock_count : 1;
    world->sock_count = sock + 1;
    world->socks = dm_realloc(world->socks, world->sock_count * sizeof *world->socks);
    world->socks[sock] = (struct sock){.client = client, .shard = shard, .open = true};
    return sock;
}

static void send(void *self, uint32_t number, struct dm_wire *wire)
{
    struct world *world = self;
    struct dm_frame_head head;
    sock_at(world, number);
    if (dm_frame_read_head(wire->bytes, wire->len, false, &head) != DM_FRAME_WHOLE)
        fail(world, "a frame that is not whole");
    client_heard(world, number, dm_slice(wire->bytes + head.size, (size_t)head.payload));
}

static void close_sock(void *self, uint32_t number, int code, struct dm_slice reason)
{
    struct world *world = self;
    (void)reason;
    sock_at(world, number)->open = false;
    client_closed(world, number, code);
}

static uint64_t unsent(void *self, uint32_t sock)
{
    (void)self, (void)sock;
    return 0;
}

static void resume(void *self, uint32_t number)
{
    struct world *world = self;
    struct sock *sock = sock_at(world, number);
    if (!sock->held[0])
        fail(world, "socket %u is resumed and holds nothing", number);
    sock->retry = true;
}

struct dm_sink sink_port(struct world *world)
{
    return (struct dm_sink){world, send, close_sock, unsent, resume};
}

void sock_say(struct world *world, uint32_t number, const char *message)
{
    struct sock *sock = sock_at(world, number);
    if (sock->held[0])
        return; /* it says nothing more before that is taken */
    enum dm_session_answer answer =
        dm_session_message(world->shard[sock->shard], sock->number, false, dm_slice_of(message));
    sock = &world->socks[number];
    if (answer == DM_SESSION_HOLD)
        snprintf(sock->held, sizeof sock->held, "%s", message);
}

bool retry_held(struct world *world)
{
    for (uint32_t i = 1; i < world->sock_count; i++) {
        struct sock *sock = &world->socks[i];
        char message[sizeof sock->held];
        if (!sock->open || !sock->retry)
            continue;
        memcpy(message, sock->held, sizeof message);
        sock->held[0] = 0;
        sock->retry = false;
        sock_say(world, i, message);
        return true;
    }
    return false;
}

uint32_t open_count(const struct world *world, uint32_t user)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < CLIENTS; i++)
        count += world->clients[i].user == user && world->clients[i].sock != 0;
    return count;
}

/* --- publishes --- */

void counts_changed(struct world *world, uint32_t user)
{
    uint32_t count = open_count(world, user);
    for (struct call *call = world->calls; call; call = call->next) {
        if (call->user != user)
            continue;
        call->least = count < call->least ? count : call->least;
        call->most = count > call->most ? count : call->most;
    }
}

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    struct call *call = DM_CONTAINER(publish, struct call, publish);
    struct world *world = call->world;
    struct call **at = &world->calls;
    (void)here;
    while (*at != call)
        at = &(*at)->next;
    *at = call->next;
    if (!publish->err && (publish->delivered < call->least || publish->delivered > call->most))
        fail(world, "a publish reached %u sessions, not %u to %u", publish->delivered, call->least,
             call->most);
    if (publish->result_count > publish->client_count)
        fail(world, "%u results of %u sessions", publish->result_count, publish->client_count);
    dm_envelope_release(publish->envelope);
    dm_buf_dispose(&publish->results);
    free(call);
}

void publish(struct world *world)
{
    struct call *call = DM_NEW(struct call);
    uint32_t from = rand_below(&world->rand, world->shards);
    struct dm_uuid id = dm_shard_mint(world->shard[from]);
    call->world = world;
    call->user = rand_below(&world->rand, USERS);
    call->target = dm_slice_of(user_name(call->user));
    call->least = call->most = open_count(world, call->user);
    call->next = world->calls;
    world->calls = call;
    dm_uuid_format(&id, world->last_envelope);
    const struct dm_envelope_draft draft = {
        .id = id, .ts = world->now_ms, .type = DM_SLICE("message"), .payload = DM_SLICE("1")};
    call->publish.envelope = dm_envelope_create(&draft);
    call->publish.targets = &call->target;
    call->publish.target_count = 1;
    call->publish.timeout_ms = rand_chance(&world->rand, 70) ? 3000 : 0;
    call->publish.done = published;
    trace(world, "publish to %s, who has %u", user_name(call->user), call->most);
    dm_publish(world->shard[from], &call->publish);
}
