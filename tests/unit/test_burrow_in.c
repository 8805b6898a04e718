/* What comes in over real sockets: messages, fragments, control frames, and what is wrong. */
#include "lib/unit.h"

#include <stdlib.h>

#include "lib/burrow_rig.h"

static void whole_messages_are_told_in_order(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    rig_open(&rig, 7, &peer);
    rig_text(&bytes, "one");
    rig_frame(&bytes, true, DM_OP_BINARY, DM_SLICE("two"));
    rig_text(&bytes, "");
    rig_frame(&bytes, true, DM_OP_PONG, DM_SLICE("ignored"));
    rig_text(&bytes, "h\xc3\xa9");
    assert_true(rig_push_buf(&rig, peer, &bytes));
    rig_expect(rig_told(&rig), "7 text one\n7 binary two\n7 text\n7 text h\xc3\xa9\n");
    rig_expect(rig_story(&rig, peer), "");
    assert_int_equal(rig_metric(&rig, DM_METRIC_FRAMES_IN), 4);
    close(peer);
    rig_run(&rig);
    rig_expect(rig_told(&rig), "7 end dropped 0\n");
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    rig_dispose(&rig);
}

static void early_bytes_come_first(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int ends[2], peer;
    rig_init(&rig);
    rig_pair(ends);
    rig_text(&bytes, "one");
    rig_frame(&bytes, true, DM_OP_PING, DM_SLICE("p"));
    rig_text(&bytes, "two");
    rig_text(&bytes, "three");
    size_t first = bytes.len - 4;
    rig_open_on(&rig, 1, ends, dm_slice(bytes.bytes, first), &peer);
    rig_expect(rig_told(&rig), "1 text one\n1 text two\n");
    assert_true(rig_push(&rig, peer, dm_slice_from(dm_buf_slice(&bytes), first)));
    rig_expect(rig_told(&rig), "1 text three\n");
    rig_expect(rig_story(&rig, peer), "pong p\n");
    dm_buf_dispose(&bytes);
    close(peer);
    rig_dispose(&rig);
}

static void add_mixed_frames(struct dm_buf *bytes)
{
    char big[70000];
    memset(big, 'x', sizeof big);
    rig_text(bytes, "whole");
    rig_frame(bytes, true, DM_OP_PING, DM_SLICE("a"));
    rig_frame(bytes, false, DM_OP_TEXT, DM_SLICE("frag \xe2"));
    rig_frame(bytes, true, DM_OP_PING, DM_SLICE("between"));
    rig_frame(bytes, false, DM_OP_CONTINUATION, DM_SLICE("\x82"));
    rig_frame(bytes, false, DM_OP_CONTINUATION, DM_SLICE(""));
    rig_frame(bytes, true, DM_OP_PONG, DM_SLICE("nothing"));
    rig_frame(bytes, true, DM_OP_CONTINUATION, DM_SLICE("\xac mented"));
    rig_frame(bytes, true, DM_OP_BINARY, dm_slice(big, 130));
    rig_frame(bytes, true, DM_OP_TEXT, dm_slice(big, sizeof big));
    rig_frame(bytes, false, DM_OP_BINARY, DM_SLICE(""));
    rig_frame(bytes, true, DM_OP_CONTINUATION, DM_SLICE(""));
    rig_text(bytes, "last");
    rig_close_frame(bytes, 4321, "bye");
}

static void pieces_are_told_as_the_whole_is(void **state)
{
    (void)state;
    static const size_t sizes[] = {SIZE_MAX, 1, 2, 3, 7, 13, 139, 4096, 65535};
    struct dm_buf bytes = DM_BUF_INIT;
    char *whole_told = NULL, *whole_story = NULL;
    add_mixed_frames(&bytes);
    for (size_t i = 0; i < DM_COUNT(sizes); i++) {
        struct rig rig;
        int peer;
        rig_init(&rig);
        rig_open(&rig, 1, &peer);
        for (size_t at = 0; at < bytes.len;) {
            size_t len = bytes.len - at < sizes[i] ? bytes.len - at : sizes[i];
            assert_true(rig_push(&rig, peer, dm_slice(bytes.bytes + at, len)));
            at += len;
        }
        char *told = rig_told(&rig), *story = rig_story(&rig, peer);
        if (!whole_told) {
            whole_told = told;
            whole_story = story;
            assert_non_null(strstr(told, "1 text frag \xe2\x82\xac mented\n1 binary #130"));
            assert_non_null(strstr(told, "1 binary\n1 text last\n1 end by-peer 4321\n"));
            assert_string_equal(story, "pong a\npong between\nclose 4321\neof\n");
        } else {
            assert_string_equal(told, whole_told);
            assert_string_equal(story, whole_story);
            free(told);
            free(story);
        }
        assert_int_equal(dm_burrow_count(rig.burrow), 0);
        close(peer);
        rig_dispose(&rig);
    }
    free(whole_told);
    free(whole_story);
    dm_buf_dispose(&bytes);
}

/* Sends the bytes whole and one by one: both must end in the same way. */
static void expect_end(struct dm_buf *bytes, const char *told, const char *story)
{
    for (size_t step = 1; step <= bytes->len; step += bytes->len - 1) {
        struct rig rig;
        int peer;
        rig_init_with(&rig, (struct dm_burrow_options){1000, 1 << 20, 1000, true});
        rig_open(&rig, 1, &peer);
        for (size_t at = 0; at < bytes->len; at += step)
            rig_push(&rig, peer,
                     dm_slice(bytes->bytes + at, at + step < bytes->len ? step : bytes->len - at));
        rig_expect(rig_story(&rig, peer), story);
        rig_expect(rig_told(&rig), told);
        close(peer);
        rig_run(&rig);
        assert_int_equal(dm_burrow_count(rig.burrow), 0);
        rig_expect(rig_told(&rig), "");
        rig_dispose(&rig);
    }
    dm_buf_dispose(bytes);
}

static void what_breaks_the_protocol_ends_the_socket(void **state)
{
    (void)state;
#define BAD(text, code)                                                                            \
    {                                                                                              \
        text, sizeof(text) - 1, code                                                               \
    }
    static const struct {
        const char *bytes;
        size_t len;
        int code;
    } cases[] = {
        BAD("\x81\x01x", 1002),                             /* not masked */
        BAD("\xc1\x80\0\0\0\0", 1002),                      /* a reserved bit */
        BAD("\x83\x80\0\0\0\0", 1002),                      /* a reserved opcode */
        BAD("\x8b\x80\0\0\0\0", 1002),                      /* the same of a control frame */
        BAD("\x09\x80\0\0\0\0", 1002),                      /* a Ping in fragments */
        BAD("\x89\xfe\x00\x7e\0\0\0\0", 1002),              /* a Ping of 126 bytes */
        BAD("\x80\x80\0\0\0\0", 1002),                      /* a continuation of nothing */
        BAD("\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 1002),      /* text inside of text */
        BAD("\x01\x80\0\0\0\0\x02\x80\0\0\0\0", 1002),      /* binary inside of text */
        BAD("\x82\xfe\x00\x05\0\0\0\0hello", 1002),         /* a length that is not minimal */
        BAD("\x82\xff\x80\0\0\0\0\0\0\0", 1002),            /* a length over 2^63 */
        BAD("\x88\x81\0\0\0\0x", 1002),                     /* half a Close code */
        BAD("\x88\x82\0\0\0\0\x03\xed", 1002),              /* 1005 is not for the wire */
        BAD("\x88\x82\0\0\0\0\x03\xe7", 1002),              /* 999 */
        BAD("\x88\x82\0\0\0\0\x13\x88", 1002),              /* 5000 */
        BAD("\x88\x83\0\0\0\0\x03\xe8\xff", 1002),          /* a reason that is not UTF-8 */
        BAD("\x81\x82\0\0\0\0\xc3(", 1007),                 /* text that is not UTF-8 */
        BAD("\x81\x81\0\0\0\0\xc3", 1007),                  /* text that ends too early */
        BAD("\x81\x83\0\0\0\0\xed\xa0\x80", 1007),          /* a surrogate */
        BAD("\x01\x81\0\0\0\0\xc3\x80\x81\0\0\0\0(", 1007), /* the same in fragments */
        BAD("\x01\x81\0\0\0\0\xc3\x80\x80\0\0\0\0", 1007),
        BAD("\x82\xfe\x03\xe9\0\0\0\0", 1009), /* 1001 bytes are announced */
        BAD("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 1009),
    };
#undef BAD
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_buf bytes = DM_BUF_INIT;
        char told[64], story[64];
        dm_buf_add(&bytes, cases[i].bytes, cases[i].len);
        snprintf(told, sizeof told, "1 end protocol %d\n", cases[i].code);
        snprintf(story, sizeof story, "close %d\neof\n", cases[i].code);
        expect_end(&bytes, told, story);
    }
}

static void nothing_is_heard_behind_an_error(void **state)
{
    (void)state;
    struct dm_buf bytes = DM_BUF_INIT;
    rig_text(&bytes, "good");
    dm_buf_add(&bytes, "\xc1\x80\0\0\0\0", 6);
    rig_text(&bytes, "lost");
    rig_close_frame(&bytes, 1000, "");
    expect_end(&bytes, "1 text good\n1 end protocol 1002\n", "close 1002\neof\n");
}

static void a_close_is_answered_with_its_code(void **state)
{
    (void)state;
    static const int codes[] = {1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999};
    for (size_t i = 0; i < DM_COUNT(codes); i++) {
        struct dm_buf bytes = DM_BUF_INIT;
        char told[64], story[64];
        rig_close_frame(&bytes, codes[i], "r\xc3\xa9");
        snprintf(told, sizeof told, "1 end by-peer %d\n", codes[i]);
        snprintf(story, sizeof story, "close %d\neof\n", codes[i]);
        expect_end(&bytes, told, story);
    }
    struct dm_buf bytes = DM_BUF_INIT;
    rig_frame(&bytes, true, DM_OP_CLOSE, DM_NO_SLICE);
    expect_end(&bytes, "1 end by-peer 0\n", "close\neof\n");
}

static void a_message_may_be_as_long_as_max_message(void **state)
{
    (void)state;
    char text[1001];
    memset(text, 'm', sizeof text);
    for (int which = 0; which < 4; which++) {
        bool over = which & 1, fragments = which & 2;
        struct rig rig;
        struct dm_buf bytes = DM_BUF_INIT;
        int peer;
        rig_init_with(&rig, (struct dm_burrow_options){1000, 1 << 20, 1000, true});
        rig_open(&rig, 1, &peer);
        if (fragments)
            rig_frame(&bytes, false, DM_OP_TEXT, dm_slice(text, 600));
        rig_frame(&bytes, true, fragments ? DM_OP_CONTINUATION : DM_OP_TEXT,
                  dm_slice(text, (fragments ? 400u : 1000u) + over));
        assert_true(rig_push_buf(&rig, peer, &bytes));
        char *told = rig_told(&rig);
        assert_memory_equal(told, over ? "1 end protocol 1009" : "1 text #1000 ", 13);
        free(told);
        close(peer);
        rig_dispose(&rig);
    }
}

/* A peer that pings and does not read: its memory here must not grow. */
static void a_flood_of_pings_is_answered_by_few_pongs(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    char payload[125];
    int peer;
    rig_init(&rig);
    rig_open(&rig, 1, &peer);
    memset(payload, 'p', sizeof payload);
    for (int i = 0; i < 20000; i++)
        rig_frame(&bytes, true, DM_OP_PING, dm_slice(payload, sizeof payload));
    rig_frame(&bytes, true, DM_OP_PING, DM_SLICE("the last"));
    assert_true(rig_push_buf(&rig, peer, &bytes));
    assert_true(rig_metric(&rig, DM_METRIC_UNSENT_BYTES) > 0);
    assert_true(rig_metric(&rig, DM_METRIC_UNSENT_BYTES) < 64 * 135);
    char *story = rig_story(&rig, peer);
    size_t len = strlen(story);
    assert_true(len > 14);
    assert_string_equal(story + len - 14, "pong the last\n");
    free(story);
    rig_expect(rig_told(&rig), "");
    rig_text(&bytes, "still here");
    assert_true(rig_push_buf(&rig, peer, &bytes));
    rig_expect(rig_told(&rig), "1 text still here\n");
    close(peer);
    rig_dispose(&rig);
}

DM_UNIT_MAIN(cmocka_unit_test(whole_messages_are_told_in_order),
             cmocka_unit_test(early_bytes_come_first),
             cmocka_unit_test(pieces_are_told_as_the_whole_is),
             cmocka_unit_test(what_breaks_the_protocol_ends_the_socket),
             cmocka_unit_test(nothing_is_heard_behind_an_error),
             cmocka_unit_test(a_close_is_answered_with_its_code),
             cmocka_unit_test(a_message_may_be_as_long_as_max_message),
             cmocka_unit_test(a_flood_of_pings_is_answered_by_few_pongs))
