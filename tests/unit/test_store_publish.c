/* Recorded publishes in a real store: what is recorded, found again, refused, told and forgotten.
 */
#include "lib/publish_rig.h"
#include "lib/unit.h"

enum { NOW = 5000, LATE = NOW + RIG_TIMEOUT };

static struct dm_store_op *counts(enum dm_store_kind kind, uint32_t envelope, uint64_t now,
                                  uint32_t client_count, uint32_t delivered)
{
    struct dm_store_op *op = publish_rig_op(kind, envelope, now);
    op->publish->client_count = client_count;
    op->publish->delivered = delivered;
    return op;
}

static enum dm_recorded record(struct store_rig *rig, uint32_t envelope, unsigned how,
                               const char *users, uint64_t now)
{
    return publish_rig_do(rig, publish_rig_record(envelope, how, users, "t", now));
}

static enum dm_recorded ack(struct store_rig *rig, uint32_t envelope, const char *user,
                            uint32_t session, const char *result, uint64_t now)
{
    return publish_rig_do(rig, publish_rig_ack(envelope, user, session, result, now));
}

/* --- recording --- */

static void it_is_recorded_with_what_its_kind_needs(void **state)
{
    struct store_rig *rig = *state;
    assert_int_equal(record(rig, 1, RIG_REPEATABLE, "ann bob", NOW), DM_RECORDED_NEW);
    publish_rig_expect_rows(rig, 1, 2, 0, 0);
    assert_int_equal(record(rig, 2, RIG_DURABLE, "ann bob cleo", NOW), DM_RECORDED_NEW);
    publish_rig_expect_rows(rig, 2, 5, 1, 0);
    assert_int_equal(record(rig, 3, RIG_DURABLE | RIG_REPEATABLE, "ann", NOW), DM_RECORDED_NEW);
    publish_rig_expect_rows(rig, 3, 6, 2, 0);
    publish_rig_expect_look(rig, 1, NOW, (struct rig_seen){DM_RECORDED_OPEN, 0, 0, 0, NULL});
    publish_rig_expect_look(rig, 2, NOW, (struct rig_seen){DM_RECORDED_OPEN, 0, 0, 3, NULL});
    publish_rig_expect_owed(rig, "ann", NOW, "2 3");
    publish_rig_expect_owed(rig, "cleo", NOW, "2");
    publish_rig_expect_owed(rig, "dan", NOW, "");
}

static void what_is_owed_is_what_was_published(void **state)
{
    struct store_rig *rig = *state;
    struct dm_store_op *bare = publish_rig_record(2, RIG_DURABLE, "ann", "note", NOW + 1);
    bare->publish->payload = (struct dm_store_text){0};
    assert_int_equal(record(rig, 1, RIG_DURABLE, "ann", NOW), DM_RECORDED_NEW);
    assert_int_equal(publish_rig_do(rig, bare), DM_RECORDED_NEW);
    struct dm_store_op *op = publish_rig_load("ann", 0, NOW);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->page->count, 2);
    assert_false(op->page->more);
    const struct dm_store_owed *row = op->page->rows;
    assert_true(row[0].number > 0 && row[0].number < row[1].number);
    assert_int_equal(row[0].ts, NOW);
    assert_int_equal(row[1].ts, NOW + 1);
    assert_true(dm_slice_eq(dm_store_op_text(op, row[0].type), DM_SLICE("t")));
    assert_true(dm_slice_eq(dm_store_op_text(op, row[0].payload), DM_SLICE("{\"n\":1}")));
    assert_true(dm_slice_eq(dm_store_op_text(op, row[1].type), DM_SLICE("note")));
    assert_int_equal(row[1].payload.len, 0);
    dm_store_op_destroy(op);
}

static void the_same_again_is_found_as_it_stands(void **state)
{
    struct store_rig *rig = *state;
    const unsigned how = RIG_REPEATABLE | RIG_DURABLE;
    assert_int_equal(record(rig, 1, how, "ann bob", NOW), DM_RECORDED_NEW);
    store_rig_finish(rig, counts(DM_STORE_COUNT_PUBLISH, 1, NOW, 3, 4));
    ack(rig, 1, "ann", 10, "\"a\"", NOW);
    publish_rig_expect(rig, publish_rig_record(1, how, "ann bob", "t", NOW + 1),
                       (struct rig_seen){DM_RECORDED_OPEN, 3, 4, 1, "\"a\""});
    struct dm_store_op *again = publish_rig_record(1, how, "ann bob", "t", NOW + 2);
    assert_int_equal(store_rig_do(rig, again), DM_OK);
    assert_int_equal(again->publish->deadline, LATE); /* the first one's, not its own */
    dm_store_op_destroy(again);
    publish_rig_expect(rig, publish_rig_record(1, how, "ann bob", "t", LATE),
                       (struct rig_seen){DM_RECORDED_DONE, 3, 4, 1, "\"a\""});
    publish_rig_expect_rows(rig, 1, 2, 1, 1); /* and nothing more is there */
}

static void an_answer_is_kept(void **state)
{
    struct store_rig *rig = *state;
    assert_int_equal(record(rig, 1, RIG_REPEATABLE, "ann", NOW), DM_RECORDED_NEW);
    ack(rig, 1, "ann", 10, "1", NOW);
    ack(rig, 1, "ann", 11, "2", NOW);
    publish_rig_expect(rig, counts(DM_STORE_FINISH_PUBLISH, 1, NOW + 1, 2, 2),
                       (struct rig_seen){DM_RECORDED_DONE, 2, 2, 0, "1 2"});
    struct rig_seen told = {DM_RECORDED_DONE, 2, 2, 0, "1 2"};
    publish_rig_expect(rig, publish_rig_record(1, RIG_REPEATABLE, "ann", "t", NOW + 2), told);
    publish_rig_expect_look(rig, 1, NOW + 2, told);
    assert_int_equal(ack(rig, 1, "ann", 12, "3", NOW + 2), DM_RECORDED_NOT);
    publish_rig_expect_look(rig, 1, NOW + 2, told);
    publish_rig_expect_rows(rig, 1, 0, 0, 2); /* no ack counts any more: no target is needed */
}

static void another_of_the_same_id_is_told_nothing(void **state)
{
    struct store_rig *rig = *state;
    struct rig_seen other = {.found = DM_RECORDED_OTHER};
    assert_int_equal(record(rig, 1, RIG_REPEATABLE, "ann", NOW), DM_RECORDED_NEW);
    ack(rig, 1, "ann", 10, "1", NOW);
    publish_rig_expect(rig, publish_rig_record(1, RIG_REPEATABLE, "ann", "u", NOW), other);
    publish_rig_expect(rig, publish_rig_record(1, RIG_REPEATABLE, "ann bob", "t", NOW), other);
    publish_rig_expect(rig, publish_rig_record(1, RIG_DURABLE, "ann", "t", NOW), other);
    struct dm_store_op *stranger = publish_rig_record(1, RIG_REPEATABLE, "ann", "t", NOW);
    stranger->publish->principal = dm_store_op_add_text(stranger, DM_SLICE("key:other"));
    publish_rig_expect(rig, stranger, other);
    publish_rig_expect_rows(rig, 1, 1, 0, 1);
}

/* An id of ours that comes once more by chance is nobody's to repeat. */
static void one_that_is_not_repeatable_is_never_the_same(void **state)
{
    struct store_rig *rig = *state;
    assert_int_equal(record(rig, 1, RIG_DURABLE, "ann", NOW), DM_RECORDED_NEW);
    assert_int_equal(record(rig, 1, RIG_DURABLE, "ann", NOW), DM_RECORDED_OTHER);
    assert_int_equal(record(rig, 1, RIG_DURABLE | RIG_REPEATABLE, "ann", NOW), DM_RECORDED_OTHER);
}

static struct dm_store_op *record_at_most(uint32_t envelope, unsigned how, const char *users,
                                          uint32_t max_owed)
{
    struct dm_store_op *op = publish_rig_record(envelope, how, users, "t", NOW);
    op->publish->max_owed = max_owed;
    return op;
}

static void a_user_that_is_owed_too_much_refuses_it_for_all(void **state)
{
    struct store_rig *rig = *state;
    for (uint32_t i = 1; i <= 3; i++)
        assert_int_equal(publish_rig_do(rig, record_at_most(i, RIG_DURABLE, "ann", 3)),
                         DM_RECORDED_NEW);
    assert_int_equal(publish_rig_do(rig, record_at_most(4, RIG_DURABLE, "ann", 3)),
                     DM_RECORDED_TOO_MUCH);
    assert_int_equal(publish_rig_do(rig, record_at_most(5, RIG_DURABLE, "bob ann", 3)),
                     DM_RECORDED_TOO_MUCH);
    publish_rig_expect_rows(rig, 3, 3, 3, 0);
    assert_int_equal(publish_rig_do(rig, record_at_most(6, RIG_REPEATABLE, "ann", 3)),
                     DM_RECORDED_NEW); /* which nobody is owed */
    assert_int_equal(publish_rig_do(rig, record_at_most(7, RIG_DURABLE, "bob", 3)),
                     DM_RECORDED_NEW);
    ack(rig, 2, "ann", 10, "1", NOW);
    assert_int_equal(publish_rig_do(rig, record_at_most(4, RIG_DURABLE, "ann", 3)),
                     DM_RECORDED_NEW);
    publish_rig_expect_owed(rig, "ann", NOW, "1 3 4");
}

/* --- counts --- */

static void what_there_is_not_is_counted_for_nothing(void **state)
{
    struct store_rig *rig = *state;
    struct rig_seen none = {.found = DM_RECORDED_NOT};
    assert_int_equal(store_rig_finish(rig, counts(DM_STORE_COUNT_PUBLISH, 1, NOW, 1, 1)), DM_OK);
    assert_int_equal(publish_rig_do(rig, counts(DM_STORE_FINISH_PUBLISH, 1, NOW, 1, 1)),
                     DM_RECORDED_NOT);
    assert_int_equal(publish_rig_do(rig, publish_rig_op(DM_STORE_FORGET_PUBLISH, 1, NOW)),
                     DM_RECORDED_NOT);
    assert_int_equal(ack(rig, 1, "ann", 10, "1", NOW), DM_RECORDED_NOT);
    publish_rig_expect_look(rig, 1, NOW, none);
    publish_rig_expect_rows(rig, 0, 0, 0, 0);
}

static void a_look_is_for_whose_it_is(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    for (int hers = 0; hers < 2; hers++) {
        struct dm_store_op *op = publish_rig_op(DM_STORE_LOOK_PUBLISH, 1, NOW);
        op->publish->anybodys = false;
        op->publish->principal =
            dm_store_op_add_text(op, hers ? DM_SLICE("key:rig") : DM_SLICE("key:other"));
        assert_int_equal(store_rig_do(rig, op), DM_OK);
        assert_int_equal(op->publish->found, hers ? DM_RECORDED_OPEN : DM_RECORDED_NOT);
        if (hers)
            assert_int_equal(op->publish->deadline, LATE);
        dm_store_op_destroy(op);
    }
}

/* --- the end --- */

static void what_has_expired_is_not_there_to_look_at(void **state)
{
    struct store_rig *rig = *state;
    const uint64_t over = LATE + RIG_RETENTION;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    publish_rig_expect_look(rig, 1, over - 1, (struct rig_seen){.found = DM_RECORDED_DONE});
    struct dm_store_op *op = publish_rig_op(DM_STORE_LOOK_PUBLISH, 1, over);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->publish->found, DM_RECORDED_NOT);
    dm_store_op_destroy(op);
    publish_rig_expect_rows(rig, 1, 1, 0, 0); /* though its rows are there yet */
}

static void an_answer_begins_the_retention(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    publish_rig_do(rig, counts(DM_STORE_FINISH_PUBLISH, 1, NOW + 50, 0, 0));
    publish_rig_expect_look(rig, 1, NOW + 49 + RIG_RETENTION,
                            (struct rig_seen){.found = DM_RECORDED_DONE});
    publish_rig_expect_look(rig, 1, NOW + 50 + RIG_RETENTION,
                            (struct rig_seen){.found = DM_RECORDED_NOT});
}

static void an_expired_one_gives_way_to_another_of_its_id(void **state)
{
    struct store_rig *rig = *state;
    const uint64_t over = LATE + RIG_RETENTION;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    store_rig_finish(rig, counts(DM_STORE_COUNT_PUBLISH, 1, NOW, 7, 7));
    ack(rig, 1, "ann", 10, "1", NOW);
    publish_rig_do(rig, counts(DM_STORE_FINISH_PUBLISH, 1, LATE, 7, 7));
    assert_int_equal(record(rig, 1, RIG_DURABLE, "bob cleo", over - 1), DM_RECORDED_OTHER);
    assert_int_equal(record(rig, 1, RIG_DURABLE, "bob cleo", over), DM_RECORDED_NEW);
    publish_rig_expect_look(rig, 1, over, (struct rig_seen){.found = DM_RECORDED_OPEN, .owed = 2});
    publish_rig_expect_rows(rig, 1, 2, 1, 0);
}

static void forgetting_one_leaves_nothing_of_it(void **state)
{
    struct store_rig *rig = *state;
    for (uint32_t i = 1; i <= 2; i++) {
        record(rig, i, RIG_DURABLE | RIG_REPEATABLE, "ann bob", NOW);
        ack(rig, i, "ann", 10, "1", NOW);
    }
    publish_rig_expect_rows(rig, 2, 4, 2, 2);
    publish_rig_do(rig, publish_rig_op(DM_STORE_FORGET_PUBLISH, 1, NOW));
    publish_rig_expect_rows(rig, 1, 2, 1, 1);
    publish_rig_expect_look(rig, 1, NOW, (struct rig_seen){.found = DM_RECORDED_NOT});
    publish_rig_expect_owed(rig, "bob", NOW, "2");
    assert_int_equal(record(rig, 1, RIG_REPEATABLE, "ann", NOW), DM_RECORDED_NEW);
}

static void it_outlives_its_process(void **state)
{
    struct store_rig *rig = *state;
    assert_false(rig->store.holds_publishes);
    record(rig, 1, RIG_DURABLE | RIG_REPEATABLE, "ann bob", NOW);
    store_rig_finish(rig, counts(DM_STORE_COUNT_PUBLISH, 1, NOW, 2, 3));
    ack(rig, 1, "bob", 10, "1", NOW);
    dm_database_close(&rig->database);
    assert_int_equal(store_rig_open(rig), DM_OK);
    assert_true(rig->store.holds_publishes);
    publish_rig_expect_look(rig, 1, NOW, (struct rig_seen){DM_RECORDED_OPEN, 2, 3, 1, "1"});
    publish_rig_expect_owed(rig, "ann", NOW, "1");
    publish_rig_expect_owed(rig, "bob", NOW, "");
    assert_int_equal(ack(rig, 1, "ann", 11, "2", NOW), DM_RECORDED_OPEN);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, store_rig_setup, store_rig_teardown)

DM_UNIT_MAIN(RIGGED(it_is_recorded_with_what_its_kind_needs),
             RIGGED(what_is_owed_is_what_was_published),
             RIGGED(the_same_again_is_found_as_it_stands), RIGGED(an_answer_is_kept),
             RIGGED(another_of_the_same_id_is_told_nothing),
             RIGGED(one_that_is_not_repeatable_is_never_the_same),
             RIGGED(a_user_that_is_owed_too_much_refuses_it_for_all),
             RIGGED(what_there_is_not_is_counted_for_nothing), RIGGED(a_look_is_for_whose_it_is),
             RIGGED(what_has_expired_is_not_there_to_look_at),
             RIGGED(an_answer_begins_the_retention),
             RIGGED(an_expired_one_gives_way_to_another_of_its_id),
             RIGGED(forgetting_one_leaves_nothing_of_it), RIGGED(it_outlives_its_process))
