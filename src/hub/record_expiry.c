/* Recorded publishes that are over leave the store, some rows at a time. */
#include "hub/hub_priv.h"

enum { LOOK_MS_MIN = 1000, LOOK_MS_MAX = 60000, LOOKS_A_RETENTION = 4 };

static uint64_t pause_of(const struct dm_shard *shard)
{
    uint64_t pause = shard->options.result_retention_ms / LOOKS_A_RETENTION;
    if (pause < LOOK_MS_MIN)
        return LOOK_MS_MIN;
    return pause < LOOK_MS_MAX ? pause : LOOK_MS_MAX;
}

void dm_record_expect_expiry(struct dm_shard *shard)
{
    if (!shard->forget_at)
        shard->forget_at = dm_shard_now(shard) + pause_of(shard);
}

/* What is over no longer counts, there or not: this is only about room. */
static void expired(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    if (!op->err && op->publish->more)
        shard->forget_at = 1;
    dm_store_op_done(mail, shard);
}

uint64_t dm_record_tick(struct dm_shard *shard, uint64_t now)
{
    if (!shard->forget_at)
        return UINT64_MAX;
    if (now < shard->forget_at)
        return shard->forget_at;
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_EXPIRE_PUBLISHES, shard->options.number, expired);
    (void)dm_store_op_publish(op);
    op->now = dm_shard_wall(shard);
    op->oldest = shard->began;
    dm_shard_submit(shard, op);
    shard->forget_at = now + pause_of(shard);
    return shard->forget_at;
}
