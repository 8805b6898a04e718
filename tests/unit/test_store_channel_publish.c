/* Publishes to channels, in a real store: their targets are the members of the moment. */
#include <sqlite3.h>

#include "lib/publish_rig.h"
#include "lib/unit.h"
#include "ports/store_channel.h"

enum { NOW = 5000 };

static void run_sql(struct store_rig *rig, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

static void change(struct store_rig *rig, enum dm_store_kind kind, const char *channel,
                   const char *user)
{
    struct dm_store_op *op = dm_store_op_create(kind, 0, NULL);
    dm_store_op_channel(op)->name = dm_store_op_add_text(op, dm_slice_of(channel));
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user));
    op->now = NOW;
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->channel->was, DM_MEMBER_CHANGED);
    dm_store_op_destroy(op);
}

static void join(struct store_rig *rig, const char *channel, const char *user)
{
    change(rig, DM_STORE_JOIN_CHANNEL, channel, user);
}

static void leave(struct store_rig *rig, const char *channel, const char *user)
{
    change(rig, DM_STORE_LEAVE_CHANNEL, channel, user);
}

static struct dm_store_op *done(struct store_rig *rig, struct dm_store_op *op)
{
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    return op;
}

static struct dm_store_op *publish_to(uint32_t envelope, unsigned how, const char *channel)
{
    struct dm_store_op *op = publish_rig_record(envelope, how, "", "t", NOW);
    op->publish->channel = dm_store_op_add_text(op, dm_slice_of(channel));
    op->publish->max_targets = 3;
    return op;
}

static void expect_recorded(struct store_rig *rig, struct dm_store_op *op, enum dm_recorded found,
                            uint32_t targets)
{
    assert_int_equal(done(rig, op)->publish->found, found);
    assert_int_equal(op->publish->target_count, targets);
    for (uint32_t i = 0; i < targets; i++)
        assert_true(dm_store_op_text(op, op->publish->targets[i]).len > 0);
    dm_store_op_destroy(op);
}

static void its_targets_are_the_members(void **state)
{
    struct store_rig *rig = *state;
    join(rig, "c", "ann");
    join(rig, "c", "bob");
    join(rig, "d", "cleo");
    expect_recorded(rig, publish_to(1, RIG_DURABLE, "c"), DM_RECORDED_NEW, 2);
    join(rig, "c", "cleo"); /* too late for that one */
    leave(rig, "c", "bob"); /* and it is owed it all the same */
    publish_rig_expect_owed(rig, "ann", NOW, "1");
    publish_rig_expect_owed(rig, "bob", NOW, "1");
    publish_rig_expect_owed(rig, "cleo", NOW, "");
    struct dm_store_op *op = done(rig, publish_rig_load("ann", 0, NOW));
    assert_true(dm_slice_eq(dm_store_op_text(op, op->page->rows[0].channel), DM_SLICE("c")));
    dm_store_op_destroy(op);
    assert_int_equal(publish_rig_do(rig, publish_rig_record(2, RIG_DURABLE, "cleo", "t", NOW)),
                     DM_RECORDED_NEW);
    op = done(rig, publish_rig_load("cleo", 0, NOW));
    assert_int_equal(op->page->rows[0].channel.len, 0);
    dm_store_op_destroy(op);
}

/* By a caller that has not sent it and will. */
static struct dm_store_op *publish_again(uint32_t number, unsigned how, const char *channel)
{
    struct dm_store_op *op = publish_to(number, how, channel);
    op->publish->resends = true;
    return op;
}

static void asked_again_it_finds_whose_acks_still_count(void **state)
{
    struct store_rig *rig = *state;
    const unsigned how = RIG_DURABLE | RIG_REPEATABLE;
    join(rig, "c", "ann");
    join(rig, "c", "bob");
    expect_recorded(rig, publish_to(1, how, "c"), DM_RECORDED_NEW, 2);
    join(rig, "c", "cleo");
    expect_recorded(rig, publish_to(1, how, "c"), DM_RECORDED_OPEN, 0);
    expect_recorded(rig, publish_again(1, how, "c"), DM_RECORDED_OPEN, 2);
    struct dm_store_op *over = publish_rig_op(DM_STORE_FINISH_PUBLISH, 1, NOW);
    assert_int_equal(publish_rig_do(rig, over), DM_RECORDED_DONE);
    publish_rig_do(rig, publish_rig_ack(1, "ann", 10, "1", NOW));
    expect_recorded(rig, publish_again(1, how, "c"), DM_RECORDED_DONE, 1); /* bob */
    struct dm_store_op *other = publish_again(1, how, "c");
    other->publish->body_hash[0] ^= 1;
    expect_recorded(rig, other, DM_RECORDED_OTHER, 0);
}

static void to_too_many_it_is_not_recorded(void **state)
{
    struct store_rig *rig = *state;
    const char *users[] = {"ann", "bob", "cleo", "dan"};
    for (size_t i = 0; i < 3; i++)
        join(rig, "c", users[i]);
    expect_recorded(rig, publish_to(1, RIG_REPEATABLE, "c"), DM_RECORDED_NEW, 3);
    join(rig, "c", "dan");
    expect_recorded(rig, publish_to(2, RIG_DURABLE, "c"), DM_RECORDED_TOO_WIDE, 0);
    expect_recorded(rig, publish_to(3, RIG_REPEATABLE, "c"), DM_RECORDED_TOO_WIDE, 0);
    publish_rig_expect_rows(rig, 1, 3, 0, 0);
    leave(rig, "c", "dan");
    expect_recorded(rig, publish_to(2, RIG_DURABLE, "c"), DM_RECORDED_NEW, 3);
    struct dm_store_op *much = publish_to(4, RIG_DURABLE, "c");
    much->publish->max_owed = 1;
    assert_int_equal(publish_rig_do(rig, much), DM_RECORDED_TOO_MUCH);
    publish_rig_expect_rows(rig, 2, 6, 1, 0);
}

static void to_nobody_it_is_owed_to_nobody(void **state)
{
    struct store_rig *rig = *state;
    expect_recorded(rig, publish_to(1, RIG_DURABLE | RIG_REPEATABLE, "c"), DM_RECORDED_NEW, 0);
    publish_rig_expect_rows(rig, 1, 0, 0, 0);
    publish_rig_expect_look(rig, 1, NOW, (struct rig_seen){DM_RECORDED_OPEN, 0, 0, 0, NULL});
    join(rig, "c", "ann");
    publish_rig_expect_owed(rig, "ann", NOW, "");
    expect_recorded(rig, publish_to(1, RIG_DURABLE | RIG_REPEATABLE, "c"), DM_RECORDED_OPEN, 0);
}

static void a_publish_that_fails_leaves_nothing(void **state)
{
    struct store_rig *rig = *state;
    join(rig, "c", "ann");
    join(rig, "c", "bob");
    run_sql(rig, "CREATE TRIGGER t BEFORE INSERT ON target WHEN new.user_id = 'bob'"
                 " BEGIN SELECT RAISE(ABORT, 'no'); END");
    assert_int_equal(store_rig_finish(rig, publish_to(1, RIG_DURABLE, "c")), DM_ERR_UNAVAILABLE);
    run_sql(rig, "DROP TRIGGER t");
    publish_rig_expect_rows(rig, 0, 0, 0, 0);
    assert_int_equal(store_rig_rows(rig, "owed_count"), 0);
    assert_int_equal(store_rig_rows(rig, "ack_tally"), 0);
    expect_recorded(rig, publish_to(1, RIG_DURABLE, "c"), DM_RECORDED_NEW, 2);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, store_rig_setup, store_rig_teardown)

DM_UNIT_MAIN(RIGGED(its_targets_are_the_members),
             RIGGED(asked_again_it_finds_whose_acks_still_count),
             RIGGED(to_too_many_it_is_not_recorded), RIGGED(to_nobody_it_is_owed_to_nobody),
             RIGGED(a_publish_that_fails_leaves_nothing))
