/* WebSocket frames: RFC 6455's examples, every prefix, everything refused. */
#include "lib/unit.h"

#include "codec/frame.h"
#include "lib/bytes.h"

/* Reads an exact copy; the payload is left in `out`. */
static enum dm_frame_state read_frame(struct dm_slice bytes, bool from_client,
                                      struct dm_frame_head *head, struct dm_buf *out)
{
    struct dm_slice copy = bytes_exact(bytes);
    enum dm_frame_state state =
        dm_frame_read((char *)(uintptr_t)copy.at, copy.len, from_client, head);
    dm_buf_clear(out);
    if (state == DM_FRAME_WHOLE)
        dm_buf_add(out, copy.at + head->size, (size_t)head->payload);
    bytes_free(copy);
    return state;
}

/* A whole frame: every prefix of it is partial, and more behind it changes nothing. */
static void assert_frame(struct dm_slice bytes, bool from_client, bool fin, uint8_t opcode,
                         struct dm_slice payload)
{
    struct dm_frame_head head;
    struct dm_buf out = DM_BUF_INIT, longer = DM_BUF_INIT;
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(read_frame(dm_slice(bytes.at, len), from_client, &head, &out),
                         DM_FRAME_PARTIAL);
    assert_int_equal(read_frame(bytes, !from_client, &head, &out), DM_FRAME_INVALID);
    dm_buf_add_slice(&longer, bytes);
    dm_buf_lit(&longer, "\xff\xff\xff");
    for (int i = 0; i < 2; i++) {
        struct dm_slice all = i ? dm_buf_slice(&longer) : bytes;
        assert_int_equal(read_frame(all, from_client, &head, &out), DM_FRAME_WHOLE);
        assert_int_equal(head.fin, fin);
        assert_int_equal(head.opcode, opcode);
        assert_int_equal(head.masked, from_client);
        assert_int_equal(head.size + head.payload, bytes.len);
        assert_true(dm_slice_eq(dm_buf_slice(&out), payload));
    }
    dm_buf_dispose(&out);
    dm_buf_dispose(&longer);
}

/* RFC 6455 section 5.7. */
static void test_examples(void **state)
{
    (void)state;
    assert_frame(DM_SLICE("\x81\x05Hello"), false, true, DM_OP_TEXT, DM_SLICE("Hello"));
    assert_frame(DM_SLICE("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true, true, DM_OP_TEXT,
                 DM_SLICE("Hello"));
    assert_frame(DM_SLICE("\x01\x03Hel"), false, false, DM_OP_TEXT, DM_SLICE("Hel"));
    assert_frame(DM_SLICE("\x80\x02lo"), false, true, DM_OP_CONTINUATION, DM_SLICE("lo"));
    assert_frame(DM_SLICE("\x89\x05Hello"), false, true, DM_OP_PING, DM_SLICE("Hello"));
    assert_frame(DM_SLICE("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), true, true, DM_OP_PONG,
                 DM_SLICE("Hello"));
    assert_frame(DM_SLICE("\x88\x00"), false, true, DM_OP_CLOSE, DM_SLICE(""));
    assert_frame(DM_SLICE("\x82\x80zzzz"), true, true, DM_OP_BINARY, DM_SLICE(""));
    struct dm_frame_head head;
    assert_int_equal(dm_frame_read_head("\x82\x7e\x01\x00", 4, false, &head), DM_FRAME_WHOLE);
    assert_int_equal(head.payload, 256);
    assert_int_equal(head.size, 4);
    assert_int_equal(dm_frame_read_head("\x82\x7f\0\0\0\0\0\1\0\0", 10, false, &head),
                     DM_FRAME_WHOLE);
    assert_int_equal(head.payload, 65536);
    assert_int_equal(head.size, 10);
}

/* Every first and second byte, against what the section says of them. */
static bool first_two_valid(unsigned first, unsigned second, bool from_client)
{
    unsigned opcode = first & 15;
    bool control = opcode >= 8, fin = first >= 128, masked = second >= 128;
    bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    return !(first & 0x70) && known && (!control || (fin && (second & 127) < 126)) &&
           masked == from_client;
}

static void test_first_two_bytes(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            char bytes[2] = {(char)first, (char)second};
            for (int from_client = 0; from_client < 2; from_client++) {
                struct dm_frame_head head;
                enum dm_frame_state got = dm_frame_read_head(bytes, 2, from_client, &head);
                bool valid = first_two_valid(first, second, from_client);
                assert_int_equal(got == DM_FRAME_INVALID, !valid);
                if (valid) /* a header of two bytes, or of more */
                    assert_int_equal(got, !from_client && second < 126 ? DM_FRAME_WHOLE
                                                                       : DM_FRAME_PARTIAL);
            }
        }
    }
}

static void assert_invalid_from(const char *bytes, size_t len, size_t known_at)
{
    struct dm_frame_head head;
    for (size_t have = 0; have <= len; have++) {
        enum dm_frame_state want = have < known_at ? DM_FRAME_PARTIAL : DM_FRAME_INVALID;
        struct dm_slice copy = bytes_exact(dm_slice(bytes, have));
        assert_int_equal(dm_frame_read_head(copy.at, have, true, &head), want);
        bytes_free(copy);
    }
}

/* What is invalid is so at the first byte that shows it, and stays so. */
static void test_refused_early(void **state)
{
    (void)state;
    assert_invalid_from("\xc1\x81mask?", 7, 1);      /* reserved bit */
    assert_invalid_from("\x83\x81mask?", 7, 1);      /* unknown opcode */
    assert_invalid_from("\x08\x80mask", 6, 1);       /* fragmented close */
    assert_invalid_from("\x81\x01?", 3, 2);          /* unmasked from a client */
    assert_invalid_from("\x89\xfe\0\x7emask", 8, 2); /* a ping of 126 */
    assert_invalid_from("\x81\xfe\0\x7dmask", 8, 4); /* 125 in sixteen bits */
    assert_invalid_from("\x81\xff\x80\0\0\0\0\0\0\0", 10, 3);
    assert_invalid_from("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10, 3);
    assert_invalid_from("\x81\xff\0\0\0\0\0\0\xff\xffmask", 14, 8); /* 65535 in 64 bits */
    assert_invalid_from("\x81\xff\0\0\0\0\0\0\0\0mask", 14, 8);
}

static void test_largest(void **state)
{
    (void)state;
    struct dm_frame_head head;
    char bytes[] = "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask and a bit";
    assert_int_equal(dm_frame_read_head(bytes, sizeof bytes - 1, true, &head), DM_FRAME_WHOLE);
    assert_true(head.payload == UINT64_MAX >> 1);
    assert_int_equal(head.size, DM_FRAME_MAX_HEAD);
    assert_memory_equal(head.mask, "mask", 4);
    assert_int_equal(dm_frame_read(bytes, sizeof bytes - 1, true, &head), DM_FRAME_PARTIAL);
    assert_int_equal(dm_frame_read_head(NULL, 0, true, &head), DM_FRAME_PARTIAL);
}

static void test_mask(void **state)
{
    (void)state;
    static const uint8_t mask[4] = {0x12, 0x00, 0xff, 0x9a};
    struct bytes_dice dice = {3};
    char plain[64], masked[64];
    for (size_t len = 0; len <= sizeof plain; len++) {
        for (size_t cut = 0; cut <= len; cut++) {
            bytes_fill(&dice, plain, len);
            memcpy(masked, plain, len);
            dm_frame_mask(masked, cut, mask, 0);
            dm_frame_mask(masked + cut, len - cut, mask, cut);
            for (size_t i = 0; i < len; i++)
                assert_int_equal((uint8_t)masked[i], (uint8_t)plain[i] ^ mask[i % 4]);
        }
    }
}

static void test_write_head(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0,     1,     125,   126,        127,
                                       65535, 65536, 65537, UINT32_MAX, UINT64_MAX >> 1};
    static const size_t sizes[] = {2, 2, 2, 4, 4, 4, 10, 10, 10, 10};
    for (size_t i = 0; i < DM_COUNT(lengths); i++) {
        char bytes[10];
        struct dm_frame_head head;
        assert_int_equal(dm_frame_write_head(bytes, DM_OP_BINARY, lengths[i]), sizes[i]);
        assert_int_equal(dm_frame_read_head(bytes, sizes[i], false, &head), DM_FRAME_WHOLE);
        assert_true(head.payload == lengths[i] && head.size == sizes[i]);
        assert_true(head.fin && !head.masked && head.opcode == DM_OP_BINARY);
    }
}

static void test_close_codes(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 70000; code++) {
        bool valid =
            (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
            (code >= 3000 && code <= 4999);
        assert_int_equal(dm_close_code_valid(code), valid);
    }
}

DM_UNIT_MAIN(cmocka_unit_test(test_examples), cmocka_unit_test(test_first_two_bytes),
             cmocka_unit_test(test_refused_early), cmocka_unit_test(test_largest),
             cmocka_unit_test(test_mask), cmocka_unit_test(test_write_head),
             cmocka_unit_test(test_close_codes))
