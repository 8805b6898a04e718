/* UTF-8: every code point there and back, every broken sequence, and trimming. */
#include "lib/unit.h"

#include "codec/utf8.h"
#include "lib/bytes.h"

static bool valid(struct dm_slice text)
{
    struct dm_slice copy = bytes_exact(text);
    bool is = dm_utf8_valid(copy);
    bytes_free(copy);
    return is;
}

#define assert_valid(literal) assert_true(valid(DM_SLICE(literal)))
#define assert_invalid(literal) assert_false(valid(DM_SLICE(literal)))

static void test_every_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x120000; point++) {
        char bytes[4];
        struct dm_slice text = dm_slice(bytes, bytes_encode_point(point, bytes));
        bool is = point < 0xd800 || (point > 0xdfff && point < 0x110000);
        assert_int_equal(dm_utf8_valid(text), is);
        if (!is)
            continue;
        for (size_t cut = 1; cut < text.len; cut++)
            assert_false(dm_utf8_valid(dm_slice(bytes, cut)));
        assert_int_equal(dm_utf8_next(&text), point);
        assert_int_equal(text.len, 0);
    }
}

/* All pairs and the interesting triples, against the table of RFC 3629 section 4. */
static bool pair_in_grammar(unsigned a, unsigned b)
{
    return (a < 0x80 && b < 0x80) || (a >= 0xc2 && a <= 0xdf && b >= 0x80 && b <= 0xbf);
}

static void test_pairs(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            char bytes[2] = {(char)a, (char)b};
            assert_int_equal(dm_utf8_valid(dm_slice(bytes, 2)), pair_in_grammar(a, b));
        }
    }
}

static void test_broken(void **state)
{
    (void)state;
    assert_invalid("\x80");
    assert_invalid("\xc0\x80");
    assert_invalid("\xc1\xbf");
    assert_invalid("\xe0\x9f\xbf");
    assert_invalid("\xed\xa0\x80");
    assert_invalid("\xed\xbf\xbf");
    assert_invalid("\xf0\x8f\xbf\xbf");
    assert_invalid("\xf4\x90\x80\x80");
    assert_invalid("\xf5\x80\x80\x80");
    assert_invalid("\xe2\x82\x41");
    assert_invalid("\xf0\x9f\x98\x41");
    assert_invalid("\xf0\x9f\x41\x80");
    assert_valid("\xef\xbf\xbd\xf4\x8f\xbf\xbf");
    assert_valid("");
    assert_true(dm_utf8_valid(DM_NO_SLICE));
}

/* A broken byte is seen wherever it stands among ASCII, and so is a good one. */
static void test_offsets(void **state)
{
    (void)state;
    char text[50];
    for (size_t len = 4; len < sizeof text; len++) {
        for (size_t at = 0; at + 3 < len; at++) {
            memset(text, 'a', sizeof text);
            memcpy(text + at, "\xf0\x9f\x98\x80", 4);
            assert_true(valid(dm_slice(text, len)));
            assert_false(valid(dm_slice(text, at + 3)));
            text[at + 3] = 'a';
            assert_false(valid(dm_slice(text, len)));
        }
    }
}

static void assert_trimmed(struct dm_slice text, const char *to)
{
    struct dm_slice copy = bytes_exact(text), trimmed = dm_utf8_trim(copy);
    assert_true(dm_slice_eq(trimmed, dm_slice_of(to)));
    bytes_free(copy);
}

static void test_trim(void **state)
{
    (void)state;
    assert_trimmed(DM_SLICE(" \t\n\v\f\r a b \r\n"), "a b");
    assert_trimmed(DM_SLICE("\xc2\xa0\xef\xbb\xbf\xe2\x80\xa8x\xe2\x80\xa9\xe3\x80\x80"), "x");
    assert_trimmed(DM_SLICE("\xe1\x9a\x80\xe2\x80\x80y\xe2\x80\x8a\xe2\x80\xaf\xe2\x81\x9f"), "y");
    assert_trimmed(DM_SLICE(" \xef\xbb\xbf "), "");
    assert_trimmed(DM_SLICE(""), "");
    assert_trimmed(DM_SLICE("\xc3\xa9"), "\xc3\xa9");
    /* Looks like space, is none to ECMAScript: U+0085, U+180E, U+200B, U+2060. */
    assert_trimmed(DM_SLICE("\xc2\x85"), "\xc2\x85");
    assert_trimmed(DM_SLICE("\xe1\xa0\x8e"), "\xe1\xa0\x8e");
    assert_trimmed(DM_SLICE("\xe2\x80\x8b"), "\xe2\x80\x8b");
    assert_trimmed(DM_SLICE("\xe2\x81\xa0"), "\xe2\x81\xa0");
    /* Ends that are no whole sequence stay as they are. */
    assert_trimmed(DM_SLICE("a\xa0"), "a\xa0");
    assert_trimmed(DM_SLICE("\x80\x80\xe2\x80"), "\x80\x80\xe2\x80");
    assert_true(dm_utf8_trim(DM_NO_SLICE).len == 0);
}

DM_UNIT_MAIN(cmocka_unit_test(test_every_point), cmocka_unit_test(test_pairs),
             cmocka_unit_test(test_broken), cmocka_unit_test(test_offsets),
             cmocka_unit_test(test_trim))
