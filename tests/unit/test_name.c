/* Names, and the slots that userIds hash to, which are on disk for ever. */
#include "lib/unit.h"

#include "base/err.h"
#include "lib/bytes.h"
#include "model/limits.h"
#include "model/name.h"

static bool point_allowed(uint32_t point)
{
    char text[6] = {'a'};
    size_t len = bytes_encode_point(point, text + 1);
    text[1 + len] = 'b';
    return dm_name_valid(dm_slice(text, len + 2));
}

static void test_lengths(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'n', sizeof text);
    assert_false(dm_user_id_valid(DM_NO_SLICE));
    assert_false(dm_name_valid(DM_SLICE("")));
    assert_true(dm_user_id_valid(dm_slice(text, DM_USER_ID_MAX)));
    assert_false(dm_user_id_valid(dm_slice(text, DM_USER_ID_MAX + 1)));
    assert_true(dm_name_valid(dm_slice(text, DM_CHANNEL_NAME_MAX)));
    assert_false(dm_name_valid(dm_slice(text, DM_CHANNEL_NAME_MAX + 1)));
}

static void test_shapes(void **state)
{
    (void)state;
    assert_false(dm_name_valid(DM_SLICE(".")));
    assert_false(dm_name_valid(DM_SLICE("..")));
    assert_true(dm_name_valid(DM_SLICE("...")));
    assert_true(dm_name_valid(DM_SLICE(".a")));
    assert_true(dm_name_valid(DM_SLICE("a b/c%2F?#&=:@")));
    assert_true(dm_user_id_valid(DM_SLICE("auth0|5f7c8ec7c33c6c004bbafe82")));
    assert_true(dm_name_valid(DM_SLICE("\xc5\xbc\xc3\xb3\xc5\x82w \xe6\xbc\xa2 \xf0\x9f\x90\xad")));
    assert_false(dm_name_valid(DM_SLICE("a\xff")));
    assert_false(dm_name_valid(DM_SLICE("a\xed\xa0\x80"))); /* a surrogate is no UTF-8 */
    assert_false(dm_name_valid(DM_SLICE("a\0b")));
}

static void test_invisible(void **state)
{
    (void)state;
    static const uint32_t refused[] = {
        0x00,    0x09,    0x0a,     0x1f,    0x7f,    0x80,    0x85,    0x9f,    0xa0,    0xad,
        0x34f,   0x600,   0x61c,    0x6dd,   0x70f,   0x115f,  0x1160,  0x1680,  0x17b4,  0x180b,
        0x180e,  0x2000,  0x200a,   0x200b,  0x200f,  0x2028,  0x2029,  0x202e,  0x202f,  0x205f,
        0x2060,  0x2064,  0x2065,   0x206f,  0x2800,  0x3000,  0x3164,  0xe000,  0xf8ff,  0xfdd0,
        0xfdef,  0xfe00,  0xfe0f,   0xfeff,  0xffa0,  0xfff9,  0xfffb,  0xfffe,  0xffff,  0x1fffe,
        0x8ffff, 0x110bd, 0x13430,  0x1bca0, 0x1d173, 0xe0001, 0xe0020, 0xe007f, 0xe0100, 0xe01ef,
        0xe0fff, 0xf0000, 0x10fffd, 0x10ffff};
    static const uint32_t allowed[] = {
        0x20,   0x21,   0x7e,   0xa1,   0xac,   0xae,    0x34e,   0x350,   0x606,
        0x1161, 0x180a, 0x1810, 0x2010, 0x2027, 0x2030,  0x205e,  0x2070,  0x27ff,
        0x2801, 0x3001, 0x3163, 0x3165, 0xd7ff, 0xf900,  0xfdcf,  0xfdf0,  0xfe10,
        0xfefe, 0xff00, 0xffa1, 0xfffc, 0xfffd, 0x10000, 0x1f42d, 0xdffff, 0xe1000};
    for (size_t i = 0; i < DM_COUNT(refused); i++)
        if (point_allowed(refused[i]))
            fail_msg("allowed in a name: U+%04X", refused[i]);
    for (size_t i = 0; i < DM_COUNT(allowed); i++)
        if (!point_allowed(allowed[i]) && (allowed[i] & 0xfffe) != 0xfffe)
            fail_msg("not allowed in a name: U+%04X", allowed[i]);
}

static void test_prefixes(void **state)
{
    (void)state;
    static const char *const refused[] = {"Private-x",  "PRIVATE-",  "privatE-x",
                                          "PRESENCE-x", "Presence-", "presencE-x"};
    static const char *const allowed[] = {
        "private-",  "private-x", "presence-",   "presence-X", "privateer",         "Private",
        "PRIVATE_x", "presences", "x-Private-x", "Presence",   "private-Presence-x"};
    for (size_t i = 0; i < DM_COUNT(refused); i++) {
        if (dm_name_valid(dm_slice_of(refused[i])))
            fail_msg("a name: %s", refused[i]);
        assert_true(dm_user_id_valid(dm_slice_of(refused[i])));
    }
    for (size_t i = 0; i < DM_COUNT(allowed); i++)
        if (!dm_name_valid(dm_slice_of(allowed[i])))
            fail_msg("no name: %s", allowed[i]);
    assert_true(dm_name_is_presence(DM_SLICE("presence-x")));
    assert_true(dm_name_is_presence(DM_SLICE("presence-")));
    assert_false(dm_name_is_presence(DM_SLICE("presence")));
    assert_false(dm_name_is_presence(DM_SLICE("private-presence-x")));
    assert_false(dm_name_is_presence(DM_NO_SLICE));
}

static void test_type_beside_name(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type, *out; /* NULL: none */
        int err;
    } cases[] = {
        {"orders", NULL, "orders", DM_OK},
        {"orders", "public", "orders", DM_OK},
        {"orders", "private", "private-orders", DM_OK},
        {"orders", "presence", "presence-orders", DM_OK},
        {"private-orders", "private", "private-orders", DM_OK},
        {"presence-orders", "presence", "presence-orders", DM_OK},
        {"private-orders", "public", "private-orders", DM_OK},
        {"presence-orders", NULL, "presence-orders", DM_OK},
        {"private-orders", "presence", "", DM_ERR_INVALID_NAME},
        {"presence-orders", "private", "", DM_ERR_INVALID_NAME},
        {"private-", "presence", "", DM_ERR_INVALID_NAME},
        {"orders", "", "", DM_ERR_INVALID_FIELD},
        {"orders", "Private", "", DM_ERR_INVALID_FIELD},
        {"orders", "private-", "", DM_ERR_INVALID_FIELD},
        {"orders", "privateer", "", DM_ERR_INVALID_FIELD},
        {"", "private", "", DM_ERR_INVALID_NAME},
        {"..", "presence", "", DM_ERR_INVALID_NAME},
        {".", NULL, "", DM_ERR_INVALID_NAME},
        {"Private-x", "private", "", DM_ERR_INVALID_NAME},
        {"PRESENCE-x", "public", "", DM_ERR_INVALID_NAME},
        {"a\nb", "private", "", DM_ERR_INVALID_NAME},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_buf out = DM_BUF_INIT;
        dm_buf_lit(&out, ">");
        int err = dm_name_with_type(dm_slice_of(cases[i].name), dm_slice_of(cases[i].type), &out);
        if (err != cases[i].err || strcmp(dm_buf_text(&out) + 1, cases[i].out) != 0)
            fail_msg("%s, %s: %d, %s", cases[i].name, cases[i].type, err, dm_buf_text(&out));
        dm_buf_dispose(&out);
    }
}

static void test_type_makes_name_too_long(void **state)
{
    (void)state;
    char text[DM_CHANNEL_NAME_MAX + 1];
    struct dm_buf out = DM_BUF_INIT;
    memset(text, 'n', sizeof text);
    size_t most = DM_CHANNEL_NAME_MAX - strlen("presence-");
    assert_int_equal(dm_name_with_type(dm_slice(text, most), DM_SLICE("presence"), &out), DM_OK);
    assert_int_equal(out.len, DM_CHANNEL_NAME_MAX);
    assert_true(dm_name_valid(dm_buf_slice(&out)));
    dm_buf_clear(&out);
    assert_int_equal(dm_name_with_type(dm_slice(text, most + 1), DM_SLICE("presence"), &out),
                     DM_ERR_INVALID_NAME);
    assert_int_equal(dm_name_with_type(dm_slice(text, sizeof text), DM_SLICE("public"), &out),
                     DM_ERR_INVALID_NAME);
    assert_int_equal(out.len, 0);
    assert_int_equal(dm_name_with_type(dm_slice(text, most + 1), DM_SLICE("private"), &out), DM_OK);
    dm_buf_dispose(&out);
}

/* Never change these: rows of old databases are under them. */
static void test_slots_pinned(void **state)
{
    (void)state;
    static const struct {
        const char *user_id;
        uint32_t slot;
    } pinned[] = {{"", 812},
                  {"alice", 1601},
                  {"bob", 3370},
                  {"user-1", 928},
                  {"12345678", 2695},
                  {"\xf0\x9f\x90\xad", 885},
                  {"0198c7a2-5b1e-7c44-9a51-3f0f5b0c9d11", 1188}};
    for (size_t i = 0; i < DM_COUNT(pinned); i++)
        if (dm_slot_of(dm_slice_of(pinned[i].user_id)) != pinned[i].slot)
            fail_msg("%s: %u", pinned[i].user_id, dm_slot_of(dm_slice_of(pinned[i].user_id)));
}

static void test_slots_spread(void **state)
{
    (void)state;
    static uint32_t held[DM_SLOTS];
    for (int i = 0; i < 40 * DM_SLOTS; i++) {
        char id[32];
        int len = snprintf(id, sizeof id, "user-%d", i);
        uint32_t slot = dm_slot_of(dm_slice(id, (size_t)len));
        assert_true(slot < DM_SLOTS);
        held[slot]++;
    }
    for (int i = 0; i < DM_SLOTS; i++)
        assert_in_range(held[i], 10, 90);
}

static void test_shards(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= DM_SHARDS_MAX; shards++) {
        uint32_t held[DM_SHARDS_MAX] = {0}, last = 0;
        for (uint32_t slot = 0; slot < DM_SLOTS; slot++) {
            uint32_t shard = dm_shard_of_slot(slot, shards);
            assert_true(shard >= last && shard < shards);
            last = shard;
            held[shard]++;
        }
        for (uint32_t i = 0; i < shards; i++)
            assert_in_range(held[i], DM_SLOTS / shards, DM_SLOTS / shards + 1);
    }
}

DM_UNIT_MAIN(cmocka_unit_test(test_lengths), cmocka_unit_test(test_shapes),
             cmocka_unit_test(test_invisible), cmocka_unit_test(test_prefixes),
             cmocka_unit_test(test_type_beside_name),
             cmocka_unit_test(test_type_makes_name_too_long), cmocka_unit_test(test_slots_pinned),
             cmocka_unit_test(test_slots_spread), cmocka_unit_test(test_shards))
