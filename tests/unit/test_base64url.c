/* base64url: RFC 4648's vectors, all that must be refused, there and back. */
#include "lib/unit.h"

#include "codec/base64url.h"
#include "lib/bytes.h"

static void assert_pair(struct dm_slice bytes, const char *text)
{
    struct dm_buf out = DM_BUF_INIT;
    dm_base64url_encode(&out, bytes.at, bytes.len);
    assert_string_equal(dm_buf_text(&out), text);
    dm_buf_clear(&out);
    assert_true(dm_base64url_decode(&out, dm_slice_of(text)));
    assert_true(dm_slice_eq(dm_buf_slice(&out), bytes));
    dm_buf_dispose(&out);
}

static void test_vectors(void **state)
{
    (void)state;
    assert_pair(DM_SLICE(""), "");
    assert_pair(DM_SLICE("f"), "Zg");
    assert_pair(DM_SLICE("fo"), "Zm8");
    assert_pair(DM_SLICE("foo"), "Zm9v");
    assert_pair(DM_SLICE("foob"), "Zm9vYg");
    assert_pair(DM_SLICE("fooba"), "Zm9vYmE");
    assert_pair(DM_SLICE("foobar"), "Zm9vYmFy");
    assert_pair(DM_SLICE("\xfb\xff\xbf\x00"), "-_-_AA");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "Z",    "A",    "Zm9vA",  "Zm9vY",  "Zg==", "Zm8=",   "Zh", "Zm9", "Z+8A",
        "Z/8A", "Zm 9", "Zm9v\n", "Zm\xc3", "=",    "Zm9vZ=", "A_", "A-"};
    struct dm_buf out = DM_BUF_INIT;
    dm_buf_lit(&out, "kept");
    for (size_t i = 0; i < DM_COUNT(bad); i++) {
        if (dm_base64url_decode(&out, dm_slice_of(bad[i])))
            fail_msg("decoded: %s", bad[i]);
        assert_string_equal(dm_buf_text(&out), "kept");
    }
    assert_false(dm_base64url_decode(&out, DM_SLICE("AA\0A")));
    assert_true(dm_base64url_decode(&out, DM_NO_SLICE));
    assert_true(dm_base64url_decode(&out, DM_SLICE("Zg")));
    assert_string_equal(dm_buf_text(&out), "keptf");
    dm_buf_dispose(&out);
}

static void test_every_byte(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct dm_buf out = DM_BUF_INIT;
    for (int byte = 0; byte < 256; byte++) {
        char text[4] = {(char)byte, 'A', 'A', 'A'};
        assert_int_equal(dm_base64url_decode(&out, dm_slice(text, 4)),
                         byte && strchr(digits, byte) != NULL);
    }
    dm_buf_dispose(&out);
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct bytes_dice dice = {1};
    struct dm_buf text = DM_BUF_INIT, back = DM_BUF_INIT;
    for (size_t len = 0; len < 300; len++) {
        char bytes[300];
        bytes_fill(&dice, bytes, len);
        dm_buf_clear(&text);
        dm_buf_clear(&back);
        dm_base64url_encode(&text, bytes, len);
        assert_int_equal(text.len, (len * 4 + 2) / 3);
        assert_true(dm_base64url_decode(&back, dm_buf_slice(&text)));
        assert_true(dm_slice_eq(dm_buf_slice(&back), dm_slice(bytes, len)));
    }
    dm_buf_dispose(&text);
    dm_buf_dispose(&back);
}

DM_UNIT_MAIN(cmocka_unit_test(test_vectors), cmocka_unit_test(test_refused),
             cmocka_unit_test(test_every_byte), cmocka_unit_test(test_there_and_back))
