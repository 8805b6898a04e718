/* Whom a publish is for, and what makes two of them the same. */
#include "lib/unit.h"

#include <stdio.h>

#include "base/err.h"
#include "model/limits.h"
#include "model/publication.h"

static int read_into(struct dm_publication *publication, const char *text, struct dm_slice *why)
{
    *publication = (struct dm_publication){0};
    *why = DM_NO_SLICE;
    return dm_publication_read(publication, dm_slice_of(text), 3, why);
}

static void expect_refused(const char *text, int err, const char *why)
{
    struct dm_publication publication;
    struct dm_slice said;
    int got = read_into(&publication, text, &said);
    if (got != err || !dm_slice_eq(said, dm_slice_of(why)))
        fail_msg("%s: %s, %.*s", text, got ? dm_err_code(got) : "taken", (int)said.len,
                 said.at ? said.at : "");
    dm_publication_dispose(&publication);
}

static void a_channel_is_a_target(void **state)
{
    (void)state;
    struct dm_publication publication;
    struct dm_slice why;
    const char *text =
        "{\"type\":\" order \",\"channel\":\"\\u2028priv\\u0061te-x \",\"userId\":null,"
        "\"payload\":{ },\"durable\":true,\"userIds\":null}";
    assert_int_equal(read_into(&publication, text, &why), DM_OK);
    assert_true(dm_slice_eq(publication.channel, DM_SLICE("private-x")));
    assert_true(dm_slice_eq(publication.type, DM_SLICE("order")));
    assert_true(dm_slice_eq(publication.payload, DM_SLICE("{ }")));
    assert_true(publication.durable);
    assert_int_equal(publication.targets.count, 0);
    dm_publication_dispose(&publication);
    assert_null(publication.channel.at);
    assert_int_equal(read_into(&publication, "{\"userId\":\"x\",\"channel\":null}", &why), DM_OK);
    assert_null(publication.channel.at);
    assert_int_equal(publication.targets.count, 1);
    dm_publication_dispose(&publication);
}

static void there_is_one_kind_of_target(void **state)
{
    (void)state;
    const char *one = "Give one of userId, userIds and channel";
    expect_refused("{\"userId\":\"a\",\"userIds\":[\"b\"]}", DM_ERR_INVALID_FIELD, one);
    expect_refused("{\"userId\":\"a\",\"channel\":\"c\"}", DM_ERR_INVALID_FIELD, one);
    expect_refused("{\"channel\":\"c\",\"userIds\":[\"b\"]}", DM_ERR_INVALID_FIELD, one);
    expect_refused("{\"channel\":\"c\",\"userIds\":[],\"userId\":\"\"}", DM_ERR_INVALID_FIELD, one);
    expect_refused("{}", DM_ERR_NO_TARGET, NULL);
    expect_refused("{\"userId\":null,\"userIds\":null,\"channel\":null}", DM_ERR_NO_TARGET, NULL);
    assert_string_equal(dm_err_text(DM_ERR_NO_TARGET), "userId is required");
}

static void a_channel_has_a_name(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"\"",           "\" \"",       "7",    "[\"c\"]",  "\"..\"",
                                      "\"PRESENCE-x\"", "\"\\ud800\"", "true", "\"a\\nb\""};
    char text[64];
    for (size_t i = 0; i < DM_COUNT(bad); i++) {
        snprintf(text, sizeof text, "{\"channel\":%s}", bad[i]);
        expect_refused(text, DM_ERR_INVALID_CHANNEL, NULL);
    }
    assert_int_equal(dm_err_status(DM_ERR_INVALID_CHANNEL), 400);
    assert_string_equal(dm_err_code(DM_ERR_INVALID_CHANNEL), "invalid_channel");
    assert_string_equal(dm_err_text(DM_ERR_INVALID_CHANNEL), "Missing or invalid channel name");
}

struct hash {
    unsigned char bytes[DM_SHA256_LEN];
};

static struct hash hash_of(const char *text)
{
    struct dm_publication publication;
    struct dm_slice why;
    struct hash hash;
    assert_int_equal(read_into(&publication, text, &why), DM_OK);
    dm_publication_hash(&publication, hash.bytes);
    dm_publication_dispose(&publication);
    return hash;
}

static bool same(const char *a, const char *b)
{
    struct hash left = hash_of(a), right = hash_of(b);
    return memcmp(left.bytes, right.bytes, sizeof left.bytes) == 0;
}

static void the_hash_covers_the_target(void **state)
{
    (void)state;
    assert_true(same("{\"channel\":\"x\"}", "{\"channel\":\" \\u0078\",\"type\":\"message\"}"));
    assert_false(same("{\"channel\":\"x\"}", "{\"userId\":\"x\"}"));
    assert_false(same("{\"channel\":\"x\"}", "{\"channel\":\"y\"}"));
    assert_false(same("{\"channel\":\"x\"}", "{\"channel\":\"private-x\"}"));
    assert_false(same("{\"channel\":\"1:x\"}", "{\"userIds\":[\"x\",\"x\"]}"));
    assert_false(same("{\"channel\":\"x\"}", "{\"channel\":\"x\",\"durable\":true}"));
    assert_true(same("{\"userId\":\"x\"}", "{\"userIds\":[\"x\",\"x\"]}"));
}

/* What an upgrade finds in the store was hashed by an older version. */
static void the_hash_of_users_is_for_ever(void **state)
{
    (void)state;
    static const unsigned char expected[DM_SHA256_LEN] = {
        0x9c, 0xfa, 0xff, 0xbd, 0x37, 0x0e, 0x8a, 0x77, 0xdc, 0xa1, 0x7a,
        0xcb, 0x3a, 0x8a, 0x37, 0xfd, 0x8b, 0xae, 0xe1, 0x8e, 0x09, 0x32,
        0x26, 0x05, 0xe0, 0x83, 0x1d, 0x00, 0xbf, 0x64, 0xe5, 0x60};
    struct hash hash = hash_of("{\"userIds\":[\"a\",\"b\"],\"type\":\"t\",\"payload\":1,"
                               "\"timeoutMs\":0}");
    assert_memory_equal(hash.bytes, expected, sizeof expected);
}

static void some_types_are_the_servers_own(void **state)
{
    (void)state;
    static const char *const own[] = {"$",
                                      "$x",
                                      "__",
                                      "__x",
                                      "whisper",
                                      "presence.join",
                                      "presence.leave",
                                      "presence:join",
                                      "presence:leave"};
    static const char *const free_ones[] = {
        "_",         "x$",      "whispers",     "presence", "presence:joined",
        "presence.", "Whisper", "PRESENCE:join"};
    struct dm_slice why = DM_NO_SLICE;
    char text[DM_TYPE_MAX + 1];
    for (size_t i = 0; i < DM_COUNT(own); i++) {
        why = DM_NO_SLICE;
        assert_int_equal(dm_type_check(dm_slice_of(own[i]), &why), DM_ERR_INVALID_FIELD);
        assert_true(dm_slice_eq(why, DM_SLICE("That type is the server's own")));
    }
    for (size_t i = 0; i < DM_COUNT(free_ones); i++)
        assert_int_equal(dm_type_check(dm_slice_of(free_ones[i]), &why), DM_OK);
    memset(text, 't', sizeof text);
    assert_int_equal(dm_type_check(dm_slice(text, DM_TYPE_MAX), &why), DM_OK);
    assert_int_equal(dm_type_check(dm_slice(text, DM_TYPE_MAX + 1), &why), DM_ERR_INVALID_FIELD);
    expect_refused("{\"channel\":\"c\",\"type\":\" presence:join \"}", DM_ERR_INVALID_FIELD,
                   "That type is the server's own");
}

DM_UNIT_MAIN(cmocka_unit_test(a_channel_is_a_target), cmocka_unit_test(there_is_one_kind_of_target),
             cmocka_unit_test(a_channel_has_a_name), cmocka_unit_test(the_hash_covers_the_target),
             cmocka_unit_test(the_hash_of_users_is_for_ever),
             cmocka_unit_test(some_types_are_the_servers_own))
