/* What is said of a session's row, to a store that fails: what is said again, when, and what not.
 */
#include "lib/unit.h"

#include "base/err.h"
#include "hub/publish.h"
#include "hub/session.h"

enum { WINDOW_MS = 60000, RETRY_MS = 250, OPS_MAX = 16 };

struct rig {
    uint64_t now;
    struct dm_shard *shard;
    struct dm_metrics metrics;
    struct dm_store_op *ops[OPS_MAX]; /* at the store, in order; but for looks for expired rows */
    uint32_t op_count;
    struct dm_admission admission;
    uint32_t admissions, socks;
    int closed; /* with what code a socket was closed last */
};

static uint64_t clock_now(void *self)
{
    return ((struct rig *)self)->now;
}

static void send(void *self, uint32_t sock, struct dm_wire *wire)
{
    (void)self, (void)sock, (void)wire;
}

static void close_sock(void *self, uint32_t sock, int code, struct dm_slice reason)
{
    (void)sock, (void)reason;
    ((struct rig *)self)->closed = code;
}

static void resume(void *self, uint32_t sock)
{
    (void)self, (void)sock;
}

static void submit(void *self, struct dm_store_op *op)
{
    struct rig *rig = self;
    if (op->kind == DM_STORE_EXPIRE_SESSIONS) {
        op->mail.run(&op->mail, rig->shard);
        return;
    }
    assert_in_range(rig->op_count, 0, OPS_MAX - 1);
    rig->ops[rig->op_count++] = op;
}

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    (void)self, (void)shard, (void)mail;
    fail_msg("there is one shard");
}

static void setup(struct rig *rig)
{
    *rig = (struct rig){.now = 1000000};
    struct dm_shard_options options = {.shards = 1,
                                       .hibernate_after_ms = 1000,
                                       .resume_window_ms = WINDOW_MS,
                                       .limits = {.max_connections_per_user = 10, .max_awake = 10}};
    struct dm_shard_ports ports = {
        .clock = {rig, clock_now, clock_now},
        .rand = dm_rand_system,
        .store = {.self = rig, .submit = submit},
        .sink = {.self = rig, .send = send, .close = close_sock, .resume = resume},
        .post = {.self = rig, .send = post},
    };
    rig->shard = dm_shard_create(&options, &ports, &rig->metrics);
}

static void turn(struct rig *rig, uint64_t pass_ms)
{
    rig->now += pass_ms;
    dm_shard_end_turn(rig->shard);
    (void)dm_shard_tick(rig->shard);
    dm_shard_end_turn(rig->shard);
    dm_shard_verify(rig->shard);
}

/* The first operation at the store, which is of that kind, comes back; returns the session's id. */
static struct dm_uuid come_back(struct rig *rig, enum dm_store_kind kind, int err)
{
    assert_in_range(rig->op_count, 1, OPS_MAX);
    struct dm_store_op *op = rig->ops[0];
    struct dm_uuid id = op->session_id;
    assert_int_equal(op->kind, kind);
    memmove(rig->ops, rig->ops + 1, --rig->op_count * sizeof op);
    op->err = err;
    op->mail.run(&op->mail, rig->shard);
    dm_shard_verify(rig->shard);
    return id;
}

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    (void)here;
    DM_CONTAINER(admission, struct rig, admission)->admissions++;
}

static void ask(struct rig *rig, bool resuming)
{
    rig->admission = (struct dm_admission){.dialect = DM_DIALECT_NATIVE,
                                           .resuming = resuming,
                                           .user_len = 5,
                                           .user_id = "alice",
                                           .done = admitted};
    dm_session_admit(rig->shard, &rig->admission);
}

/* Its socket arrives; 0: it is refused. */
static uint32_t arrive(struct rig *rig)
{
    assert_int_equal(rig->admission.err, DM_OK);
    uint32_t session = dm_session_open(rig->shard, &rig->admission, ++rig->socks);
    dm_admission_dispose(&rig->admission);
    dm_shard_verify(rig->shard);
    return session;
}

static uint32_t open_session(struct rig *rig)
{
    ask(rig, false);
    (void)come_back(rig, DM_STORE_OPEN_SESSION, DM_OK);
    return arrive(rig);
}

/* The store has found the row of `id` for an attempt. */
static void find_row(struct rig *rig, const struct dm_uuid *id, int err)
{
    struct dm_store_op *op = rig->ops[0];
    dm_store_op_add_session(op, id, DM_SLICE("native"), DM_SLICE("[]"), DM_NO_SLICE);
    op->resumed = true;
    (void)come_back(rig, DM_STORE_RESUME_SESSION, err);
}

static void expect_nothing(struct rig *rig, uint64_t pass_ms)
{
    turn(rig, pass_ms);
    assert_int_equal(rig->op_count, 0);
}

static void finish(struct rig *rig)
{
    expect_nothing(rig, 10 * RETRY_MS);
    dm_shard_destroy(&rig->shard);
}

static void a_goodbye_is_said_until_the_store_takes_it(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig);
    dm_session_closed(rig.shard, open_session(&rig), true);
    struct dm_uuid id = come_back(&rig, DM_STORE_FORGET_SESSION, DM_ERR_UNAVAILABLE);
    for (int i = 0; i < 3; i++) {
        expect_nothing(&rig, RETRY_MS - 1);
        turn(&rig, 1);
        struct dm_uuid again =
            come_back(&rig, DM_STORE_FORGET_SESSION, i < 2 ? DM_ERR_COMMIT_UNKNOWN : DM_OK);
        assert_memory_equal(&id, &again, sizeof id);
    }
    finish(&rig);
}

static void a_drop_that_is_said_again_is_of_its_own_time(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig);
    uint32_t session = open_session(&rig);
    uint64_t dropped_at = rig.now;
    dm_session_closed(rig.shard, session, false);
    (void)come_back(&rig, DM_STORE_DROP_SESSION, DM_ERR_UNAVAILABLE);
    turn(&rig, 5000);
    assert_int_equal(rig.ops[0]->now, dropped_at);
    (void)come_back(&rig, DM_STORE_DROP_SESSION, DM_OK);
    finish(&rig);
}

static void a_store_that_fails_is_tried_with_one(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t sessions[5];
    setup(&rig);
    for (int i = 0; i < 5; i++)
        sessions[i] = open_session(&rig);
    for (int i = 0; i < 5; i++)
        dm_session_closed(rig.shard, sessions[i], true);
    for (int i = 0; i < 5; i++)
        (void)come_back(&rig, DM_STORE_FORGET_SESSION, DM_ERR_UNAVAILABLE);
    for (int i = 0; i < 3; i++) {
        turn(&rig, RETRY_MS);
        assert_int_equal(rig.op_count, 1);
        (void)come_back(&rig, DM_STORE_FORGET_SESSION, i < 2 ? DM_ERR_UNAVAILABLE : DM_OK);
    }
    turn(&rig, RETRY_MS);
    assert_int_equal(rig.op_count, 4);
    for (int i = 0; i < 4; i++)
        (void)come_back(&rig, DM_STORE_FORGET_SESSION, DM_OK);
    finish(&rig);
}

/* A session that has dropped, whose row does not say so. */
static struct dm_uuid drop_unsaid(struct rig *rig)
{
    dm_session_closed(rig->shard, open_session(rig), false);
    return come_back(rig, DM_STORE_DROP_SESSION, DM_ERR_UNAVAILABLE);
}

static void a_drop_is_not_said_of_a_session_that_was_resumed(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig);
    struct dm_uuid id = drop_unsaid(&rig);
    ask(&rig, true);
    find_row(&rig, &id, DM_OK);
    expect_nothing(&rig, RETRY_MS); /* its socket is on its way */
    uint32_t session = arrive(&rig);
    assert_int_not_equal(session, 0);
    expect_nothing(&rig, RETRY_MS);
    dm_session_closed(rig.shard, session, true);
    (void)come_back(&rig, DM_STORE_FORGET_SESSION, DM_OK);
    finish(&rig);
}

static void a_drop_behind_an_attempt_is_undone_until_that_is_written(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig);
    struct dm_uuid id = drop_unsaid(&rig);
    ask(&rig, true);
    turn(&rig, RETRY_MS); /* says it, behind the question */
    find_row(&rig, &id, DM_OK);
    uint32_t session = arrive(&rig);
    (void)come_back(&rig, DM_STORE_DROP_SESSION, DM_ERR_UNAVAILABLE); /* there is a newer word */
    (void)come_back(&rig, DM_STORE_CONNECT_SESSION, DM_ERR_UNAVAILABLE);
    turn(&rig, RETRY_MS);
    (void)come_back(&rig, DM_STORE_CONNECT_SESSION, DM_ERR_UNAVAILABLE);
    dm_session_closed(rig.shard, session, false); /* nobody says CONNECT any more */
    turn(&rig, RETRY_MS);
    (void)come_back(&rig, DM_STORE_DROP_SESSION, DM_OK);
    finish(&rig);
}

static void what_has_ended_is_not_resumed_though_its_row_is_there(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig);
    dm_session_closed(rig.shard, open_session(&rig), true);
    struct dm_uuid id = come_back(&rig, DM_STORE_FORGET_SESSION, DM_ERR_UNAVAILABLE);
    ask(&rig, true);
    find_row(&rig, &id, DM_OK);
    assert_int_equal(arrive(&rig), 0);
    assert_int_equal(rig.closed, 1013);
    (void)come_back(&rig, DM_STORE_FORGET_SESSION, DM_OK);
    finish(&rig);
}

static void a_row_that_may_have_been_written_has_no_socket(void **state)
{
    (void)state;
    struct rig rig;
    setup(&rig);
    ask(&rig, false);
    (void)come_back(&rig, DM_STORE_OPEN_SESSION, DM_ERR_COMMIT_UNKNOWN);
    assert_int_equal(rig.admission.err, DM_ERR_COMMIT_UNKNOWN);
    (void)come_back(&rig, DM_STORE_FORGET_SESSION, DM_OK);
    dm_session_closed(rig.shard, open_session(&rig), false);
    struct dm_uuid id = come_back(&rig, DM_STORE_DROP_SESSION, DM_OK);
    ask(&rig, true);
    find_row(&rig, &id, DM_ERR_COMMIT_UNKNOWN);
    struct dm_uuid dropped = come_back(&rig, DM_STORE_DROP_SESSION, DM_OK);
    assert_memory_equal(&id, &dropped, sizeof id);
    finish(&rig);
}

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    (void)here;
    dm_envelope_release(publish->envelope);
    dm_buf_dispose(&publish->results);
}

/* The session is kept for its pending ack until its user is awake; nobody may resume it before. */
static void an_end_is_said_again_while_the_user_wakes(void **state)
{
    (void)state;
    struct rig rig;
    struct dm_slice target = DM_SLICE("alice");
    setup(&rig);
    uint32_t session = open_session(&rig);
    const struct dm_envelope_draft draft = {.id = dm_shard_mint(rig.shard),
                                            .ts = rig.now,
                                            .type = DM_SLICE("t"),
                                            .payload = DM_SLICE("1")};
    struct dm_publish publish = {.targets = &target, .target_count = 1, .timeout_ms = 60000};
    publish.done = published;
    publish.envelope = dm_envelope_create(&draft);
    dm_publish(rig.shard, &publish);
    while (rig.op_count)
        (void)come_back(&rig, DM_STORE_LOAD_USER, DM_OK);
    turn(&rig, 2000);
    (void)come_back(&rig, DM_STORE_SAVE_USER, DM_OK);
    dm_session_closed(rig.shard, session, true);
    struct dm_store_op *load = rig.ops[0];
    assert_int_equal(load->kind, DM_STORE_LOAD_USER);
    memmove(rig.ops, rig.ops + 1, --rig.op_count * sizeof load);
    struct dm_uuid ended = come_back(&rig, DM_STORE_END_SESSION, DM_ERR_UNAVAILABLE);
    turn(&rig, RETRY_MS);
    (void)come_back(&rig, DM_STORE_END_SESSION, DM_ERR_UNAVAILABLE);
    dm_store_op_add_session(load, &ended, DM_SLICE("native"), DM_SLICE("[]"), DM_NO_SLICE);
    dm_store_op_add_pending(load, &draft.id, &ended);
    rig.ops[rig.op_count++] = load;
    (void)come_back(&rig, DM_STORE_LOAD_USER, DM_OK);
    turn(&rig, RETRY_MS); /* there is a newer word */
    (void)come_back(&rig, DM_STORE_FORGET_SESSION, DM_OK);
    while (rig.op_count) /* what was pending */
        (void)come_back(&rig, DM_STORE_FORGET_ENVELOPE, DM_OK);
    finish(&rig);
}

DM_UNIT_MAIN(cmocka_unit_test(a_goodbye_is_said_until_the_store_takes_it),
             cmocka_unit_test(a_drop_that_is_said_again_is_of_its_own_time),
             cmocka_unit_test(a_store_that_fails_is_tried_with_one),
             cmocka_unit_test(a_drop_is_not_said_of_a_session_that_was_resumed),
             cmocka_unit_test(a_drop_behind_an_attempt_is_undone_until_that_is_written),
             cmocka_unit_test(what_has_ended_is_not_resumed_though_its_row_is_there),
             cmocka_unit_test(a_row_that_may_have_been_written_has_no_socket),
             cmocka_unit_test(an_end_is_said_again_while_the_user_wakes))
