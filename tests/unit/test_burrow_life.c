/* How sockets end: Close both ways, lingering, resets, numbers that are used again. */
#include "lib/unit.h"

#include <stdlib.h>

#include "lib/burrow_rig.h"

static void our_close_waits_for_the_peers(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    uint32_t sock = rig_open(&rig, 1, &peer);
    rig_send(&rig, sock, "first");
    dm_burrow_close(rig.burrow, sock, 1000, DM_SLICE(" done"));
    rig_expect(rig_story(&rig, peer), "text first\nclose 1000 done\n");
    /* Until then it may send, and nobody listens: a part of a frame, the rest, fragments. */
    rig_text(&bytes, "not heard");
    rig_frame(&bytes, true, DM_OP_PING, DM_SLICE("nor answered"));
    rig_frame(&bytes, false, DM_OP_TEXT, DM_SLICE("\xff"));
    assert_true(rig_push(&rig, peer, dm_slice(bytes.bytes, 9)));
    assert_true(rig_push(&rig, peer, dm_slice_from(dm_buf_slice(&bytes), 9)));
    assert_int_equal(dm_burrow_count(rig.burrow), 1);
    rig_expect(rig_story(&rig, peer), "");
    dm_buf_clear(&bytes);
    rig_close_frame(&bytes, 1000, "");
    assert_true(rig_push(&rig, peer, dm_slice(bytes.bytes, 1)));
    assert_int_equal(dm_burrow_count(rig.burrow), 1);
    assert_true(rig_push(&rig, peer, dm_slice_from(dm_buf_slice(&bytes), 1)));
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    rig_expect(rig_story(&rig, peer), "eof\n");
    rig_expect(rig_told(&rig), "");
    dm_buf_dispose(&bytes);
    close(peer);
    rig_dispose(&rig);
}

static void lingering_ends_at_its_deadline_or_the_peers_end(void **state)
{
    (void)state;
    for (int silent = 0; silent <= 1; silent++) {
        struct rig rig;
        struct dm_buf bytes = DM_BUF_INIT;
        int peer;
        rig_init(&rig);
        uint32_t sock = rig_open(&rig, 1, &peer);
        rig_frame(&bytes, false, DM_OP_TEXT, DM_SLICE("a part"));
        assert_true(rig_push_buf(&rig, peer, &bytes));
        dm_burrow_close(rig.burrow, sock, 1012, DM_NO_SLICE);
        rig_run(&rig);
        assert_int_equal(dm_burrow_count(rig.burrow), 1);
        if (silent) {
            assert_true(dm_burrow_tick(rig.burrow, dm_clock_mono_ms()) != UINT64_MAX);
            assert_true(dm_burrow_tick(rig.burrow, dm_clock_mono_ms() + 1001) == UINT64_MAX);
        } else {
            shutdown(peer, SHUT_WR);
            rig_run(&rig);
            assert_true(dm_burrow_tick(rig.burrow, 0) == UINT64_MAX);
        }
        assert_int_equal(dm_burrow_count(rig.burrow), 0);
        rig_expect(rig_story(&rig, peer), "close 1012\neof\n");
        rig_expect(rig_told(&rig), "");
        close(peer);
        rig_dispose(&rig);
    }
}

/* Bytes that were never read would make close() a reset that takes our Close frame with it. */
static void unread_input_does_not_destroy_our_close(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    char junk[100000];
    int ends[2], peer;
    rig_init(&rig);
    rig_tcp_pair(ends);
    rig_open_on(&rig, 1, ends, DM_NO_SLICE, &peer);
    memset(junk, 'j', sizeof junk);
    rig_close_frame(&bytes, 1000, "");
    for (int i = 0; i < 3; i++)
        dm_buf_add(&bytes, junk, sizeof junk);
    ssize_t sent = send(peer, bytes.bytes, bytes.len, MSG_DONTWAIT);
    assert_true(sent > DM_FRAME_MAX_CONTROL + 65536);
    usleep(20000);
    dm_burrow_ready(rig.burrow);
    dm_burrow_flush(rig.burrow);
    rig_expect(rig_told(&rig), "1 end by-peer 1000\n");
    assert_int_equal(dm_burrow_count(rig.burrow), 1);
    rig_expect(rig_story(&rig, peer), "close 1000\neof\n");
    close(peer);
    usleep(20000);
    rig_run(&rig);
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    rig_expect(rig_told(&rig), "");
    dm_buf_dispose(&bytes);
    rig_dispose(&rig);
}

static void a_reset_is_a_drop(void **state)
{
    (void)state;
    struct rig rig;
    struct linger hard = {1, 0};
    int ends[2], peer;
    rig_init(&rig);
    rig_tcp_pair(ends);
    rig_open_on(&rig, 5, ends, DM_NO_SLICE, &peer);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(peer);
    usleep(20000);
    assert_true(rig_run(&rig) <= 1);
    rig_expect(rig_told(&rig), "5 end dropped 0\n");
    rig_dispose(&rig);
}

static enum dm_burrow_answer close_the_other(struct rig *rig, uint32_t owner,
                                             struct dm_slice message)
{
    (void)message;
    uint32_t *other = &rig->socks[owner == 1 ? 2 : 1];
    if (*other)
        dm_burrow_close(rig->burrow, *other, 1000, DM_NO_SLICE);
    *other = 0;
    return DM_BURROW_TAKEN;
}

/* Both are ready in one batch; the first that is heard closes the other. */
static void a_socket_closed_in_the_same_batch_is_silent(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peers[3];
    rig_init(&rig);
    rig.on_message = close_the_other;
    rig_text(&bytes, "hello");
    for (uint32_t i = 1; i <= 2; i++) {
        rig.socks[i] = rig_open(&rig, i, &peers[i]);
        send(peers[i], bytes.bytes, bytes.len, 0);
        shutdown(peers[i], SHUT_WR);
    }
    rig_run(&rig);
    char *told = rig_told(&rig);
    uint32_t first = told[0] == '1' ? 1 : 2;
    assert_string_equal(told, first == 1 ? "1 text hello\n1 end dropped 0\n"
                                         : "2 text hello\n2 end dropped 0\n");
    free(told);
    rig_expect(rig_story(&rig, peers[3 - first]), "close 1000\neof\n");
    dm_buf_dispose(&bytes);
    close(peers[1]);
    close(peers[2]);
    rig_dispose(&rig);
}

static void open_another(struct rig *rig, uint32_t owner)
{
    int ends[2];
    if (owner >= 100)
        return;
    rig_pair(ends);
    rig->socks[1] = dm_burrow_adopt(rig->burrow, ends[0]);
    rig->socks[2] = (uint32_t)ends[1];
    dm_burrow_start(rig->burrow, rig->socks[1], 100, DM_NO_SLICE);
}

/* A number and its fd are free again, but not before every event of the batch was looked at. */
static void a_number_is_not_used_again_within_a_turn(void **state)
{
    (void)state;
    struct rig rig;
    int peers[2];
    rig_init(&rig);
    uint32_t old = rig_open(&rig, 1, &peers[0]);
    rig_open(&rig, 99, &peers[1]);
    rig.on_closed = open_another;
    close(peers[0]);
    dm_burrow_ready(rig.burrow);
    rig_expect(rig_told(&rig), "1 end dropped 0\n");
    assert_int_not_equal(rig.socks[1], old);
    dm_burrow_flush(rig.burrow);
    int ends[2], peer;
    rig_pair(ends);
    assert_int_equal(rig_open_on(&rig, 101, ends, DM_NO_SLICE, &peer), old);
    rig_run(&rig);
    rig_expect(rig_told(&rig), "");
    assert_int_equal(dm_burrow_count(rig.burrow), 3);
    close(peer);
    close(peers[1]);
    close((int)rig.socks[2]);
    rig_dispose(&rig);
}

static enum dm_burrow_answer start_with_early_bytes(struct rig *rig, uint32_t owner,
                                                    struct dm_slice message)
{
    struct dm_buf early = DM_BUF_INIT;
    int ends[2];
    if (owner != 1)
        return DM_BURROW_TAKEN;
    char *before = dm_strndup(message.at, message.len);
    rig_pair(ends);
    rig_text(&early, "from the new one");
    uint32_t sock = dm_burrow_adopt(rig->burrow, ends[0]);
    dm_burrow_start(rig->burrow, sock, 2, dm_buf_slice(&early));
    assert_memory_equal(message.at, before, message.len);
    rig->socks[2] = (uint32_t)ends[1];
    dm_buf_dispose(&early);
    free(before);
    return DM_BURROW_TAKEN;
}

static void a_socket_may_be_started_inside_an_event(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    rig.on_message = start_with_early_bytes;
    rig_open(&rig, 1, &peer);
    rig_text(&bytes, "one");
    assert_true(rig_push_buf(&rig, peer, &bytes));
    rig_expect(rig_told(&rig), "1 text one\n2 text from the new one\n");
    close(peer);
    close((int)rig.socks[2]);
    rig_dispose(&rig);
}

static enum dm_burrow_answer close_itself(struct rig *rig, uint32_t owner, struct dm_slice message)
{
    (void)owner;
    dm_burrow_close(rig->burrow, rig->socks[0], 4403, DM_NO_SLICE);
    assert_memory_equal(message.at, "one", 3);
    return rig->socks[1] ? DM_BURROW_HOLD : DM_BURROW_TAKEN;
}

static void an_owner_may_close_the_socket_it_is_hearing(void **state)
{
    (void)state;
    for (uint32_t which = 0; which < 4; which++) {
        struct rig rig;
        struct dm_buf bytes = DM_BUF_INIT;
        int peer;
        rig_init(&rig);
        rig.on_message = close_itself;
        rig.socks[1] = which & 1;
        rig.socks[0] = rig_open(&rig, 1, &peer);
        if (which & 2) {
            rig_frame(&bytes, false, DM_OP_TEXT, DM_SLICE("on"));
            rig_frame(&bytes, true, DM_OP_CONTINUATION, DM_SLICE("e"));
        } else {
            rig_text(&bytes, "one");
        }
        rig_text(&bytes, "two");
        rig_close_frame(&bytes, 1000, "");
        assert_true(rig_push_buf(&rig, peer, &bytes));
        rig_expect(rig_told(&rig), "1 text one\n");
        rig_expect(rig_story(&rig, peer), "close 4403\neof\n");
        assert_int_equal(dm_burrow_count(rig.burrow), 0);
        close(peer);
        rig_dispose(&rig);
    }
}

static void an_adopted_socket_may_be_closed_before_it_starts(void **state)
{
    (void)state;
    struct rig rig;
    int ends[2];
    rig_init(&rig);
    rig_pair(ends);
    uint32_t sock = dm_burrow_adopt(rig.burrow, ends[0]);
    assert_int_equal(dm_burrow_count(rig.burrow), 1);
    rig_send(&rig, sock, "hello");
    dm_burrow_close(rig.burrow, sock, 1013, DM_NO_SLICE);
    dm_burrow_start(rig.burrow, sock, 1, DM_SLICE("not heard"));
    rig_expect(rig_story(&rig, ends[1]), "text hello\nclose 1013\n");
    close(ends[1]);
    rig_run(&rig);
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    rig_dispose(&rig);
}

/* With sockets in every state; the sanitizer says what was left. */
static void destroying_frees_everything_and_tells_nobody(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    char big[300001];
    int peers[5];
    uint32_t socks[5];
    rig_init(&rig);
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    for (uint32_t i = 0; i < 5; i++)
        socks[i] = rig_open(&rig, i, &peers[i]);
    rig_frame(&bytes, false, DM_OP_TEXT, DM_SLICE("a part"));
    assert_true(rig_push_buf(&rig, peers[0], &bytes));
    rig.hold = 1;
    rig_text(&bytes, "held");
    rig_text(&bytes, "behind");
    assert_true(rig_push_buf(&rig, peers[1], &bytes));
    rig_send(&rig, socks[2], big);
    rig_run(&rig);
    assert_true(rig_metric(&rig, DM_METRIC_UNSENT_BYTES) > 0);
    dm_burrow_close(rig.burrow, socks[3], 1001, DM_NO_SLICE);
    rig_run(&rig);
    rig_send(&rig, socks[4], "not flushed");
    rig_expect(rig_told(&rig), "1 text held\n");
    rig_dispose(&rig);
    for (int i = 0; i < 5; i++)
        close(peers[i]);
}

DM_UNIT_MAIN(cmocka_unit_test(our_close_waits_for_the_peers),
             cmocka_unit_test(lingering_ends_at_its_deadline_or_the_peers_end),
             cmocka_unit_test(unread_input_does_not_destroy_our_close),
             cmocka_unit_test(a_reset_is_a_drop),
             cmocka_unit_test(a_socket_closed_in_the_same_batch_is_silent),
             cmocka_unit_test(a_number_is_not_used_again_within_a_turn),
             cmocka_unit_test(a_socket_may_be_started_inside_an_event),
             cmocka_unit_test(an_owner_may_close_the_socket_it_is_hearing),
             cmocka_unit_test(an_adopted_socket_may_be_closed_before_it_starts),
             cmocka_unit_test(destroying_frees_everything_and_tells_nobody))
