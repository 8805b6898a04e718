/* What has become of a recorded publish, for who asks. */
#include "hub/hub_priv.h"

static void looked(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct dm_publish_look *look = op->caller;
    shard->ops_out--;
    look->err = op->err;
    if (!op->err && op->publish->found == DM_RECORDED_NOT)
        look->err = DM_ERR_NOT_FOUND;
    look->found = op->publish;
    look->done(look, shard);
    dm_store_op_destroy(op);
}

void dm_publish_look_up(struct dm_shard *shard, struct dm_publish_look *look)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_LOOK_PUBLISH, shard->options.number, looked);
    struct dm_store_publish *publish = dm_store_op_publish(op);
    publish->anybodys = !look->principal.at;
    publish->principal = dm_store_op_add_text(op, look->principal);
    op->caller = look;
    op->envelope_id = look->envelope_id;
    op->now = dm_shard_wall(shard);
    dm_shard_submit(shard, op);
}
