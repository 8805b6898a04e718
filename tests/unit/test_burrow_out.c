/* What goes out: joined writes, order, short writes, slow readers. */
#include "lib/unit.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "lib/burrow_rig.h"

enum { MANY = 2000, FRAMES = 32 };

/* Two kinds of sockets that are sent the same frames in turn, as two dialects would. */
static void many_frames_to_many_sockets_are_one_write_each(void **state)
{
    (void)state;
    struct rlimit files = {2 * MANY + 100, 2 * MANY + 100};
    struct rlimit had;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
    if (had.rlim_cur < files.rlim_cur) {
        files.rlim_max = had.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    }
    static uint32_t socks[MANY];
    static int peers[MANY];
    struct rig rig;
    rig_init(&rig);
    for (uint32_t i = 0; i < MANY; i++)
        socks[i] = rig_open(&rig, i, &peers[i]);
    struct dm_buf expected[2] = {DM_BUF_INIT, DM_BUF_INIT};
    for (int frame = 0; frame < FRAMES; frame++) {
        char text[2][32];
        struct dm_wire *wires[2];
        for (int kind = 0; kind < 2; kind++) {
            snprintf(text[kind], sizeof text[kind], "frame %d of kind %d", frame, kind);
            wires[kind] = dm_wire_create(DM_OP_TEXT, dm_slice_of(text[kind]));
            dm_buf_add(&expected[kind], wires[kind]->bytes, wires[kind]->len);
        }
        for (uint32_t i = 0; i < MANY; i++)
            dm_burrow_send(rig.burrow, socks[i], wires[i % 2]);
        dm_wire_release(wires[0]);
        dm_wire_release(wires[1]);
    }
    dm_burrow_flush(rig.burrow); /* a turn's share: others have their turn */
    uint64_t written = rig_metric(&rig, DM_METRIC_WRITES_OUT);
    assert_in_range(written, 1, MANY / 2);
    struct dm_wire *late = dm_wire_create(DM_OP_TEXT, DM_SLICE("late"));
    dm_burrow_send(rig.burrow, socks[0], late);        /* which has been written to */
    dm_burrow_send(rig.burrow, socks[MANY - 1], late); /* and which has not */
    for (uint64_t before = 0; before != written; written = rig_metric(&rig, DM_METRIC_WRITES_OUT)) {
        before = written;
        dm_burrow_flush(rig.burrow);
    }
    assert_int_equal(written, MANY + 1);
    assert_int_equal(rig_metric(&rig, DM_METRIC_FRAMES_OUT), MANY * FRAMES + 2);
    for (uint32_t i = 0; i < MANY; i++) {
        struct dm_buf got = DM_BUF_INIT;
        size_t len = expected[i % 2].len, more = i == 0 || i == MANY - 1 ? late->len : 0;
        assert_string_equal(rig_drain(peers[i], &got), "");
        assert_int_equal(got.len, len + more);
        assert_memory_equal(got.bytes, expected[i % 2].bytes, len);
        assert_memory_equal(got.bytes + len, late->bytes, more);
        dm_buf_dispose(&got);
        close(peers[i]);
    }
    dm_wire_release(late);
    dm_buf_dispose(&expected[0]);
    dm_buf_dispose(&expected[1]);
    rig_dispose(&rig);
}

static void frames_of_one_turn_keep_their_order(void **state)
{
    (void)state;
    struct rig rig;
    int peers[3];
    uint32_t socks[3];
    rig_init(&rig);
    for (uint32_t i = 0; i < 3; i++)
        socks[i] = rig_open(&rig, i, &peers[i]);
    struct dm_wire *a = dm_wire_create(DM_OP_TEXT, DM_SLICE("a"));
    struct dm_wire *b = dm_wire_create(DM_OP_BINARY, DM_SLICE("b"));
    dm_burrow_send(rig.burrow, socks[0], a);
    dm_burrow_send(rig.burrow, socks[1], b);
    dm_burrow_send(rig.burrow, socks[0], b);
    dm_burrow_send(rig.burrow, socks[1], a);
    dm_burrow_send(rig.burrow, socks[0], b);
    dm_burrow_send(rig.burrow, socks[2], a);
    dm_burrow_ping_all(rig.burrow);
    dm_burrow_close(rig.burrow, socks[2], 1012, DM_NO_SLICE);
    dm_wire_release(a);
    dm_wire_release(b);
    rig_expect(rig_story(&rig, peers[0]), "text a\nbinary b\nbinary b\nping\n");
    rig_expect(rig_story(&rig, peers[1]), "binary b\ntext a\nping\n");
    rig_expect(rig_story(&rig, peers[2]), "text a\nping\nclose 1012\n");
    assert_int_equal(rig_metric(&rig, DM_METRIC_WRITES_OUT), 3);
    for (uint32_t i = 0; i < 3; i++)
        close(peers[i]);
    rig_dispose(&rig);
}

/* More in one turn than one buffer is for, and than the kernel takes. */
static void a_large_turn_arrives_whole(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf expected = DM_BUF_INIT, got = DM_BUF_INIT;
    int peers[2];
    uint32_t socks[2];
    char text[5000];
    rig_init(&rig);
    for (uint32_t i = 0; i < 2; i++)
        socks[i] = rig_open(&rig, i, &peers[i]);
    for (int frame = 0; frame < 180; frame++) {
        memset(text, 'a' + frame % 26, sizeof text);
        struct dm_wire *wire = dm_wire_create(DM_OP_TEXT, dm_slice(text, sizeof text));
        dm_buf_add(&expected, wire->bytes, wire->len);
        dm_burrow_send(rig.burrow, socks[0], wire);
        dm_burrow_send(rig.burrow, socks[1], wire);
        dm_wire_release(wire);
    }
    rig_run(&rig);
    assert_true(rig_metric(&rig, DM_METRIC_UNSENT_BYTES) > 0);
    rig_send(&rig, socks[1], "behind it all");
    for (uint32_t i = 0; i < 2; i++) {
        size_t before;
        dm_buf_clear(&got);
        do {
            before = got.len;
            rig_run(&rig);
            assert_string_equal(rig_drain(peers[i], &got), "");
        } while (got.len > before);
        assert_int_equal(got.len, expected.len + (i ? 15 : 0));
        assert_memory_equal(got.bytes, expected.bytes, expected.len);
        if (i)
            assert_memory_equal(got.bytes + expected.len + 2, "behind it all", 13);
    }
    assert_int_equal(rig_metric(&rig, DM_METRIC_UNSENT_BYTES), 0);
    assert_int_equal(rig_metric(&rig, DM_METRIC_FRAMES_OUT), 361);
    rig_expect(rig_told(&rig), "");
    close(peers[0]);
    close(peers[1]);
    dm_buf_dispose(&expected);
    dm_buf_dispose(&got);
    rig_dispose(&rig);
}

static int count_lines(const char *story, const char *line)
{
    int count = 0;
    for (const char *at = story; (at = strstr(at, line)); at++)
        count++;
    return count;
}

/* The frame in whose middle the socket stands is finished; all behind it gives way to the Close. */
static void a_slow_reader_is_closed_with_4008(void **state)
{
    (void)state;
    struct rig rig;
    char text[3000];
    int peer;
    rig_init_with(&rig, (struct dm_burrow_options){1 << 20, 100000, 1000, true});
    uint32_t sock = rig_open(&rig, 9, &peer);
    memset(text, 's', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    int sent = 0;
    while (!rig.told.len && sent < 10000) {
        for (int i = 0; i < 3; i++, sent++)
            rig_send(&rig, sock, text);
        dm_burrow_flush(rig.burrow);
    }
    rig_expect(rig_told(&rig), "9 end slow 4008\n");
    assert_true(rig_metric(&rig, DM_METRIC_UNSENT_BYTES) < 4000);
    assert_int_equal(dm_burrow_count(rig.burrow), 1);
    char *story = rig_story(&rig, peer);
    int arrived = count_lines(story, "text #2999 ");
    assert_true(arrived > 0 && arrived < sent - 30);
    assert_non_null(strstr(story, "close 4008\n"));
    assert_int_equal(count_lines(story, "\n"), arrived + 1);
    free(story);
    assert_int_equal(rig_metric(&rig, DM_METRIC_FRAMES_OUT), arrived + 1);
    close(peer);
    rig_run(&rig);
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    rig_expect(rig_told(&rig), "");
    rig_dispose(&rig);
}

/* Frames of a few bytes each: what counts them would cost more than they do. */
static void a_queue_of_tiny_frames_is_bounded_too(void **state)
{
    (void)state;
    struct rig rig;
    int peer, turns = 0;
    rig_init_with(&rig, (struct dm_burrow_options){1 << 20, 100000, 1000, true});
    uint32_t sock = rig_open(&rig, 9, &peer);
    for (; !rig.told.len && turns < 200000; turns++) {
        rig_send(&rig, sock, "");
        dm_burrow_flush(rig.burrow);
        if (!rig.told.len)
            assert_true(rig_metric(&rig, DM_METRIC_UNSENT_BYTES) < 20000);
    }
    rig_expect(rig_told(&rig), "9 end slow 4008\n");
    close(peer);
    rig_dispose(&rig);
}

static void a_slow_reader_lingers_only_so_long(void **state)
{
    (void)state;
    struct rig rig;
    char text[3000];
    int peer;
    rig_init_with(&rig, (struct dm_burrow_options){1 << 20, 100000, 500, true});
    uint32_t sock = rig_open(&rig, 9, &peer);
    assert_true(dm_burrow_tick(rig.burrow, UINT64_MAX - 1) == UINT64_MAX);
    memset(text, 's', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int sent = 0; !rig.told.len && sent < 10000; sent++) {
        rig_send(&rig, sock, text);
        dm_burrow_flush(rig.burrow);
    }
    uint64_t now = dm_clock_mono_ms(), at = dm_burrow_tick(rig.burrow, now);
    assert_true(at > now && at <= now + 500);
    assert_true(dm_burrow_tick(rig.burrow, at - 1) == at);
    assert_int_equal(dm_burrow_count(rig.burrow), 1);
    assert_true(dm_burrow_tick(rig.burrow, at) == UINT64_MAX);
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    assert_int_equal(rig_metric(&rig, DM_METRIC_UNSENT_BYTES), 0);
    rig_run(&rig);
    close(peer);
    rig_dispose(&rig);
}

/* What waits for many slow sockets is the same memory: one wire with many references. */
static void slow_sockets_share_what_waits(void **state)
{
    (void)state;
    struct rig rig;
    char text[200001];
    int peers[20];
    uint32_t socks[20];
    rig_init(&rig);
    memset(text, 's', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint32_t i = 0; i < 20; i++)
        socks[i] = rig_open(&rig, i, &peers[i]);
    struct dm_wire *wires[3];
    for (int w = 0; w < 3; w++) {
        wires[w] = dm_wire_create(DM_OP_TEXT, dm_slice_of(text));
        for (uint32_t i = 0; i < 20; i++)
            dm_burrow_send(rig.burrow, socks[i], wires[w]);
        dm_burrow_flush(rig.burrow);
    }
    assert_int_equal(wires[2]->refs, 21);
    for (uint32_t i = 0; i < 20; i++)
        close(peers[i]);
    rig_run(&rig);
    assert_int_equal(wires[2]->refs, 1);
    assert_int_equal(rig_metric(&rig, DM_METRIC_UNSENT_BYTES), 0);
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    for (int w = 0; w < 3; w++)
        dm_wire_release(wires[w]);
    rig_dispose(&rig);
}

static void on_closed_send_to_all(struct rig *rig, uint32_t owner)
{
    for (uint32_t i = 0; i < 8; i++)
        if (i == owner)
            rig->socks[i] = 0;
    for (uint32_t i = 0; i < 8; i++)
        if (rig->socks[i])
            rig_send(rig, rig->socks[i], "one has left");
    uint32_t other = owner == 3 ? 4 : 3; /* whichever order they are told in, one closes another */
    if (rig->socks[other] && rig->calls++ == 0) {
        dm_burrow_close(rig->burrow, rig->socks[other], 1000, DM_NO_SLICE);
        rig->socks[other] = 0;
    }
}

/* All become slow in one flush; hearing of one the owner still sends to the others, and closes
 * one of which it has not heard yet. */
static void an_owner_that_was_not_told_yet_may_still_send(void **state)
{
    (void)state;
    struct rig rig;
    char text[300001];
    int peers[8];
    rig_init_with(&rig, (struct dm_burrow_options){1 << 20, 1000, 1000, true});
    rig.on_closed = on_closed_send_to_all;
    memset(text, 's', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (uint32_t i = 0; i < 8; i++)
        rig.socks[7 - i] = rig_open(&rig, 7 - i, &peers[7 - i]);
    for (uint32_t i = 0; i < 8; i++)
        rig_send(&rig, rig.socks[i], text);
    dm_burrow_flush(rig.burrow);
    char *told = rig_told(&rig);
    assert_int_equal(count_lines(told, "end slow 4008\n"), 7);
    free(told);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(rig.socks[i], 0);
        char *story = rig_story(&rig, peers[i]);
        assert_null(strstr(story, "one has left"));
        assert_int_equal(count_lines(story, "close 4008\n"), 1);
        free(story);
        close(peers[i]);
    }
    rig_run(&rig);
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    rig_dispose(&rig);
}

/* Writing fails before reading has said why: what the peer had sent is still heard, in order. */
static void a_broken_socket_is_heard_to_its_end(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    uint32_t sock = rig_open(&rig, 1, &peer);
    rig_text(&bytes, "last words");
    send(peer, bytes.bytes, bytes.len, 0);
    dm_buf_dispose(&bytes);
    close(peer);
    rig_send(&rig, sock, "to nobody");
    dm_burrow_flush(rig.burrow);
    rig_send(&rig, sock, "to nobody");
    dm_burrow_flush(rig.burrow);
    rig_expect(rig_told(&rig), "");
    rig_run(&rig);
    rig_expect(rig_told(&rig), "1 text last words\n1 end dropped 0\n");
    assert_int_equal(rig_metric(&rig, DM_METRIC_FRAMES_OUT), 0);
    rig_dispose(&rig);
}

DM_UNIT_MAIN(cmocka_unit_test(many_frames_to_many_sockets_are_one_write_each),
             cmocka_unit_test(frames_of_one_turn_keep_their_order),
             cmocka_unit_test(a_large_turn_arrives_whole),
             cmocka_unit_test(a_slow_reader_is_closed_with_4008),
             cmocka_unit_test(a_queue_of_tiny_frames_is_bounded_too),
             cmocka_unit_test(a_slow_reader_lingers_only_so_long),
             cmocka_unit_test(slow_sockets_share_what_waits),
             cmocka_unit_test(an_owner_that_was_not_told_yet_may_still_send),
             cmocka_unit_test(a_broken_socket_is_heard_to_its_end))
