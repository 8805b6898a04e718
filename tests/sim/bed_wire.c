/* Mail and sockets of the bed. Nothing that a dead process says is heard. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "bed.h"
#include "codec/frame.h"

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    dm_list_push(&((struct bed *)self)->mail[shard], (struct dm_list *)mail->links);
}

struct dm_post bed_post(struct bed *bed)
{
    return (struct dm_post){.self = bed, .send = post};
}

bool bed_mail_step(struct bed *bed)
{
    uint32_t first = rand_below(&bed->rand, bed->shards);
    for (uint32_t i = 0; i < bed->shards; i++) {
        uint32_t shard = (first + i) % bed->shards;
        struct dm_list *link = dm_list_shift(&bed->mail[shard]);
        if (!link)
            continue;
        struct dm_mail *mail = DM_CONTAINER(link, struct dm_mail, links);
        mail->run(mail, bed->shard[shard]);
        return true;
    }
    return false;
}

static struct bed_sock *sock_at(struct bed *bed, uint32_t sock)
{
    if (sock == 0 || sock >= bed->sock_count || !bed->socks[sock].open)
        bed_fail(bed, "socket %u is not open", sock);
    return &bed->socks[sock];
}

uint32_t bed_sock_open(struct bed *bed, struct bed_client *client, uint32_t shard)
{
    uint32_t sock = bed->sock_count ? bed->sock_count : 1;
    bed->sock_count = sock + 1;
    bed->socks = dm_realloc(bed->socks, bed->sock_count * sizeof *bed->socks);
    bed->socks[sock] = (struct bed_sock){.client = client, .shard = shard, .open = true};
    return sock;
}

static void send(void *self, uint32_t number, struct dm_wire *wire)
{
    struct bed *bed = self;
    struct dm_frame_head head;
    struct bed_client *client = sock_at(bed, number)->client;
    if (dm_frame_read_head(wire->bytes, wire->len, false, &head) != DM_FRAME_WHOLE)
        bed_fail(bed, "a frame that is not whole");
    if (!bed->dead)
        bed->kind->heard(client, dm_slice(wire->bytes + head.size, (size_t)head.payload));
}

static void close_sock(void *self, uint32_t number, int code, struct dm_slice reason)
{
    struct bed *bed = self;
    struct bed_client *client = sock_at(bed, number)->client;
    (void)reason;
    sock_at(bed, number)->open = false;
    bed_trace(bed, "client %u's socket %u is closed with %d", client->number, number, code);
    if (client->sock != number)
        return;
    client->sock = 0;
    if (bed->kind->closed)
        bed->kind->closed(client, code);
}

static uint64_t unsent(void *self, uint32_t sock)
{
    struct bed *bed = self;
    sock_at(bed, sock);
    return !bed->drained && rand_chance(&bed->rand, 20);
}

static void resume(void *self, uint32_t number)
{
    struct bed_sock *sock = sock_at(self, number);
    if (!sock->held[0])
        bed_fail(self, "socket %u is resumed and holds nothing", number);
    sock->retry = true;
}

struct dm_sink bed_sink(struct bed *bed)
{
    return (struct dm_sink){bed, send, close_sock, unsent, resume};
}

static bool say(struct bed *bed, uint32_t number, const char *message)
{
    struct bed_sock *sock = &bed->socks[number];
    if (sock->held[0])
        return false;
    enum dm_session_answer answer =
        dm_session_message(bed->shard[sock->shard], sock->number, false, dm_slice_of(message));
    sock = &bed->socks[number];
    if (answer == DM_SESSION_HOLD)
        snprintf(sock->held, sizeof sock->held, "%s", message);
    return true;
}

bool bed_say(struct bed_client *client, const char *message)
{
    return say(client->bed, client->sock, message);
}

bool bed_retry_held(struct bed *bed)
{
    for (uint32_t i = 1; i < bed->sock_count; i++) {
        struct bed_sock *sock = &bed->socks[i];
        char message[sizeof sock->held];
        if (!sock->open || !sock->retry)
            continue;
        memcpy(message, sock->held, sizeof message);
        sock->held[0] = 0;
        sock->retry = false;
        (void)say(bed, i, message);
        return true;
    }
    return false;
}
