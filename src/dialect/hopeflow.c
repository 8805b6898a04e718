/*
 * The hopeflow dialect (seed: HopeFlow Realtime): ping in any case, subscribe
 * and unsubscribe with filters, ack with a result; all else is ignored. An
 * envelope is {envelopeId,type,userId,timestamp,payload}, without a payload
 * key where there is no payload.
 */
#include "codec/json.h"
#include "codec/utf8.h"
#include "dialect/dialect.h"

static bool is_ping(struct dm_slice message)
{
    struct dm_slice word = dm_utf8_trim(message);
    return dm_slice_eq_nocase(word, DM_SLICE("ping"));
}

static void read_filters(struct dm_slice object, enum dm_command_kind kind,
                         struct dm_command *command)
{
    struct dm_slice filters = dm_json_get(object, DM_SLICE("filters"));
    if (dm_json_kind(filters) != DM_JSON_ARRAY)
        return;
    command->kind = kind;
    command->filters = filters;
}

static void read_ack(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    struct dm_slice id = dm_json_get(object, DM_SLICE("envelopeId"));
    if (dm_json_kind(id) != DM_JSON_STRING)
        return;
    dm_buf_clear(scratch);
    dm_json_decode(scratch, id);
    if (!dm_uuid_parse(dm_utf8_trim(dm_buf_slice(scratch)), &command->envelope))
        return;
    command->kind = DM_COMMAND_ACK;
    command->result = dm_json_get(object, DM_SLICE("result"));
}

static void read_message(struct dm_slice message, bool binary, struct dm_buf *scratch,
                         struct dm_command *command)
{
    *command = (struct dm_command){.kind = DM_COMMAND_IGNORE};
    if (binary)
        return;
    if (is_ping(message)) {
        command->kind = DM_COMMAND_FIXED;
        command->answer = DM_SLICE("pong");
        return;
    }
    struct dm_slice object = dm_dialect_object(message, binary);
    if (!object.at)
        return;
    struct dm_slice type = dm_json_get(object, DM_SLICE("type"));
    if (dm_json_kind(type) != DM_JSON_STRING)
        return;
    if (dm_json_string_is(type, DM_SLICE("subscribe")))
        read_filters(object, DM_COMMAND_SUBSCRIBE, command);
    else if (dm_json_string_is(type, DM_SLICE("unsubscribe")))
        read_filters(object, DM_COMMAND_UNSUBSCRIBE, command);
    else if (dm_json_string_is(type, DM_SLICE("ack")))
        read_ack(object, scratch, command);
}

static void write_envelope(const struct dm_envelope *envelope, struct dm_slice user_id, bool again,
                           struct dm_buf *out)
{
    dm_dialect_begin_envelope(envelope, user_id, out);
    dm_dialect_end_envelope(envelope, again, out);
}

const struct dm_dialect dm_dialect_hopeflow = {
    .name = "hopeflow",
    .acks = true,
    .needs_filters = true,
    .read = read_message,
    .write = write_envelope,
};
