/* HOLD and resume: order, memory, and that a held socket does not keep the loop awake. */
#include "lib/unit.h"

#include <stdlib.h>

#include "lib/burrow_rig.h"

static void what_is_behind_a_held_message_waits(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    uint32_t sock = rig_open(&rig, 1, &peer);
    rig_text(&bytes, "one");
    rig_text(&bytes, "two");
    rig_frame(&bytes, true, DM_OP_PING, DM_SLICE("p"));
    rig_close_frame(&bytes, 1000, "");
    rig.hold = 1;
    assert_true(rig_push_buf(&rig, peer, &bytes));
    rig_expect(rig_told(&rig), "1 text one\n");
    rig_expect(rig_story(&rig, peer), "");
    rig.hold = 1;
    dm_burrow_resume(rig.burrow, sock);
    rig_expect(rig_told(&rig), "");
    dm_burrow_flush(rig.burrow);
    rig_expect(rig_told(&rig), "1 text one\n");
    dm_burrow_resume(rig.burrow, sock);
    dm_burrow_resume(rig.burrow, sock);
    dm_burrow_flush(rig.burrow);
    rig_expect(rig_told(&rig), "1 text one\n1 text two\n1 end by-peer 1000\n");
    rig_expect(rig_story(&rig, peer), "pong p\nclose 1000\neof\n");
    assert_int_equal(rig_metric(&rig, DM_METRIC_FRAMES_IN), 2);
    close(peer);
    rig_dispose(&rig);
}

static enum dm_burrow_answer hold_twice(struct rig *rig, uint32_t owner, struct dm_slice message)
{
    (void)owner, (void)message;
    return rig->calls % 3 ? DM_BURROW_HOLD : DM_BURROW_TAKEN;
}

static enum dm_burrow_answer hold_twice_and_resume(struct rig *rig, uint32_t owner,
                                                   struct dm_slice message)
{
    dm_burrow_resume(rig->burrow, rig->socks[0]);
    return hold_twice(rig, owner, message);
}

/* A stream that is cut anywhere, in which each message is held twice, whether the resume comes
 * later or from inside the event. */
static void each_message_is_offered_until_it_is_taken(void **state)
{
    (void)state;
    for (size_t step = 1; step < 100; step += 3) {
        struct rig rig;
        struct dm_buf bytes = DM_BUF_INIT;
        int peer;
        rig_init(&rig);
        rig.on_message = step % 2 ? hold_twice : hold_twice_and_resume;
        rig.socks[0] = rig_open(&rig, 1, &peer);
        rig_text(&bytes, "one");
        rig_frame(&bytes, false, DM_OP_TEXT, DM_SLICE("in "));
        rig_frame(&bytes, true, DM_OP_PING, DM_SLICE("p"));
        rig_frame(&bytes, true, DM_OP_CONTINUATION, DM_SLICE("parts"));
        rig_frame(&bytes, false, DM_OP_BINARY, DM_SLICE(""));
        rig_frame(&bytes, true, DM_OP_CONTINUATION, DM_SLICE(""));
        rig_text(&bytes, "three");
        rig_close_frame(&bytes, 1001, "");
        for (size_t at = 0; at < bytes.len; at += step)
            assert_true(rig_push(
                &rig, peer,
                dm_slice(bytes.bytes + at, bytes.len - at < step ? bytes.len - at : step)));
        while (dm_burrow_count(rig.burrow)) {
            if (step % 2)
                dm_burrow_resume(rig.burrow, rig.socks[0]);
            rig_run(&rig);
        }
        rig_expect(rig_told(&rig), "1 text one\n1 text one\n1 text one\n"
                                   "1 text in parts\n1 text in parts\n1 text in parts\n"
                                   "1 binary\n1 binary\n1 binary\n"
                                   "1 text three\n1 text three\n1 text three\n"
                                   "1 end by-peer 1001\n");
        rig_expect(rig_story(&rig, peer), "pong p\nclose 1001\neof\n");
        dm_buf_dispose(&bytes);
        close(peer);
        rig_dispose(&rig);
    }
}

/* The last is held with nothing behind it, after the second was held with something. */
static void the_last_message_may_be_held_too(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    rig.on_message = hold_twice;
    uint32_t sock = rig_open(&rig, 1, &peer);
    rig_text(&bytes, "one");
    rig_text(&bytes, "two");
    rig_text(&bytes, "three");
    assert_true(rig_push_buf(&rig, peer, &bytes));
    for (int i = 0; i < 6; i++) {
        dm_burrow_resume(rig.burrow, sock);
        rig_run(&rig);
    }
    rig_expect(rig_told(&rig), "1 text one\n1 text one\n1 text one\n"
                               "1 text two\n1 text two\n1 text two\n"
                               "1 text three\n1 text three\n1 text three\n");
    rig_text(&bytes, "four");
    assert_true(rig_push_buf(&rig, peer, &bytes));
    rig_expect(rig_told(&rig), "1 text four\n");
    close(peer);
    rig_dispose(&rig);
}

static enum dm_burrow_answer always_hold(struct rig *rig, uint32_t owner, struct dm_slice message)
{
    (void)owner, (void)message;
    dm_burrow_resume(rig->burrow, rig->socks[0]);
    return rig->calls < 1000 ? DM_BURROW_HOLD : DM_BURROW_TAKEN;
}

static void one_flush_does_not_go_on_for_ever(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    rig.socks[0] = rig_open(&rig, 1, &peer);
    rig.on_message = always_hold;
    rig_text(&bytes, "again");
    send(peer, bytes.bytes, bytes.len, 0);
    dm_burrow_ready(rig.burrow);
    dm_burrow_flush(rig.burrow);
    assert_true(rig.calls < 100);
    assert_true(rig_is_ready(&rig)); /* the rest is left for the next turns */
    assert_true(rig_run(&rig) > 10);
    assert_int_equal(rig.calls, 1000);
    dm_buf_dispose(&bytes);
    close(peer);
    rig_dispose(&rig);
}

static void a_held_socket_does_not_spin(void **state)
{
    (void)state;
    for (int tcp = 0; tcp <= 1; tcp++) {
        struct rig rig;
        struct dm_buf bytes = DM_BUF_INIT;
        int ends[2], peer;
        rig_init(&rig);
        tcp ? rig_tcp_pair(ends) : rig_pair(ends);
        uint32_t sock = rig_open_on(&rig, 1, ends, DM_NO_SLICE, &peer);
        rig_text(&bytes, "held");
        rig_text(&bytes, "behind");
        rig.hold = 1;
        assert_true(rig_push_buf(&rig, peer, &bytes));
        rig_text(&bytes, "more");
        assert_true(rig_push_buf(&rig, peer, &bytes));
        shutdown(peer, SHUT_WR);
        assert_true(rig_run(&rig) <= 1);
        assert_int_equal(rig_run(&rig), 0);
        close(peer);
        usleep(tcp ? 20000 : 0);
        assert_int_equal(rig_run(&rig), 0);
        rig_send(&rig, sock, "to nobody");
        rig_run(&rig);
        rig_send(&rig, sock, "to nobody");
        rig_run(&rig);
        assert_int_equal(rig_run(&rig), 0);
        rig_expect(rig_told(&rig), "1 text held\n");
        dm_burrow_resume(rig.burrow, sock);
        rig_run(&rig);
        rig_expect(rig_told(&rig), "1 text held\n1 text behind\n1 text more\n1 end dropped 0\n");
        rig_dispose(&rig);
    }
}

/* While it is held, the kernel's buffer fills and the peer cannot send more. */
static void a_held_socket_pushes_back(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    char text[50000];
    int peer;
    rig_init(&rig);
    uint32_t sock = rig_open(&rig, 1, &peer);
    memset(text, 't', sizeof text);
    for (int i = 0; i < 40; i++)
        rig_frame(&bytes, true, DM_OP_TEXT, dm_slice(text, sizeof text));
    rig.hold = 1;
    size_t sent = 0;
    for (ssize_t len; (len = send(peer, bytes.bytes + sent, bytes.len - sent, 0)) > 0;) {
        sent += (size_t)len;
        rig_run(&rig);
    }
    assert_true(sent < bytes.len);
    assert_int_equal(rig.calls, 1);
    dm_burrow_resume(rig.burrow, sock);
    rig_run(&rig);
    assert_true(rig_push(&rig, peer, dm_slice_from(dm_buf_slice(&bytes), sent)));
    assert_int_equal(rig.calls, 41);
    dm_buf_dispose(&bytes);
    close(peer);
    rig_dispose(&rig);
}

static void closing_a_held_socket_drops_what_is_held(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int peer;
    rig_init(&rig);
    uint32_t sock = rig_open(&rig, 1, &peer);
    rig_text(&bytes, "held");
    rig_text(&bytes, "behind");
    rig_close_frame(&bytes, 1000, "");
    rig.hold = 1;
    assert_true(rig_push_buf(&rig, peer, &bytes));
    rig_send(&rig, sock, "answer");
    dm_burrow_close(rig.burrow, sock, 4401, DM_SLICE(" expired"));
    rig_expect(rig_story(&rig, peer), "text answer\nclose 4401 expired\neof\n");
    rig_expect(rig_told(&rig), "1 text held\n");
    assert_int_equal(dm_burrow_count(rig.burrow), 0);
    close(peer);
    rig_dispose(&rig);
}

/* Early bytes that are held are parked with the rest of them. */
static void early_bytes_may_be_held(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_buf bytes = DM_BUF_INIT;
    int ends[2], peer;
    rig_init(&rig);
    rig_pair(ends);
    rig_text(&bytes, "one");
    rig_text(&bytes, "two");
    rig.hold = 1;
    uint32_t sock = rig_open_on(&rig, 1, ends, dm_slice(bytes.bytes, bytes.len - 1), &peer);
    assert_true(rig_push(&rig, peer, dm_slice_from(dm_buf_slice(&bytes), bytes.len - 1)));
    rig_expect(rig_told(&rig), "1 text one\n");
    dm_burrow_resume(rig.burrow, sock);
    rig_run(&rig);
    rig_expect(rig_told(&rig), "1 text one\n1 text two\n");
    dm_buf_dispose(&bytes);
    close(peer);
    rig_dispose(&rig);
}

DM_UNIT_MAIN(cmocka_unit_test(what_is_behind_a_held_message_waits),
             cmocka_unit_test(each_message_is_offered_until_it_is_taken),
             cmocka_unit_test(the_last_message_may_be_held_too),
             cmocka_unit_test(one_flush_does_not_go_on_for_ever),
             cmocka_unit_test(a_held_socket_does_not_spin),
             cmocka_unit_test(a_held_socket_pushes_back),
             cmocka_unit_test(closing_a_held_socket_drops_what_is_held),
             cmocka_unit_test(early_bytes_may_be_held))
