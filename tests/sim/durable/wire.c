/* Mail and sockets of this world. Nothing that a dead process says is heard. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "codec/frame.h"
#include "world.h"

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    dm_list_push(&((struct world *)self)->mail[shard], (struct dm_list *)mail->links);
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
    if (!world->dead)
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
    struct world *world = self;
    sock_at(world, sock);
    return rand_chance(&world->rand, 20);
}

static void resume(void *self, uint32_t number)
{
    struct sock *sock = sock_at(self, number);
    if (!sock->held[0])
        fail(self, "socket %u is resumed and holds nothing", number);
    sock->retry = true;
}

struct dm_sink sink_port(struct world *world)
{
    return (struct dm_sink){world, send, close_sock, unsent, resume};
}

bool sock_say(struct world *world, uint32_t number, const char *message)
{
    struct sock *sock = &world->socks[number];
    if (sock->held[0])
        return false;
    enum dm_session_answer answer =
        dm_session_message(world->shard[sock->shard], sock->number, false, dm_slice_of(message));
    sock = &world->socks[number];
    if (answer == DM_SESSION_HOLD)
        snprintf(sock->held, sizeof sock->held, "%s", message);
    return true;
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
        (void)sock_say(world, i, message);
        return true;
    }
    return false;
}
