/* Walking JSON in place, and what strings and numbers say. */
#include "lib/unit.h"

#include <math.h>

#include "codec/json.h"
#include "lib/bytes.h"

#define assert_slice(slice, literal) assert_true(dm_slice_eq((slice), DM_SLICE(literal)))

static void test_value_and_kind(void **state)
{
    (void)state;
    assert_slice(dm_json_value(DM_SLICE("\t\r\n 1 \n")), "1");
    assert_slice(dm_json_value(DM_SLICE("[ ]")), "[ ]");
    assert_int_equal(dm_json_kind(DM_SLICE("null")), DM_JSON_NULL);
    assert_int_equal(dm_json_kind(DM_SLICE("true")), DM_JSON_BOOL);
    assert_int_equal(dm_json_kind(DM_SLICE("false")), DM_JSON_BOOL);
    assert_int_equal(dm_json_kind(DM_SLICE("-1")), DM_JSON_NUMBER);
    assert_int_equal(dm_json_kind(DM_SLICE("0")), DM_JSON_NUMBER);
    assert_int_equal(dm_json_kind(DM_SLICE("\"\"")), DM_JSON_STRING);
    assert_int_equal(dm_json_kind(DM_SLICE("[]")), DM_JSON_ARRAY);
    assert_int_equal(dm_json_kind(DM_SLICE("{}")), DM_JSON_OBJECT);
}

static void test_absent(void **state)
{
    (void)state;
    struct dm_slice key, value;
    assert_int_equal(dm_json_kind(DM_NO_SLICE), DM_JSON_ABSENT);
    assert_null(dm_json_value(DM_NO_SLICE).at);
    struct dm_json_walk walk = dm_json_walk(DM_NO_SLICE);
    assert_false(dm_json_next(&walk, &key, &value));
    walk = dm_json_walk(DM_SLICE("\"[1]\""));
    assert_false(dm_json_next(&walk, &key, &value));
    assert_null(dm_json_get(DM_NO_SLICE, DM_SLICE("a")).at);
    assert_null(dm_json_get(DM_SLICE("[1]"), DM_SLICE("a")).at);
    assert_null(dm_json_get(DM_SLICE("{}"), DM_NO_SLICE).at);
    assert_slice(dm_json_get(DM_SLICE("{\"\":1}"), DM_NO_SLICE), "1");
    assert_false(dm_json_string_is(DM_NO_SLICE, DM_NO_SLICE));
    assert_true(dm_json_string_is(DM_SLICE("\"\""), DM_NO_SLICE));
    assert_false(dm_json_string_is(DM_SLICE("12"), DM_NO_SLICE));
    struct dm_buf out = DM_BUF_INIT;
    dm_json_decode(&out, DM_NO_SLICE);
    assert_int_equal(out.len, 0);
    dm_json_encode(&out, DM_NO_SLICE);
    assert_string_equal(dm_buf_text(&out), "\"\"");
    dm_buf_dispose(&out);
}

static void test_walk_object(void **state)
{
    (void)state;
    struct dm_slice key, value;
    struct dm_json_walk walk = dm_json_walk(DM_SLICE(
        "{ \"a\" : 1 ,\"b,}\\\"\":{\"x\":[\"]\",{}]}\n,\"\":\"\\\\\",\"n\":null,\"z\": [ [ ] ] }"));
    static const char *const members[][2] = {{"\"a\"", "1"},
                                             {"\"b,}\\\"\"", "{\"x\":[\"]\",{}]}"},
                                             {"\"\"", "\"\\\\\""},
                                             {"\"n\"", "null"},
                                             {"\"z\"", "[ [ ] ]"}};
    for (size_t i = 0; i < DM_COUNT(members); i++) {
        assert_true(dm_json_next(&walk, &key, &value));
        assert_true(dm_slice_eq(key, dm_slice_of(members[i][0])));
        assert_true(dm_slice_eq(value, dm_slice_of(members[i][1])));
    }
    assert_false(dm_json_next(&walk, &key, &value));
    assert_false(dm_json_next(&walk, &key, &value));
}

static void test_walk_array(void **state)
{
    (void)state;
    struct dm_slice key, value;
    struct dm_json_walk walk = dm_json_walk(DM_SLICE("[-1.5e3,\"a\\u0022,b\" , [1,2], true]"));
    static const char *const elements[] = {"-1.5e3", "\"a\\u0022,b\"", "[1,2]", "true"};
    for (size_t i = 0; i < DM_COUNT(elements); i++) {
        assert_true(dm_json_next(&walk, &key, &value));
        assert_null(key.at);
        assert_true(dm_slice_eq(value, dm_slice_of(elements[i])));
    }
    assert_false(dm_json_next(&walk, &key, &value));
    walk = dm_json_walk(DM_SLICE("[ \n ]"));
    assert_false(dm_json_next(&walk, &key, &value));
}

static void test_get(void **state)
{
    (void)state;
    struct dm_slice object = DM_SLICE("{\"a\":1,\"type\":\"x\",\"b\":{\"c\":3},\"\\u0061\":2,"
                                      "\"\\ud83d\\ude00\":4,\"caf\xc3\xa9\":5,\"type\":null}");
    assert_slice(dm_json_get(object, DM_SLICE("a")), "2");
    assert_slice(dm_json_get(object, DM_SLICE("type")), "null");
    assert_slice(dm_json_get(object, DM_SLICE("\xf0\x9f\x98\x80")), "4");
    assert_slice(dm_json_get(object, DM_SLICE("caf\xc3\xa9")), "5");
    assert_null(dm_json_get(object, DM_SLICE("c")).at);
    assert_null(dm_json_get(object, DM_SLICE("typ")).at);
    assert_null(dm_json_get(object, DM_SLICE("\\u0061")).at);
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        struct dm_slice string, says, written; /* absent: as `string` */
    } cases[] = {
        {DM_SLICE("\"\""), DM_SLICE(""), DM_NO_SLICE},
        {DM_SLICE("\"plain\""), DM_SLICE("plain"), DM_NO_SLICE},
        {DM_SLICE("\"\\\"\\\\\\b\\f\\n\\r\\t\""), DM_SLICE("\"\\\b\f\n\r\t"), DM_NO_SLICE},
        {DM_SLICE("\"\\/\""), DM_SLICE("/"), DM_SLICE("\"/\"")},
        {DM_SLICE("\"a\\u0000b\""), DM_SLICE("a\0b"), DM_NO_SLICE},
        {DM_SLICE("\"\\u001f\x7f\""), DM_SLICE("\x1f\x7f"), DM_NO_SLICE},
        {DM_SLICE("\"\\u0041\\u00e9\\u20AC\""), DM_SLICE("A\xc3\xa9\xe2\x82\xac"),
         DM_SLICE("\"A\xc3\xa9\xe2\x82\xac\"")},
        {DM_SLICE("\"\\uD83D\\uDE00\""), DM_SLICE("\xf0\x9f\x98\x80"),
         DM_SLICE("\"\xf0\x9f\x98\x80\"")},
        {DM_SLICE("\"\\udbff\\udfff\""), DM_SLICE("\xf4\x8f\xbf\xbf"),
         DM_SLICE("\"\xf4\x8f\xbf\xbf\"")},
        {DM_SLICE("\"\\ud83d\""), DM_SLICE("\xed\xa0\xbd"), DM_NO_SLICE},
        {DM_SLICE("\"x\\udfffy\""), DM_SLICE("x\xed\xbf\xbfy"), DM_NO_SLICE},
        {DM_SLICE("\"\\ude00\\ud83d\""), DM_SLICE("\xed\xb8\x80\xed\xa0\xbd"), DM_NO_SLICE},
        {DM_SLICE("\"\\ud83d\\ud83d\\ude00\""), DM_SLICE("\xed\xa0\xbd\xf0\x9f\x98\x80"),
         DM_SLICE("\"\\ud83d\xf0\x9f\x98\x80\"")},
        {DM_SLICE("\"\\ud83dx\\ude00\""), DM_SLICE("\xed\xa0\xbdx\xed\xb8\x80"), DM_NO_SLICE},
        {DM_SLICE("\"\\ud83d\\ue000\""), DM_SLICE("\xed\xa0\xbd\xee\x80\x80"),
         DM_SLICE("\"\\ud83d\xee\x80\x80\"")},
        {DM_SLICE("\"\\ud83d\\n\""), DM_SLICE("\xed\xa0\xbd\n"), DM_NO_SLICE},
        {DM_SLICE("\"\xed\x95\x9c\xed\x9f\xbf\""), DM_SLICE("\xed\x95\x9c\xed\x9f\xbf"),
         DM_NO_SLICE}, /* Hangul, whose lead byte surrogates share */
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_buf out = DM_BUF_INIT;
        struct dm_slice string = bytes_exact(cases[i].string), says = bytes_exact(cases[i].says);
        assert_true(dm_json_valid(string));
        dm_json_decode(&out, string);
        assert_true(dm_slice_eq(dm_buf_slice(&out), says));
        assert_true(dm_json_string_is(string, says));
        assert_false(dm_json_string_is(string, DM_SLICE("?")));
        if (says.len)
            assert_false(dm_json_string_is(string, dm_slice(says.at, says.len - 1)));
        dm_buf_add_byte(&out, '?');
        assert_false(dm_json_string_is(string, dm_buf_slice(&out)));
        dm_buf_clear(&out);
        dm_json_encode(&out, says);
        struct dm_slice want = cases[i].written.at ? cases[i].written : string;
        assert_true(dm_slice_eq(dm_buf_slice(&out), want));
        dm_buf_dispose(&out);
        bytes_free(string);
        bytes_free(says);
    }
}

static void test_string_is_no_prefix(void **state)
{
    (void)state;
    assert_false(dm_json_string_is(DM_SLICE("\"\\n\""), DM_SLICE("\\n")));
    assert_false(dm_json_string_is(DM_SLICE("\"a\\u0062\""), DM_SLICE("a\\u0062")));
    assert_false(dm_json_string_is(DM_SLICE("\"ab\""), DM_SLICE("a")));
    assert_false(dm_json_string_is(DM_SLICE("\"a\""), DM_SLICE("ab")));
    assert_false(dm_json_string_is(DM_SLICE("\"\\u00e9\""), DM_SLICE("\xc3")));
}

/* Random bytes of WTF-8's alphabet: encode, validate, decode, the same. */
static void test_there_and_back(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "a",        "\"",           "\\",           "\n",           "\x01",
        "\xc3\xa9", "\xed\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x9f\x98\x80",
        "/",        "\x7f"};
    struct bytes_dice dice = {7};
    struct dm_buf text = DM_BUF_INIT, string = DM_BUF_INIT, back = DM_BUF_INIT;
    for (int round = 0; round < 20000; round++) {
        dm_buf_clear(&text);
        dm_buf_clear(&string);
        dm_buf_clear(&back);
        uint32_t before = 0;
        for (uint32_t n = bytes_below(&dice, 30); n > 0; n--) {
            uint32_t part = bytes_below(&dice, DM_COUNT(parts));
            if (before == 7 && part == 8)
                continue; /* a pair is one code point, so this is no WTF-8 */
            dm_buf_add_slice(&text, dm_slice_of(parts[part]));
            before = part;
        }
        dm_json_encode(&string, dm_buf_slice(&text));
        assert_true(dm_json_valid(dm_buf_slice(&string)));
        dm_json_decode(&back, dm_buf_slice(&string));
        assert_true(dm_slice_eq(dm_buf_slice(&back), dm_buf_slice(&text)));
        assert_true(dm_json_string_is(dm_buf_slice(&string), dm_buf_slice(&text)));
    }
    dm_buf_dispose(&text);
    dm_buf_dispose(&string);
    dm_buf_dispose(&back);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_true(dm_json_number(DM_SLICE("0")) == 0);
    assert_true(signbit(dm_json_number(DM_SLICE("-0"))));
    assert_true(dm_json_number(DM_SLICE("0.1")) == 0.1);
    assert_true(dm_json_number(DM_SLICE("5000")) == 5000);
    assert_true(dm_json_number(DM_SLICE("9007199254740993")) == 9007199254740992.0);
    assert_true(dm_json_number(DM_SLICE("18446744073709551615")) == 18446744073709551616.0);
    assert_true(dm_json_number(DM_SLICE("1e400")) == (double)INFINITY);
    assert_true(dm_json_number(DM_SLICE("-1e400")) == -(double)INFINITY);
    assert_true(dm_json_number(DM_SLICE("1e-400")) == 0);
    struct dm_buf long_one = DM_BUF_INIT;
    dm_buf_printf(&long_one, "1%0500d.5", 0); /* 1e500 */
    assert_true(dm_json_number(dm_buf_slice(&long_one)) == (double)INFINITY);
    dm_buf_clear(&long_one);
    dm_buf_printf(&long_one, "0.%0100d25e102", 0);
    assert_true(dm_json_number(dm_buf_slice(&long_one)) == 25);
    dm_buf_dispose(&long_one);
    /* The slice ends where it ends. */
    struct dm_slice two = DM_SLICE("[12,34]");
    assert_true(dm_json_number(dm_slice(two.at + 1, 1)) == 1);
}

DM_UNIT_MAIN(cmocka_unit_test(test_value_and_kind), cmocka_unit_test(test_absent),
             cmocka_unit_test(test_walk_object), cmocka_unit_test(test_walk_array),
             cmocka_unit_test(test_get), cmocka_unit_test(test_strings),
             cmocka_unit_test(test_string_is_no_prefix), cmocka_unit_test(test_there_and_back),
             cmocka_unit_test(test_numbers))
