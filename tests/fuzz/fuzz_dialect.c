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

static void check_command(const struct dm_dialect *dialect, const struct room *room,
                          const struct dm_command *command)
{
    check_value(room, command->ref);
    check_value(room, command->result);
    check_value(room, command->attachment);
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

/* The payload and the type go through as they are; the type may be any text, a lone surrogate too.
 */
static void check_envelope(const struct dm_dialect *dialect, struct dm_slice payload,
                           struct dm_slice type, struct dm_slice user)
{
    const struct dm_uuid id = {{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80}};
    struct dm_envelope *envelope = dm_envelope_create(&id, 1750000000123, type, payload, user);
    struct dm_buf out = DM_BUF_INIT;
    bool again = type.len % 2;
    dialect->write(envelope, user, again, &out);
    struct dm_slice object = read_back(&out);
    struct dm_slice said = dm_json_get(object, DM_SLICE("redelivered"));
    DM_CHECK(again ? dm_slice_eq(said, DM_SLICE("true")) : !said.at);
    DM_CHECK(says(object, "envelopeId", DM_SLICE("01020304-0506-7008-8000-000000000000")));
    DM_CHECK(says(object, "timestamp", DM_SLICE("2025-06-15T15:06:40.123Z")));
    DM_CHECK(says(object, "type", type) && says(object, "userId", user));
    struct dm_slice shown = dm_json_get(object, DM_SLICE("payload"));
    DM_CHECK((shown.at != NULL) == (payload.at != NULL));
    DM_CHECK(!payload.at || dm_slice_eq(shown, dm_json_value(payload)));
    dm_buf_dispose(&out);
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

/* What the message has as its type, if it has one: decoded, and trimmed as routes do. */
static struct dm_slice type_of(struct dm_slice payload, struct dm_buf *text)
{
    if (payload.at && dm_json_kind(dm_json_value(payload)) == DM_JSON_OBJECT) {
        struct dm_slice type = dm_json_get(dm_json_value(payload), DM_SLICE("type"));
        if (dm_json_kind(type) == DM_JSON_STRING)
            dm_json_decode(text, type);
    }
    struct dm_slice trimmed = dm_utf8_trim(dm_buf_slice(text));
    return trimmed.len ? trimmed : DM_SLICE("message");
}

static void check(const struct dm_dialect *dialect, struct dm_slice message, bool binary)
{
    struct dm_command command;
    struct dm_buf scratch = DM_BUF_INIT, text = DM_BUF_INIT;
    dialect->read(message, binary, &scratch, &command);
    const struct room room = {message, dm_buf_slice(&scratch)};
    check_command(dialect, &room, &command);
    struct dm_slice payload = dm_json_valid(message) ? message : DM_NO_SLICE;
    struct dm_slice type = type_of(payload, &text);
    check_envelope(dialect, payload, type, DM_SLICE("zo\xc3\xab \"x\""));
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
            check(dm_dialect_of(id), message, binary);
    }
    free(copy);
    return 0;
}
