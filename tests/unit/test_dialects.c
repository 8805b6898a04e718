/* What each dialect reads and writes, to the byte. */
#include "lib/unit.h"

#include <stdio.h>

#include "base/err.h"
#include "codec/json.h"
#include "dialect/dialect.h"

#define ID "0198c7a2-5b1e-7c44-9a51-3f0f5b0c9d11"

static const struct dm_slice alice = DM_SLICE_INIT("alice");
static struct dm_buf scratch;

static int dispose_scratch(void **state)
{
    (void)state;
    dm_buf_dispose(&scratch);
    return 0;
}

static struct dm_command read_as(enum dm_dialect_id dialect, bool binary, const char *text)
{
    struct dm_command command;
    dm_dialect_of(dialect)->read(dm_slice_of(text), binary, &scratch, &command);
    return command;
}

#define assert_slice(slice, text)                                                                  \
    do {                                                                                           \
        struct dm_slice said = (slice);                                                            \
        if (!dm_slice_eq(said, dm_slice_of(text)))                                                 \
            fail_msg("%.*s, and not %s", (int)said.len, said.at ? said.at : "", text);             \
    } while (0)

static struct dm_envelope_draft draft_of(const char *type)
{
    struct dm_envelope_draft draft = {.ts = 1750000000123, .type = dm_slice_of(type)};
    assert_true(dm_uuid_parse(DM_SLICE(ID), &draft.id));
    return draft;
}

static void expect_again(enum dm_dialect_id dialect, const struct dm_envelope_draft *draft,
                         bool again, const char *text)
{
    struct dm_buf out = DM_BUF_INIT;
    struct dm_envelope *envelope = dm_envelope_create(draft);
    dm_dialect_of(dialect)->write(envelope, alice, again, &out);
    assert_true(dm_json_valid(dm_buf_slice(&out)));
    assert_slice(dm_buf_slice(&out), text);
    dm_envelope_release(envelope);
    dm_buf_dispose(&out);
}

static void expect(enum dm_dialect_id dialect, const struct dm_envelope_draft *draft,
                   const char *text)
{
    expect_again(dialect, draft, false, text);
}

static void names_are_for_ever(void **state)
{
    (void)state;
    static const char *const names[DM_DIALECT_COUNT] = {"hopeflow", "native", "notifier",
                                                        "broadcast"};
    for (unsigned id = 0; id < DM_DIALECT_COUNT; id++) {
        assert_string_equal(dm_dialect_of((enum dm_dialect_id)id)->name, names[id]);
        assert_int_equal(dm_dialect_named(dm_slice_of(names[id])), id);
    }
    assert_int_equal(dm_dialect_named(DM_SLICE("room")), DM_DIALECT_COUNT);
    assert_int_equal(dm_dialect_named(DM_NO_SLICE), DM_DIALECT_COUNT);
}

static void sessions_are_as_the_dialect_says(void **state)
{
    (void)state;
    static const bool expected[DM_DIALECT_COUNT][6] = {
        /* acks, needs_filters, resumes, same_for_all, hears_peers, listens */
        [DM_DIALECT_HOPEFLOW] = {true, true, false, false, false, false},
        [DM_DIALECT_NATIVE] = {true, false, true, false, true, false},
        [DM_DIALECT_NOTIFIER] = {false, false, false, true, false, false},
        [DM_DIALECT_BROADCAST] = {false, false, false, true, true, true},
    };
    for (unsigned id = 0; id < DM_DIALECT_COUNT; id++) {
        const struct dm_dialect *dialect = dm_dialect_of((enum dm_dialect_id)id);
        const bool is[6] = {dialect->acks,         dialect->needs_filters, dialect->resumes,
                            dialect->same_for_all, dialect->hears_peers,   dialect->listens};
        assert_memory_equal(is, expected[id], sizeof is);
        assert_int_equal(dialect->welcome != NULL, dialect->resumes);
        assert_int_equal(dialect->answer != NULL, dialect->resumes);
    }
}

static void envelope_keeps_copies(void **state)
{
    (void)state;
    char text[] = "typepayloadlabelroomzoe";
    const struct dm_envelope_draft draft = {.ts = 7,
                                            .type = dm_slice(text, 4),
                                            .payload = dm_slice(text + 4, 7),
                                            .label = dm_slice(text + 11, 5),
                                            .channel = dm_slice(text + 16, 4),
                                            .from = dm_slice(text + 20, 3),
                                            .of_peers = true};
    struct dm_envelope *envelope = dm_envelope_create(&draft);
    memset(text, 'x', sizeof text);
    assert_slice(envelope->type, "type");
    assert_slice(envelope->payload, "payload");
    assert_slice(envelope->label, "label");
    assert_slice(envelope->channel, "room");
    assert_slice(envelope->from, "zoe");
    assert_true(envelope->of_peers && envelope->ts == 7);
    dm_envelope_release(envelope);
    const struct dm_envelope_draft bare = {.type = DM_SLICE("t")};
    envelope = dm_envelope_create(&bare);
    assert_null(envelope->payload.at);
    assert_null(envelope->label.at);
    assert_null(envelope->channel.at);
    assert_null(envelope->from.at);
    assert_false(envelope->of_peers);
    dm_envelope_release(envelope);
}

static void notifier_knows_ping_and_nothing_else(void **state)
{
    (void)state;
    static const char *const pings[] = {"{\"type\":\"ping\"}",
                                        " {\"x\":[1],\"type\":\"p\\u0069ng\"} ",
                                        "{\"type\":\"x\",\"type\":\"ping\"}"};
    static const char *const junk[] = {"ping",
                                       "\"ping\"",
                                       "",
                                       "{}",
                                       "{",
                                       "[{\"type\":\"ping\"}]",
                                       "{\"type\":\"Ping\"}",
                                       "{\"type\":\" ping\"}",
                                       "{\"type\":[\"ping\"]}",
                                       "{\"type\":null}",
                                       "{\"type\":\"ping\",\"type\":1}",
                                       "{\"type\":\"ping\"} x",
                                       "{\"type\":\"subscribe\",\"filters\":[{\"type\":\"x\"}]}",
                                       "{\"event\":\"whisper\",\"data\":1}",
                                       "{\"type\":\"ack\",\"envelopeId\":\"" ID "\"}"};
    for (size_t i = 0; i < DM_COUNT(pings); i++) {
        struct dm_command command = read_as(DM_DIALECT_NOTIFIER, false, pings[i]);
        assert_int_equal(command.kind, DM_COMMAND_FIXED);
        assert_slice(command.answer, "{\"type\":\"pong\"}");
    }
    for (size_t i = 0; i < DM_COUNT(junk); i++)
        if (read_as(DM_DIALECT_NOTIFIER, false, junk[i]).kind != DM_COMMAND_IGNORE)
            fail_msg("not ignored: %s", junk[i]);
    assert_int_equal(read_as(DM_DIALECT_NOTIFIER, true, pings[0]).kind, DM_COMMAND_IGNORE);
}

static void notifier_shows_an_event(void **state)
{
    (void)state;
    struct dm_envelope_draft draft = draft_of("inbox \"x\"");
    expect(DM_DIALECT_NOTIFIER, &draft,
           "{\"type\":\"inbox \\\"x\\\"\",\"id\":\"" ID "\",\"ts\":1750000000123}");
    draft.payload = DM_SLICE("{ \"n\" : 1.50e0 }");
    expect_again(DM_DIALECT_NOTIFIER, &draft, true,
                 "{\"type\":\"inbox \\\"x\\\"\",\"data\":{ \"n\" : 1.50e0 },\"id\":\"" ID
                 "\",\"ts\":1750000000123}");
    draft.channel = DM_SLICE("c");
    draft.payload = DM_NO_SLICE;
    expect(DM_DIALECT_NOTIFIER, &draft,
           "{\"type\":\"inbox \\\"x\\\"\",\"id\":\"" ID
           "\",\"ts\":1750000000123,\"channel\":\"c\"}");
    draft.payload = DM_SLICE("null");
    draft.label = DM_SLICE("a\"b\n");
    draft.channel = DM_SLICE("caf\xc3\xa9 \\");
    draft.from = DM_SLICE("zoe");
    draft.ts = 0;
    expect(DM_DIALECT_NOTIFIER, &draft,
           "{\"type\":\"inbox \\\"x\\\"\",\"data\":null,\"id\":\"a\\\"b\\n\",\"ts\":0,"
           "\"channel\":\"caf\xc3\xa9 \\\\\"}");
}

static void broadcast_knows_whispers_and_nothing_else(void **state)
{
    (void)state;
    static const char *const junk[] = {"ping",
                                       "",
                                       "{}",
                                       "[]",
                                       "{\"event\":\"Whisper\"}",
                                       "{\"event\":\"whisper \"}",
                                       "{\"event\":7}",
                                       "{\"type\":\"whisper\",\"data\":1}",
                                       "{\"type\":\"ping\"}",
                                       "{\"event\":\"presence:join\",\"data\":{}}",
                                       "{\"event\":\"whisper\",\"event\":\"x\"}",
                                       "{\"event\":\"whisper\""};
    const char *text =
        "{\"event\":\"whisper\",\"channel\":\"other\",\"data\":{ \"x\" : [1e400] } }";
    struct dm_command command = read_as(DM_DIALECT_BROADCAST, false, text);
    assert_int_equal(command.kind, DM_COMMAND_WHISPER);
    assert_null(command.channel.at);
    assert_null(command.ref.at);
    assert_slice(command.payload, "{ \"x\" : [1e400] }");
    assert_true(command.payload.at > text && command.payload.at < text + strlen(text));
    command = read_as(DM_DIALECT_BROADCAST, false, "{\"event\":\"wh\\u0069sper\"}");
    assert_int_equal(command.kind, DM_COMMAND_WHISPER);
    assert_null(command.payload.at);
    command = read_as(DM_DIALECT_BROADCAST, false, "{\"data\":null,\"event\":\"whisper\"}");
    assert_slice(command.payload, "null");
    for (size_t i = 0; i < DM_COUNT(junk); i++)
        if (read_as(DM_DIALECT_BROADCAST, false, junk[i]).kind != DM_COMMAND_IGNORE)
            fail_msg("not ignored: %s", junk[i]);
    assert_int_equal(read_as(DM_DIALECT_BROADCAST, true, text).kind, DM_COMMAND_IGNORE);
}

static void broadcast_shows_event_and_data(void **state)
{
    (void)state;
    struct dm_envelope_draft draft = draft_of("OrderShipped");
    expect(DM_DIALECT_BROADCAST, &draft, "{\"event\":\"OrderShipped\",\"data\":{}}");
    draft.payload = DM_SLICE("[ 1.0 ,\"\\u0041\"]");
    draft.label = DM_SLICE("label");
    draft.channel = DM_SLICE("orders");
    expect_again(DM_DIALECT_BROADCAST, &draft, true,
                 "{\"event\":\"OrderShipped\",\"data\":[ 1.0 ,\"\\u0041\"]}");
    draft.type = DM_SLICE("a\"\xed\xa0\x80"); /* a lone surrogate, as JSON decodes it */
    draft.payload = DM_SLICE("null");
    expect(DM_DIALECT_BROADCAST, &draft, "{\"event\":\"a\\\"\\ud800\",\"data\":null}");
}

static void broadcast_shows_peers(void **state)
{
    (void)state;
    struct dm_envelope_draft draft = draft_of("presence.join");
    draft.of_peers = true;
    draft.channel = DM_SLICE("presence-x");
    draft.payload = DM_SLICE("{\"member\":{\"id\":\"zoe\",\"joinedAt\":7}}");
    expect(DM_DIALECT_BROADCAST, &draft,
           "{\"event\":\"presence:join\",\"data\":{\"member\":{\"id\":\"zoe\",\"joinedAt\":7}}}");
    draft.type = DM_SLICE("presence.leave");
    draft.payload = DM_SLICE("{\"member\":{\"id\":\"zoe\"}}");
    expect(DM_DIALECT_BROADCAST, &draft,
           "{\"event\":\"presence:leave\",\"data\":{\"member\":{\"id\":\"zoe\"}}}");
    draft.type = DM_SLICE("whisper");
    draft.from = DM_SLICE("zoe");
    draft.payload = DM_NO_SLICE;
    expect(DM_DIALECT_BROADCAST, &draft, "{\"event\":\"whisper\",\"data\":{}}");
}

#define HEAD                                                                                       \
    "{\"envelopeId\":\"" ID "\",\"type\":\"t\",\"userId\":\"alice\","                              \
    "\"timestamp\":\"2025-06-15T15:06:40.123Z\""

static void hopeflow_knows_no_channel(void **state)
{
    (void)state;
    struct dm_envelope_draft draft = draft_of("t");
    expect(DM_DIALECT_HOPEFLOW, &draft, HEAD "}");
    draft.channel = DM_SLICE("orders");
    draft.from = DM_SLICE("zoe");
    draft.label = DM_SLICE("label");
    draft.payload = DM_SLICE("{ }");
    expect(DM_DIALECT_HOPEFLOW, &draft, HEAD ",\"payload\":{ }}");
    expect_again(DM_DIALECT_HOPEFLOW, &draft, true, HEAD ",\"redelivered\":true,\"payload\":{ }}");
    assert_int_equal(
        read_as(DM_DIALECT_HOPEFLOW, false, "{\"type\":\"join\",\"channel\":\"c\"}").kind,
        DM_COMMAND_IGNORE);
}

static void native_shows_channel_and_sender(void **state)
{
    (void)state;
    struct dm_envelope_draft draft = draft_of("t");
    expect(DM_DIALECT_NATIVE, &draft, HEAD "}");
    draft.label = DM_SLICE("label");
    draft.channel = DM_SLICE("a \"b\"");
    draft.payload = DM_SLICE("1.0");
    expect(DM_DIALECT_NATIVE, &draft, HEAD ",\"channel\":\"a \\\"b\\\"\",\"payload\":1.0}");
    draft.from = DM_SLICE("guest:z\\");
    expect(DM_DIALECT_NATIVE, &draft,
           HEAD ",\"channel\":\"a \\\"b\\\"\",\"from\":\"guest:z\\\\\",\"payload\":1.0}");
    draft.from = DM_NO_SLICE;
    expect_again(DM_DIALECT_NATIVE, &draft, true,
                 HEAD ",\"channel\":\"a \\\"b\\\"\",\"redelivered\":true,\"payload\":1.0}");
}

static void native_takes_commands_of_channels(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum dm_command_kind kind;
        const char *payload;
    } commands[] = {
        {"{\"type\":\"join\",\"channel\":\" a\\u0062 \",\"ref\":1}", DM_COMMAND_JOIN, NULL},
        {"{\"channel\":\"ab\",\"ref\":1,\"type\":\"leave\",\"data\":1}", DM_COMMAND_LEAVE, NULL},
        {"{\"type\":\"presence\",\"ref\":1,\"channel\":\"ab\"}", DM_COMMAND_PRESENCE, NULL},
        {"{\"type\":\"whisper\",\"ref\":1,\"channel\":\"ab\"}", DM_COMMAND_WHISPER, NULL},
        {"{\"type\":\"whisper\",\"ref\":1,\"channel\":\"\\ufeffab\",\"data\":{ \"\":1.0 } }",
         DM_COMMAND_WHISPER, "{ \"\":1.0 }"},
        {"{\"type\":\"whisper\",\"data\":null,\"ref\":1,\"channel\":\"ab\"}", DM_COMMAND_WHISPER,
         "null"},
    };
    for (size_t i = 0; i < DM_COUNT(commands); i++) {
        struct dm_command command = read_as(DM_DIALECT_NATIVE, false, commands[i].text);
        assert_int_equal(command.kind, commands[i].kind);
        assert_slice(command.channel, "ab");
        assert_slice(command.ref, "1");
        assert_int_equal(command.payload.at != NULL, commands[i].payload != NULL);
        assert_slice(command.payload, commands[i].payload);
    }
}

static void native_refuses_what_is_no_channel(void **state)
{
    (void)state;
    static const char *const types[] = {"join", "leave", "whisper", "presence"};
    static const char *const channels[] = {"",
                                           ",\"channel\":\"\"",
                                           ",\"channel\":\"Private-x\"",
                                           ",\"channel\":null",
                                           ",\"channel\":[\"x\"]",
                                           ",\"channel\":\"..\"",
                                           ",\"channel\":7",
                                           ",\"channel\":\"a\\u0000b\"",
                                           ",\"channel\":\"\\ud800\"",
                                           ",\"channel\":\" \"",
                                           ",\"channel\":\"a\",\"channel\":1"};
    char text[200];
    for (size_t i = 0; i < DM_COUNT(types) * DM_COUNT(channels); i++) {
        snprintf(text, sizeof text, "{\"type\":\"%s\",\"ref\":\"r\"%s}", types[i % DM_COUNT(types)],
                 channels[i / DM_COUNT(types)]);
        struct dm_command command = read_as(DM_DIALECT_NATIVE, false, text);
        if (command.kind != DM_COMMAND_REFUSED || command.err != DM_ERR_INVALID_CHANNEL)
            fail_msg("not refused: %s", text);
        assert_null(command.channel.at);
        assert_slice(command.ref, "\"r\"");
    }
}

DM_UNIT_MAIN(cmocka_unit_test(names_are_for_ever),
             cmocka_unit_test(sessions_are_as_the_dialect_says),
             cmocka_unit_test(envelope_keeps_copies),
             cmocka_unit_test(notifier_knows_ping_and_nothing_else),
             cmocka_unit_test(notifier_shows_an_event),
             cmocka_unit_test(broadcast_knows_whispers_and_nothing_else),
             cmocka_unit_test(broadcast_shows_event_and_data),
             cmocka_unit_test(broadcast_shows_peers), cmocka_unit_test(hopeflow_knows_no_channel),
             cmocka_unit_test(native_shows_channel_and_sender),
             cmocka_unit_test_teardown(native_takes_commands_of_channels, dispose_scratch),
             cmocka_unit_test_teardown(native_refuses_what_is_no_channel, dispose_scratch))
