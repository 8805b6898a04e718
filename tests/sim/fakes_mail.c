/* Mail: first in, first out for each pair of sender and receiver, and no order else. */
#include "sim.h"

void mail_init(struct world *world)
{
    struct fake_mail *mail = &world->mail;
    for (uint32_t from = 0; from < SIM_SENDERS; from++)
        for (uint32_t to = 0; to < SIM_SHARDS_MAX; to++)
            mail->queues[from][to].end = &mail->queues[from][to].first;
    mail->here = SENDER_NONE;
}

void mail_post(struct world *world, uint32_t from, uint32_t to, struct dm_mail *mail)
{
    if (from >= SIM_SENDERS || to >= world->shards)
        sim_fail(world, "mail from %u to %u", from, to);
    struct fake_queue *queue = &world->mail.queues[from][to];
    mail->links[0] = NULL;
    *queue->end = mail;
    queue->end = (struct dm_mail **)&mail->links[0];
    world->mail.waiting++;
}

static void send(void *self, uint32_t to, struct dm_mail *mail)
{
    struct world *world = self;
    mail_post(world, world->mail.here, to, mail);
}

struct dm_post mail_port(struct world *world)
{
    return (struct dm_post){.self = world, .send = send};
}

static void deliver_first(struct world *world, uint32_t from, uint32_t to)
{
    struct fake_queue *queue = &world->mail.queues[from][to];
    struct dm_mail *mail = queue->first;
    queue->first = mail->links[0];
    if (!queue->first)
        queue->end = &queue->first;
    world->mail.waiting--;
    sim_trace(world, "mail from %u to %u", from, to);
    struct dm_shard *shard = world_on(world, to);
    mail->run(mail, shard);
    world_off(world);
}

bool mail_deliver_one(struct world *world)
{
    if (!world->mail.waiting)
        return false;
    uint32_t pairs = SIM_SENDERS * world->shards;
    uint32_t pair = rand_below(&world->rand, pairs);
    while (!world->mail.queues[pair / world->shards][pair % world->shards].first)
        pair = (pair + 1) % pairs;
    deliver_first(world, pair / world->shards, pair % world->shards);
    return true;
}
