/*
 * The broadcast dialect (seed: @roostjs/broadcast): a socket is in the one
 * channel of its path, and clients may whisper to each other there. A frame
 * has `event` and `data` and nothing else, and `data` always, be it {}.
 */
#include "codec/json.h"
#include "dialect/dialect.h"

static void read_message(struct dm_slice message, bool binary, struct dm_buf *scratch,
                         struct dm_command *command)
{
    (void)scratch;
    *command = (struct dm_command){.kind = DM_COMMAND_IGNORE};
    struct dm_slice object = dm_dialect_object(message, binary);
    if (!object.at || !dm_dialect_says(object, DM_SLICE("event"), DM_SLICE("whisper")))
        return;
    command->kind = DM_COMMAND_WHISPER;
    command->payload = dm_json_get(object, DM_SLICE("data"));
}

/* As this dialect calls the server's own types. */
static struct dm_slice event_of(struct dm_slice type)
{
    if (dm_slice_eq(type, DM_SLICE("presence.join")))
        return DM_SLICE("presence:join");
    if (dm_slice_eq(type, DM_SLICE("presence.leave")))
        return DM_SLICE("presence:leave");
    return type;
}

static void write_envelope(const struct dm_envelope *envelope, struct dm_slice user_id, bool again,
                           struct dm_buf *out)
{
    (void)user_id;
    (void)again;
    dm_buf_lit(out, "{\"event\":");
    dm_json_encode(out, event_of(envelope->type));
    dm_buf_lit(out, ",\"data\":");
    dm_buf_add_slice(out, envelope->payload.at ? envelope->payload : DM_SLICE("{}"));
    dm_buf_add_byte(out, '}');
}

const struct dm_dialect dm_dialect_broadcast = {
    .name = "broadcast",
    .same_for_all = true,
    .hears_peers = true,
    .listens = true,
    .read = read_message,
    .write = write_envelope,
};
