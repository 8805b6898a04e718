/*
 * The native dialect, dormouse.v1: the envelopes of hopeflow, and commands that
 * carry a `ref` and are then answered by {"type":"ok"} once they last, or by
 * {"type":"error"} with a code. What is no command is answered, too.
 */
#include "base/err.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "dialect/dialect.h"
#include "model/member.h"
#include "model/name.h"

enum { REF_MAX = 200 /* bytes of JSON */ };

static void refuse(struct dm_command *command, int err, struct dm_slice why)
{
    command->kind = DM_COMMAND_REFUSED;
    command->err = err;
    command->why = why;
}

static void read_filters(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    (void)scratch;
    command->filters = dm_json_get(object, DM_SLICE("filters"));
    if (dm_json_kind(command->filters) != DM_JSON_ARRAY)
        refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("filters must be an array"));
}

static void read_subscribe(struct dm_slice object, struct dm_buf *scratch,
                           struct dm_command *command)
{
    command->kind = DM_COMMAND_SUBSCRIBE;
    read_filters(object, scratch, command);
}

static void read_unsubscribe(struct dm_slice object, struct dm_buf *scratch,
                             struct dm_command *command)
{
    command->kind = DM_COMMAND_UNSUBSCRIBE;
    read_filters(object, scratch, command);
}

static void read_ack(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    struct dm_slice id = dm_json_get(object, DM_SLICE("envelopeId"));
    dm_buf_clear(scratch);
    if (dm_json_kind(id) == DM_JSON_STRING)
        dm_json_decode(scratch, id);
    if (!dm_uuid_parse(dm_utf8_trim(dm_buf_slice(scratch)), &command->envelope)) {
        refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("envelopeId must be an envelope's id"));
        return;
    }
    command->kind = DM_COMMAND_ACK;
    command->result = dm_json_get(object, DM_SLICE("result"));
}

static void read_attach(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    (void)scratch;
    command->kind = DM_COMMAND_ATTACH;
    command->attachment = dm_json_get(object, DM_SLICE("attachment"));
    if (!command->attachment.at)
        refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("attachment is required"));
    else if (dm_json_kind(command->attachment) == DM_JSON_NULL)
        command->attachment = DM_NO_SLICE;
}

static void read_refresh(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    struct dm_slice token = dm_json_get(object, DM_SLICE("token"));
    if (dm_json_kind(token) != DM_JSON_STRING) {
        refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("token must be a string"));
        return;
    }
    dm_buf_clear(scratch);
    dm_json_decode(scratch, token);
    command->kind = DM_COMMAND_REFRESH;
    command->token = dm_buf_slice(scratch);
}

static void read_publish(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    (void)scratch;
    command->kind = DM_COMMAND_PUBLISH;
    command->body = dm_json_get(object, DM_SLICE("envelope"));
    if (dm_json_kind(command->body) != DM_JSON_OBJECT)
        refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("envelope must be an object"));
}

static void read_ping(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    (void)object;
    (void)scratch;
    command->kind = DM_COMMAND_PING;
}

/* The command is `kind` with a channel, or refused. */
static void read_channel(struct dm_slice object, struct dm_buf *scratch, enum dm_command_kind kind,
                         struct dm_command *command)
{
    struct dm_slice name = dm_member_text(object, "channel", scratch);
    if (!dm_name_valid(name)) {
        refuse(command, DM_ERR_INVALID_CHANNEL, DM_NO_SLICE);
        return;
    }
    command->kind = kind;
    command->channel = name;
}

static void read_join(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    read_channel(object, scratch, DM_COMMAND_JOIN, command);
}

static void read_leave(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    read_channel(object, scratch, DM_COMMAND_LEAVE, command);
}

static void read_whisper(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    read_channel(object, scratch, DM_COMMAND_WHISPER, command);
    command->payload = dm_json_get(object, DM_SLICE("data"));
}

static void read_presence(struct dm_slice object, struct dm_buf *scratch,
                          struct dm_command *command)
{
    read_channel(object, scratch, DM_COMMAND_PRESENCE, command);
}

static const struct {
    struct dm_slice type;
    void (*read)(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command);
} commands[] = {
    {DM_SLICE_INIT("subscribe"), read_subscribe},
    {DM_SLICE_INIT("unsubscribe"), read_unsubscribe},
    {DM_SLICE_INIT("ack"), read_ack},
    {DM_SLICE_INIT("attach"), read_attach},
    {DM_SLICE_INIT("ping"), read_ping},
    {DM_SLICE_INIT("publish"), read_publish},
    {DM_SLICE_INIT("refresh"), read_refresh},
    {DM_SLICE_INIT("join"), read_join},
    {DM_SLICE_INIT("leave"), read_leave},
    {DM_SLICE_INIT("whisper"), read_whisper},
    {DM_SLICE_INIT("presence"), read_presence},
};

/* A string or a number, to be echoed as it came; false where there is something else. */
static bool read_ref(struct dm_slice object, struct dm_command *command)
{
    struct dm_slice ref = dm_json_get(object, DM_SLICE("ref"));
    enum dm_json_kind kind = ref.at ? dm_json_kind(ref) : DM_JSON_NULL;
    if (kind == DM_JSON_NULL)
        return true;
    if ((kind != DM_JSON_STRING && kind != DM_JSON_NUMBER) || ref.len > REF_MAX)
        return false;
    command->ref = ref;
    return true;
}

static void read_object(struct dm_slice object, struct dm_buf *scratch, struct dm_command *command)
{
    struct dm_slice type = dm_json_get(object, DM_SLICE("type"));
    if (!read_ref(object, command)) {
        refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("ref must be a short string or a number"));
        return;
    }
    for (size_t i = 0; i < DM_COUNT(commands); i++) {
        if (dm_json_kind(type) != DM_JSON_STRING || !dm_json_string_is(type, commands[i].type))
            continue;
        commands[i].read(object, scratch, command);
        return;
    }
    refuse(command, DM_ERR_INVALID_FIELD, DM_SLICE("There is no such command"));
}

static void read_message(struct dm_slice message, bool binary, struct dm_buf *scratch,
                         struct dm_command *command)
{
    *command = (struct dm_command){.kind = DM_COMMAND_IGNORE};
    struct dm_slice object = dm_dialect_object(message, binary);
    if (object.at)
        read_object(object, scratch, command);
    else
        refuse(command, DM_ERR_INVALID_JSON, DM_SLICE("A message must be a JSON object"));
}

static void write_envelope(const struct dm_envelope *envelope, struct dm_slice user_id, bool again,
                           struct dm_buf *out)
{
    dm_dialect_begin_envelope(envelope, user_id, out);
    if (envelope->channel.at) {
        dm_buf_lit(out, ",\"channel\":");
        dm_json_encode(out, envelope->channel);
    }
    if (envelope->from.at) {
        dm_buf_lit(out, ",\"from\":");
        dm_json_encode(out, envelope->from);
    }
    dm_dialect_end_envelope(envelope, again, out);
}

static void write_welcome(const struct dm_welcome *welcome, struct dm_buf *out)
{
    dm_buf_lit(out, "{\"type\":\"welcome\",\"sessionId\":");
    dm_json_add_uuid(out, &welcome->session_id);
    dm_buf_lit(out, ",\"resume\":");
    dm_json_encode(out, welcome->resume);
    dm_buf_lit(out, ",\"userId\":");
    dm_json_encode(out, welcome->user_id);
    dm_buf_printf(out, ",\"resumed\":%s", welcome->resumed ? "true" : "false");
    if (welcome->attachment.len) {
        dm_buf_lit(out, ",\"attachment\":");
        dm_buf_add_slice(out, welcome->attachment);
    }
    dm_buf_add_byte(out, '}');
}

static void write_answer(struct dm_slice ref, int err, struct dm_slice why, struct dm_slice more,
                         struct dm_buf *out)
{
    dm_buf_printf(out, "{\"type\":\"%s\"", err ? "error" : "ok");
    if (ref.at) {
        dm_buf_lit(out, ",\"ref\":");
        dm_buf_add_slice(out, ref);
    }
    if (err) {
        dm_buf_printf(out, ",\"code\":\"%s\",\"error\":", dm_err_code(err));
        dm_json_encode(out, why.at ? why : dm_slice_of(dm_err_text(err)));
    }
    if (more.len) {
        dm_buf_add_byte(out, ',');
        dm_buf_add_slice(out, more);
    }
    dm_buf_add_byte(out, '}');
}

const struct dm_dialect dm_dialect_native = {
    .name = "native",
    .acks = true,
    .resumes = true,
    .hears_peers = true,
    .read = read_message,
    .write = write_envelope,
    .welcome = write_welcome,
    .answer = write_answer,
};
