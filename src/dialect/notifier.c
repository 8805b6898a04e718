/*
 * The notifier dialect (seed: durable-notifier): the server pushes, and of a
 * client there is only a ping. An event is {type,data,id,ts,channel}, without
 * the keys of what it does not have.
 */
#include "codec/json.h"
#include "dialect/dialect.h"

static void read_message(struct dm_slice message, bool binary, struct dm_buf *scratch,
                         struct dm_command *command)
{
    (void)scratch;
    *command = (struct dm_command){.kind = DM_COMMAND_IGNORE};
    struct dm_slice object = dm_dialect_object(message, binary);
    if (!object.at || !dm_dialect_says(object, DM_SLICE("type"), DM_SLICE("ping")))
        return;
    command->kind = DM_COMMAND_FIXED;
    command->answer = DM_SLICE("{\"type\":\"pong\"}");
}

static void write_envelope(const struct dm_envelope *envelope, struct dm_slice user_id, bool again,
                           struct dm_buf *out)
{
    (void)user_id;
    (void)again;
    dm_buf_lit(out, "{\"type\":");
    dm_json_encode(out, envelope->type);
    if (envelope->payload.at) {
        dm_buf_lit(out, ",\"data\":");
        dm_buf_add_slice(out, envelope->payload);
    }
    dm_buf_lit(out, ",\"id\":");
    dm_envelope_add_id(out, envelope);
    dm_buf_lit(out, ",\"ts\":");
    dm_buf_add_number(out, envelope->ts);
    if (envelope->channel.at) {
        dm_buf_lit(out, ",\"channel\":");
        dm_json_encode(out, envelope->channel);
    }
    dm_buf_add_byte(out, '}');
}

const struct dm_dialect dm_dialect_notifier = {
    .name = "notifier",
    .same_for_all = true,
    .read = read_message,
    .write = write_envelope,
};
