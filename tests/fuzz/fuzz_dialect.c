/*
 * A message from a client, in every dialect: what is read of it lies in the
 * message or in the scratch buffer and is what the command promises; and an
 * envelope whose payload it is, an answer to it and a welcome with it read back
 * as JSON that says the same. The first byte says whether it is binary. Inputs
 * come in exact heap blocks.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "dialect/dialect.h"
#include "model/name.h"

struct room {
    struct dm_slice message, scratch;
};

static bool lies_in(struct dm_slice part, struct dm_slice whole)
{
    return whole.len && part.at >= whole.at && part.at + part.len <= whole.at + whole.len;
}

/* A value of the message: valid, and a part of it. */
static void check_value(const struct room *room, struct dm_slice value)
{
    DM_CHECK(!value.at || (lies_in(value, room->message) && dm_json_valid(value)));
}

static void check_channel(const struct dm_dialect *dialect, const struct room *room,
                          const struct dm_command *command)
{
    DM_CHECK(dialect->listens ? !command->channel.at
                              : dialect->resumes && dm_name_valid(command->channel));
    DM_CHECK(!command->channel.at || lies_in(command->channel, room->scratch));
    DM_CHECK(!command->payload.at || command->kind == DM_COMMAND_WHISPER);
}

static void check_command(const struct dm_dialect *dialect, const struct room *room,
                          const struct dm_command *command)
{
    check_value(room, command->ref);
    check_value(room, command->result);
    check_value(room, command->attachment);
    check_value(room, command->payload);
    DM_CHECK(!command->ref.at || (dialect->resumes && command->ref.len <= 200));
    switch (command->kind) {
    case DM_COMMAND_FIXED:
        DM_CHECK(command->answer.len && !lies_in(command->answer, room->message));
        return;
    case DM_COMMAND_SUBSCRIBE:
    case DM_COMMAND_UNSUBSCRIBE:
        check_value(room, command->filters);
        DM_CHECK(dm_json_kind(command->filters) == DM_JSON_ARRAY);
        return;
    case DM_COMMAND_ATTACH:
        DM_CHECK(dialect->resumes && command->attachment.len);
        return;
    case DM_COMMAND_REFRESH:
        DM_CHECK(dialect->resumes && command->token.len <= room->message.len);
        DM_CHECK(!command->token.len || lies_in(command->token, room->scratch));
        return;
    case DM_COMMAND_PUBLISH:
        check_value(room, command->body);
        DM_CHECK(dialect->resumes && dm_json_kind(command->body) == DM_JSON_OBJECT);
        return;
    case DM_COMMAND_WHISPER:
        DM_CHECK(dialect->hears_peers);
        check_channel(dialect, room, command);
        return;
    case DM_COMMAND_JOIN:
    case DM_COMMAND_LEAVE:
    case DM_COMMAND_PRESENCE:
        DM_CHECK(!dialect->listens);
        check_channel(dialect, room, command);
        return;
    case DM_COMMAND_REFUSED:
    case DM_COMMAND_PING:
        DM_CHECK(dialect->resumes && (command->kind == DM_COMMAND_PING) == (command->err == 0));
        return;
    case DM_COMMAND_ACK:
        DM_CHECK(dialect->acks);
        return;
    case DM_COMMAND_IGNORE:
        DM_CHECK(!dialect->resumes); /* there everything is answered */
        return;
    }
    DM_CHECK(command->kind == DM_COMMAND_IGNORE); /* a kind that there is */
}

static bool says(struct dm_slice object, const char *name, struct dm_slice text)
{
    struct dm_slice value = dm_json_get(object, dm_slice_of(name));
    return dm_json_kind(value) == DM_JSON_STRING && dm_json_string_is(value, text);
}

static struct dm_slice read_back(const struct dm_buf *written)
{
    struct dm_slice text = dm_buf_slice(written);
    DM_CHECK(dm_json_valid(text) && dm_json_kind(dm_json_value(text)) == DM_JSON_OBJECT);
    return dm_json_value(text);
}

/* The member is there if and only if `text` is, and says it. */
static void check_says(struct dm_slice object, const char *name, struct dm_slice text)
{
    DM_CHECK(text.at ? says(object, name, text) : !dm_json_get(object, dm_slice_of(name)).at);
}

/* The member is that JSON, byte for byte. */
static void check_shows(struct dm_slice object, const char *name, struct dm_slice json)
{
    struct dm_slice shown = dm_json_get(object, dm_slice_of(name));
    DM_CHECK((shown.at != NULL) == (json.at != NULL) && dm_slice_eq(shown, json));
}

static size_t count_members(struct dm_slice object)
{
    struct dm_json_walk walk = dm_json_walk(object);
    struct dm_slice key, value;
    size_t count = 0;
    while (dm_json_next(&walk, &key, &value))
        count++;
    return count;
}

#define ID "01020304-0506-7008-8000-000000000000"

static void check_hopeflow(const struct dm_envelope_draft *draft, struct dm_slice object,
                           bool again, bool channels)
{
    check_says(object, "envelopeId", DM_SLICE(ID));
    check_says(object, "type", draft->type);
    check_says(object, "timestamp", DM_SLICE("2025-06-15T15:06:40.123Z"));
    check_says(object, "channel", channels ? draft->channel : DM_NO_SLICE);
    check_says(object, "from", channels ? draft->from : DM_NO_SLICE);
    check_shows(object, "redelivered", again ? DM_SLICE("true") : DM_NO_SLICE);
    check_shows(object, "payload", draft->payload);
}

static void check_notifier(const struct dm_envelope_draft *draft, struct dm_slice object)
{
    check_says(object, "type", draft->type);
    check_says(object, "id", draft->label.at ? draft->label : DM_SLICE(ID));
    check_says(object, "channel", draft->channel);
    check_shows(object, "ts", DM_SLICE("1750000000123"));
    check_shows(object, "data", draft->payload);
    DM_CHECK(count_members(object) ==
             3u + (draft->channel.at != NULL) + (draft->payload.at != NULL));
}

static void check_broadcast(const struct dm_envelope_draft *draft, struct dm_slice object)
{
    struct dm_slice event = draft->type;
    if (dm_slice_eq(event, DM_SLICE("presence.join")))
        event = DM_SLICE("presence:join");
    else if (dm_slice_eq(event, DM_SLICE("presence.leave")))
        event = DM_SLICE("presence:leave");
    check_says(object, "event", event);
    check_shows(object, "data", draft->payload.at ? draft->payload : DM_SLICE("{}"));
    DM_CHECK(count_members(object) == 2);
}

static void check_written(enum dm_dialect_id id, const struct dm_envelope_draft *draft,
                          struct dm_slice user, bool again, struct dm_slice object)
{
    switch (id) {
    case DM_DIALECT_HOPEFLOW:
    case DM_DIALECT_NATIVE:
        check_says(object, "userId", user);
        check_hopeflow(draft, object, again, id == DM_DIALECT_NATIVE);
        return;
    case DM_DIALECT_NOTIFIER:
        check_notifier(draft, object);
        return;
    case DM_DIALECT_BROADCAST:
        check_broadcast(draft, object);
        return;
    case DM_DIALECT_COUNT:
        break;
    }
    DM_CHECK(id < DM_DIALECT_COUNT);
}

/* The payload and the type go through as they are; the type may be any text, a lone surrogate too.
 */
static void check_envelope(enum dm_dialect_id id, struct dm_slice payload, struct dm_slice type,
                           struct dm_slice user)
{
    const struct dm_dialect *dialect = dm_dialect_of(id);
    const struct dm_envelope_draft draft = {
        .id = {{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80}},
        .ts = 1750000000123,
        .type = type,
        .payload = payload.at ? dm_json_value(payload) : payload,
        .label = type.len % 3 ? user : DM_NO_SLICE,
        .channel = type.len % 5 ? type : DM_NO_SLICE,
        .from = type.len % 7 ? DM_NO_SLICE : user,
    };
    struct dm_envelope *envelope = dm_envelope_create(&draft);
    struct dm_buf out = DM_BUF_INIT, other = DM_BUF_INIT;
    bool again = dialect->acks && type.len % 2;
    dialect->write(envelope, user, again, &out);
    check_written(id, &draft, user, again, read_back(&out));
    dialect->write(envelope, DM_SLICE("another"), again, &other);
    DM_CHECK(dm_slice_eq(dm_buf_slice(&out), dm_buf_slice(&other)) == dialect->same_for_all);
    dm_buf_dispose(&out);
    dm_buf_dispose(&other);
    dm_envelope_release(envelope);
}

static void check_answers(const struct dm_dialect *dialect, const struct dm_command *command,
                          struct dm_slice user)
{
    struct dm_welcome welcome = {.resume = DM_SLICE("secret"), .user_id = user};
    struct dm_buf out = DM_BUF_INIT;
    dialect->answer(command->ref, command->err, command->why,
                    command->err ? DM_NO_SLICE : DM_SLICE("\"more\":1"), &out);
    struct dm_slice object = read_back(&out), ref = dm_json_get(object, DM_SLICE("ref"));
    DM_CHECK(dm_slice_eq(ref, command->ref) && (ref.at != NULL) == (command->ref.at != NULL));
    DM_CHECK(says(object, "type", command->err ? DM_SLICE("error") : DM_SLICE("ok")));
    DM_CHECK(!command->err || says(object, "code", dm_slice_of(dm_err_code(command->err))));
    dm_buf_clear(&out);
    welcome.attachment = command->attachment;
    dialect->welcome(&welcome, &out);
    object = read_back(&out);
    DM_CHECK(dm_slice_eq(dm_json_get(object, DM_SLICE("attachment")), command->attachment));
    DM_CHECK(says(object, "userId", user) && says(object, "resume", DM_SLICE("secret")));
    dm_buf_dispose(&out);
}

/* What the message has as its type or event, if it has one: decoded, and trimmed as routes do. */
static struct dm_slice type_of(struct dm_slice payload, struct dm_buf *text)
{
    if (payload.at && dm_json_kind(dm_json_value(payload)) == DM_JSON_OBJECT) {
        struct dm_slice type = dm_json_get(dm_json_value(payload), DM_SLICE("type"));
        if (!type.at)
            type = dm_json_get(dm_json_value(payload), DM_SLICE("event"));
        if (dm_json_kind(type) == DM_JSON_STRING)
            dm_json_decode(text, type);
    }
    struct dm_slice trimmed = dm_utf8_trim(dm_buf_slice(text));
    return trimmed.len ? trimmed : DM_SLICE("message");
}

static void check(enum dm_dialect_id id, struct dm_slice message, bool binary)
{
    const struct dm_dialect *dialect = dm_dialect_of(id);
    struct dm_command command;
    struct dm_buf scratch = DM_BUF_INIT, text = DM_BUF_INIT;
    dialect->read(message, binary, &scratch, &command);
    const struct room room = {message, dm_buf_slice(&scratch)};
    check_command(dialect, &room, &command);
    struct dm_slice payload = dm_json_valid(message) ? message : DM_NO_SLICE;
    struct dm_slice type = type_of(payload, &text);
    check_envelope(id, payload, type, DM_SLICE("zo\xc3\xab \"x\""));
    if (dialect->resumes)
        check_answers(dialect, &command, type);
    dm_buf_dispose(&scratch);
    dm_buf_dispose(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    bool binary = data[0] == 'b';
    char *copy = dm_memdup(data + 1, size - 1);
    struct dm_slice message = dm_slice(copy, size - 1);
    for (enum dm_dialect_id id = 0; id < DM_DIALECT_COUNT; id++) {
        DM_CHECK(dm_dialect_named(dm_slice_of(dm_dialect_of(id)->name)) == id);
        if (binary || dm_utf8_valid(message)) /* the burrow sees to that */
            check(id, message, binary);
    }
    free(copy);
    return 0;
}
