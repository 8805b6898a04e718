/* rate_messages on a clock of its own: what is taken, what is held, and until when; what is
 * refused. */
#include "lib/unit.h"

#include "base/check.h"
#include "codec/frame.h"
#include "hub/session.h"

enum { RATE = 3, SOCKS = 300 };

struct rig {
    uint64_t now;
    uint32_t resumed[SOCKS], pongs;
    bool stores;
    struct dm_buf last; /* what was sent last */
    struct dm_shard *shard;
    struct dm_metrics metrics;
};

static uint64_t clock_now(void *self)
{
    return ((struct rig *)self)->now;
}

static void send(void *self, uint32_t sock, struct dm_wire *wire)
{
    struct rig *rig = self;
    struct dm_frame_head head;
    (void)sock;
    rig->pongs++;
    assert_int_equal(dm_frame_read_head(wire->bytes, wire->len, false, &head), DM_FRAME_WHOLE);
    dm_buf_clear(&rig->last);
    dm_buf_add(&rig->last, wire->bytes + head.size, (size_t)head.payload);
}

static void close_sock(void *self, uint32_t sock, int code, struct dm_slice reason)
{
    (void)self, (void)sock, (void)code, (void)reason;
}

static uint64_t unsent(void *self, uint32_t sock)
{
    (void)self, (void)sock;
    return 0;
}

static void resume(void *self, uint32_t sock)
{
    ((struct rig *)self)->resumed[sock]++;
}

static void submit(void *self, struct dm_store_op *op)
{
    struct rig *rig = self;
    assert_true(rig->stores);
    op->err = DM_OK;
    op->mail.run(&op->mail, rig->shard);
}

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    (void)self, (void)shard, (void)mail;
    fail_msg("there is one shard");
}

static void setup(struct rig *rig, uint32_t rate)
{
    *rig = (struct rig){.now = 5000};
    struct dm_shard_options options = {
        .shards = 1,
        .hibernate_after_ms = 10000,
        .limits = {.max_connections_per_user = SOCKS, .rate_messages = rate, .max_awake = 10}};
    struct dm_shard_ports ports = {
        .clock = {rig, clock_now, clock_now},
        .rand = dm_rand_system,
        .store = {.self = rig, .submit = submit},
        .sink = {rig, send, close_sock, unsent, resume},
        .post = {.self = rig, .send = post},
    };
    rig->shard = dm_shard_create(&options, &ports, &rig->metrics);
}

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    (void)here;
    assert_int_equal(admission->err, DM_OK);
}

static uint32_t open_as(struct rig *rig, uint32_t sock, enum dm_dialect_id dialect)
{
    struct dm_admission admission = {
        .dialect = dialect, .user_len = 5, .user_id = "alice", .done = admitted};
    dm_session_admit(rig->shard, &admission);
    uint32_t session = dm_session_open(rig->shard, &admission, sock);
    dm_admission_dispose(&admission);
    return session;
}

static uint32_t open_session(struct rig *rig, uint32_t sock)
{
    return open_as(rig, sock, DM_DIALECT_HOPEFLOW);
}

static uint64_t turn(struct rig *rig, uint64_t now)
{
    rig->now = now;
    dm_shard_end_turn(rig->shard);
    uint64_t next = dm_shard_tick(rig->shard);
    dm_shard_end_turn(rig->shard);
    return next;
}

/* How many of `n` messages are taken. */
static uint32_t say(struct rig *rig, uint32_t session, uint32_t n)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n; i++) {
        enum dm_session_answer answer =
            dm_session_message(rig->shard, session, false, dm_slice_of(i % 2 ? "ping" : "junk"));
        assert_int_not_equal(answer, DM_SESSION_HOLD);
        taken += answer == DM_SESSION_TAKEN;
    }
    return taken;
}

static uint64_t slowed(const struct rig *rig)
{
    return rig->metrics.values[DM_METRIC_SLOWED];
}

static void a_second_takes_the_rate_and_holds_the_rest(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig, RATE);
    uint32_t a = open_session(&rig, 1), b = open_session(&rig, 2);
    assert_int_equal(say(&rig, a, 10), RATE);
    assert_int_equal(slowed(&rig), 7);
    assert_int_equal(say(&rig, b, RATE), RATE); /* each has its own, and may have all of it */
    assert_int_equal(turn(&rig, 5000), 6000);
    assert_int_equal(turn(&rig, 5999), 6000);
    assert_int_equal(rig.resumed[1], 0);
    assert_int_equal(turn(&rig, 6000), 6000); /* at once again: what goes on may make work */
    assert_int_equal(rig.resumed[1], 1);
    assert_int_equal(rig.resumed[2], 0); /* it held nothing */
    assert_int_equal(say(&rig, a, 10), RATE);
    assert_int_equal(turn(&rig, 6500), 7000);
    assert_int_equal(turn(&rig, 8000), 8000);
    assert_int_equal(rig.resumed[1], 2);
    assert_int_equal(turn(&rig, 8000), UINT64_MAX);
    dm_session_closed(rig.shard, a, false);
    dm_session_closed(rig.shard, b, false);
    dm_shard_destroy(&rig.shard);
    dm_buf_dispose(&rig.last);
}

static void silence_costs_no_wakeups(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig, RATE);
    uint32_t a = open_session(&rig, 1);
    assert_int_equal(turn(&rig, 5000), UINT64_MAX);
    assert_int_equal(say(&rig, a, 1), 1);
    assert_int_equal(turn(&rig, 5000), 6000);
    assert_int_equal(turn(&rig, 6000), UINT64_MAX);
    dm_session_closed(rig.shard, a, false);
    dm_shard_destroy(&rig.shard);
    dm_buf_dispose(&rig.last);
}

static void one_that_ended_leaves_nothing_to_its_number(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig, RATE);
    uint32_t a = open_session(&rig, 1);
    assert_int_equal(say(&rig, a, RATE + 1), RATE);
    dm_session_closed(rig.shard, a, false);
    uint32_t b = open_session(&rig, 2);
    assert_int_equal(b, a);
    assert_int_equal(say(&rig, b, RATE), RATE);
    turn(&rig, 6000);
    assert_int_equal(rig.resumed[1] + rig.resumed[2], 0);
    assert_int_equal(say(&rig, b, RATE + 1), RATE);
    dm_session_closed(rig.shard, b, false);
    turn(&rig, 7000); /* nobody is there to be resumed */
    assert_int_equal(rig.resumed[1] + rig.resumed[2], 0);
    dm_shard_destroy(&rig.shard);
    dm_buf_dispose(&rig.last);
}

static void many_sessions_have_a_rate_each(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t sessions[SOCKS];
    setup(&rig, RATE);
    for (uint32_t i = 0; i < SOCKS; i++)
        sessions[i] = open_session(&rig, i);
    for (uint32_t i = SOCKS; i-- > 0;)
        assert_int_equal(say(&rig, sessions[i], RATE + i % 2), RATE);
    turn(&rig, 6000);
    for (uint32_t i = 0; i < SOCKS; i++) {
        assert_int_equal(rig.resumed[i], i % 2);
        assert_int_equal(say(&rig, sessions[i], RATE + 1), RATE);
        dm_session_closed(rig.shard, sessions[i], false);
    }
    dm_shard_destroy(&rig.shard);
    dm_buf_dispose(&rig.last);
}

static void without_a_rate_nothing_is_held(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig, 0);
    uint32_t a = open_session(&rig, 1);
    assert_int_equal(say(&rig, a, 10000), 10000);
    assert_int_equal(rig.pongs, 5000);
    assert_int_equal(turn(&rig, 5000), UINT64_MAX);
    assert_int_equal(slowed(&rig), 0);
    dm_session_closed(rig.shard, a, false);
    dm_shard_destroy(&rig.shard);
    dm_buf_dispose(&rig.last);
}

static void expect_answer(struct rig *rig, uint32_t session, const char *message,
                          const char *answer)
{
    dm_buf_clear(&rig->last);
    assert_int_equal(dm_session_message(rig->shard, session, false, dm_slice_of(message)),
                     DM_SESSION_TAKEN);
    assert_string_equal(dm_buf_text(&rig->last), answer);
}

#define LIMITED "\"code\":\"rate_limited\",\"error\":\"Too many messages in a second\"}"

static void a_dialect_with_errors_refuses_the_rest(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig, RATE);
    rig.stores = true;
    uint32_t a = open_as(&rig, 1, DM_DIALECT_NATIVE), b = open_session(&rig, 2);
    for (uint32_t i = 0; i < RATE; i++)
        expect_answer(&rig, a, "{\"type\":\"ping\",\"ref\":1}", "{\"type\":\"ok\",\"ref\":1}");
    expect_answer(&rig, a, "{\"type\":\"ping\",\"ref\":\"r\"}",
                  "{\"type\":\"error\",\"ref\":\"r\"," LIMITED);
    expect_answer(&rig, a, "{\"type\":\"ping\"}", "{\"type\":\"error\"," LIMITED);
    expect_answer(&rig, a, "junk", "{\"type\":\"error\"," LIMITED);
    expect_answer(&rig, a, "{\"type\":\"attach\",\"attachment\":1,\"ref\":7}",
                  "{\"type\":\"error\",\"ref\":7," LIMITED);
    assert_int_equal(rig.metrics.refusals[DM_ERR_RATE_LIMITED], 4);
    assert_int_equal(slowed(&rig), 0);
    assert_int_equal(say(&rig, b, RATE + 1), RATE); /* the other dialect is held beside it */
    assert_int_equal(turn(&rig, 6000), 6000);
    assert_int_equal(rig.resumed[1], 0); /* it holds nothing */
    assert_int_equal(rig.resumed[2], 1);
    expect_answer(&rig, a, "{\"type\":\"ping\",\"ref\":2}", "{\"type\":\"ok\",\"ref\":2}");
    dm_session_closed(rig.shard, a, true);
    dm_session_closed(rig.shard, b, false);
    dm_shard_destroy(&rig.shard);
    dm_buf_dispose(&rig.last);
}

DM_UNIT_MAIN(cmocka_unit_test(a_second_takes_the_rate_and_holds_the_rest),
             cmocka_unit_test(silence_costs_no_wakeups),
             cmocka_unit_test(one_that_ended_leaves_nothing_to_its_number),
             cmocka_unit_test(many_sessions_have_a_rate_each),
             cmocka_unit_test(without_a_rate_nothing_is_held),
             cmocka_unit_test(a_dialect_with_errors_refuses_the_rest))
