/* The end of a channel: its rows some at a time, then what each shard has of it. */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"
#include "ports/store_channel.h"

struct ending;

struct ending_part {
    struct dm_mail mail;
    struct ending *ending;
};

struct ending {
    struct dm_channel_end *end;
    uint32_t origin, out;
    struct ending_part parts[];
};

static void ended(struct dm_mail *mail, struct dm_shard *shard)
{
    struct ending *ending = DM_CONTAINER(mail, struct ending_part, mail)->ending;
    struct dm_channel_end *end = ending->end;
    if (--ending->out)
        return;
    free(ending);
    end->done(end, shard);
}

static void end_here(struct dm_mail *mail, struct dm_shard *shard)
{
    struct ending_part *part = DM_CONTAINER(mail, struct ending_part, mail);
    struct ending *ending = part->ending;
    dm_roster_doubt(shard, ending->end->channel);
    dm_channel_close_listeners(shard, ending->end->channel);
    mail->run = ended;
    if (ending->origin == shard->options.number)
        ended(mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, ending->origin, mail);
}

static void end_everywhere(struct dm_shard *shard, struct dm_channel_end *end)
{
    uint32_t shards = shard->options.shards;
    struct ending *ending = dm_calloc(1, sizeof *ending + shards * sizeof *ending->parts);
    ending->end = end;
    ending->origin = shard->options.number;
    ending->out = shards;
    for (uint32_t i = 0; i < shards; i++) {
        ending->parts[i] = (struct ending_part){.mail = {.run = end_here}, .ending = ending};
        if (i != shard->options.number)
            shard->ports.post.send(shard->ports.post.self, i, &ending->parts[i].mail);
    }
    end_here(&ending->parts[shard->options.number].mail, shard); /* last: it may end all of it */
}

static void forgotten(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct dm_channel_end *end = op->caller;
    bool more = !op->err && op->channel->more;
    shard->ops_out--;
    end->err = op->err;
    dm_store_op_destroy(op);
    if (more)
        dm_channel_end(shard, end);
    else
        end_everywhere(shard, end); /* after an error too: some of it may be gone */
}

void dm_channel_end(struct dm_shard *shard, struct dm_channel_end *end)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_FORGET_CHANNEL, shard->options.number, forgotten);
    op->caller = end;
    dm_store_op_channel(op)->name = dm_store_op_add_text(op, end->channel);
    dm_shard_submit(shard, op);
}
