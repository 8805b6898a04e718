/* Acks of recorded publishes in a real store, the debts that they settle, and the end of both. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "lib/publish_rig.h"
#include "lib/unit.h"
#include "model/limits.h"

enum { NOW = 5000, LATE = NOW + RIG_TIMEOUT, UNTIL = NOW + RIG_TTL, PAGE = 64 };

static void record(struct store_rig *rig, uint32_t envelope, unsigned how, const char *users,
                   uint64_t now)
{
    assert_int_equal(publish_rig_do(rig, publish_rig_record(envelope, how, users, "t", now)),
                     DM_RECORDED_NEW);
}

static enum dm_recorded ack(struct store_rig *rig, uint32_t envelope, const char *user,
                            uint32_t session, const char *result, uint64_t now)
{
    return publish_rig_do(rig, publish_rig_ack(envelope, user, session, result, now));
}

/* By a session that nobody knows to have been sent it. */
static enum dm_recorded ack_unawaited(struct store_rig *rig, uint32_t envelope, const char *user,
                                      uint32_t session, const char *result, uint64_t now)
{
    struct dm_store_op *op = publish_rig_ack(envelope, user, session, result, now);
    op->publish->awaited = false;
    return publish_rig_do(rig, op);
}

static void expect_told(struct store_rig *rig, uint32_t envelope, uint64_t now, uint32_t owed,
                        const char *results)
{
    struct rig_seen seen = {.found = now < LATE ? DM_RECORDED_OPEN : DM_RECORDED_DONE};
    seen.owed = owed;
    seen.results = results;
    publish_rig_expect_look(rig, envelope, now, seen);
}

/* --- acks --- */

static void each_session_of_a_target_acks_once(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_REPEATABLE, "ann bob", NOW);
    assert_int_equal(ack(rig, 1, "ann", 10, "1", NOW), DM_RECORDED_OPEN);
    assert_int_equal(ack(rig, 1, "ann", 10, "2", NOW), DM_RECORDED_NOT);
    assert_int_equal(ack(rig, 1, "ann", 11, "3", NOW), DM_RECORDED_OPEN);
    assert_int_equal(ack(rig, 1, "bob", 12, "null", NOW), DM_RECORDED_OPEN);
    assert_int_equal(ack(rig, 1, "cleo", 13, "4", NOW), DM_RECORDED_NOT);
    expect_told(rig, 1, NOW, 0, "1 3 null");
    publish_rig_expect_rows(rig, 1, 2, 0, 3);
}

static void the_same_session_may_ack_another(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    record(rig, 2, RIG_REPEATABLE, "ann", NOW);
    assert_int_equal(ack(rig, 1, "ann", 10, "1", NOW), DM_RECORDED_OPEN);
    assert_int_equal(ack(rig, 2, "ann", 10, "2", NOW), DM_RECORDED_OPEN);
    expect_told(rig, 1, NOW, 0, "1");
    expect_told(rig, 2, NOW, 0, "2");
}

static void after_the_deadline_only_what_is_awaited_counts(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    assert_int_equal(ack(rig, 1, "ann", 10, "1", LATE - 1), DM_RECORDED_OPEN);
    assert_int_equal(ack_unawaited(rig, 1, "ann", 11, "2", LATE), DM_RECORDED_NOT);
    /* the clock was set forward: its publish is not answered */
    assert_int_equal(ack(rig, 1, "ann", 12, "3", LATE), DM_RECORDED_OPEN);
    expect_told(rig, 1, LATE, 0, "1 3");
    publish_rig_do(rig, publish_rig_op(DM_STORE_FINISH_PUBLISH, 1, LATE));
    assert_int_equal(ack(rig, 1, "ann", 13, "4", LATE), DM_RECORDED_NOT);
}

/* Who was sent it nobody knows after a crash: those count that were there when it was asked. */
static void after_a_crash_who_was_there_acks(void **state)
{
    static const struct {
        uint64_t born, began;
        enum dm_recorded found;
    } cases[] = {{NOW, NOW + 1, DM_RECORDED_OPEN},
                 {NOW + 1, NOW + 1, DM_RECORDED_NOT}, /* its session is newer */
                 {NOW, NOW, DM_RECORDED_NOT}};        /* this process has recorded it, and knows */
    struct store_rig *rig = *state;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_store_op *op = publish_rig_ack(1, "ann", 10 + (uint32_t)i, "1", NOW + 2);
        for (int byte = 0; byte < 6; byte++)
            op->session_id.bytes[byte] = (uint8_t)(cases[i].born >> (40 - 8 * byte));
        op->publish->awaited = false;
        op->oldest = cases[i].began;
        assert_int_equal(publish_rig_do(rig, op), cases[i].found);
    }
}

/* Beyond what one answer may hold a result is null, and is told to be. */
static void results_take_so_much_room_and_no_more(void **state)
{
    enum { SIZE = DM_RESULT_BYTES_MAX / 2 - 8 };
    struct store_rig *rig = *state;
    char *text = dm_alloc(SIZE + 1);
    memset(text, '1', SIZE);
    text[SIZE] = 0;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    for (uint32_t i = 0; i < 4; i++) {
        struct dm_store_op *op = publish_rig_ack(1, "ann", 10 + i, i == 3 ? "7" : text, NOW);
        assert_int_equal(store_rig_do(rig, op), DM_OK);
        assert_int_equal(op->publish->found, DM_RECORDED_OPEN);
        assert_int_equal(op->publish->cut, i == 2);
        dm_store_op_destroy(op);
    }
    struct dm_store_op *look = publish_rig_op(DM_STORE_LOOK_PUBLISH, 1, NOW);
    assert_int_equal(store_rig_do(rig, look), DM_OK);
    struct dm_slice results = dm_buf_slice(&look->publish->results);
    assert_int_equal(look->publish->result_count, 4);
    assert_true(results.len <= DM_RESULT_BYTES_MAX);
    assert_memory_equal(results.at + results.len - 7, ",null,7", 7);
    dm_store_op_destroy(look);
    free(text);
}

/* --- debts --- */

static void one_ack_settles_it_for_its_user(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_DURABLE, "ann bob", NOW);
    assert_int_equal(ack(rig, 1, "ann", 10, "1", NOW), DM_RECORDED_OPEN);
    expect_told(rig, 1, NOW, 1, "1");
    publish_rig_expect_owed(rig, "ann", NOW, "");
    publish_rig_expect_owed(rig, "bob", NOW, "1");
    assert_int_equal(ack(rig, 1, "ann", 11, "2", NOW),
                     DM_RECORDED_OPEN); /* it is open: it counts */
    expect_told(rig, 1, NOW, 1, "1 2");
    publish_rig_expect_rows(rig, 1, 2, 1, 2);
}

static void a_late_ack_settles_it_too(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_DURABLE, "ann bob", NOW);
    publish_rig_do(rig, publish_rig_op(DM_STORE_FINISH_PUBLISH, 1, NOW + 1));
    assert_int_equal(ack(rig, 1, "ann", 10, "1", LATE), DM_RECORDED_DONE);
    assert_int_equal(ack(rig, 1, "ann", 11, "2", LATE), DM_RECORDED_NOT); /* not owed any more */
    assert_int_equal(ack(rig, 1, "bob", 12, "3", LATE), DM_RECORDED_DONE);
    expect_told(rig, 1, LATE, 0, "1 3");
    publish_rig_expect_rows(rig, 1, 0, 0, 2);
}

static void an_answer_keeps_who_owes(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_DURABLE, "ann bob cleo", NOW);
    ack(rig, 1, "bob", 10, "1", NOW);
    publish_rig_expect(rig, publish_rig_op(DM_STORE_FINISH_PUBLISH, 1, NOW),
                       (struct rig_seen){DM_RECORDED_DONE, 0, 0, 2, "1"});
    publish_rig_expect_rows(rig, 1, 2, 1, 1); /* bob's acks do not count any more */
    assert_int_equal(ack(rig, 1, "bob", 11, "2", NOW), DM_RECORDED_NOT);
    expect_told(rig, 1, UNTIL + RIG_RETENTION - 1, 0, "1"); /* it is kept from the debt's end on */
}

/* When the last target is settled the envelope goes, and the rest a retention later. */
static void the_last_ack_ends_the_debt(void **state)
{
    struct store_rig *rig = *state;
    const uint64_t settled = LATE + 500, over = settled + RIG_RETENTION;
    record(rig, 1, RIG_DURABLE, "ann bob", NOW);
    publish_rig_do(rig, publish_rig_op(DM_STORE_FINISH_PUBLISH, 1, LATE));
    ack(rig, 1, "ann", 10, "1", LATE);
    publish_rig_expect_rows(rig, 1, 1, 1, 1);
    ack(rig, 1, "bob", 11, "2", settled);
    publish_rig_expect_rows(rig, 1, 0, 0, 2);
    expect_told(rig, 1, over - 1, 0, "1 2");
    publish_rig_expect_look(rig, 1, over, (struct rig_seen){.found = DM_RECORDED_NOT});
}

/* Its answer is still to come: the retention begins with that. */
static void a_debt_settled_early_is_kept_from_the_deadline_on(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_DURABLE, "ann", NOW);
    assert_int_equal(ack(rig, 1, "ann", 10, "1", NOW), DM_RECORDED_OPEN);
    publish_rig_expect_rows(rig, 1, 1, 0, 1);
    assert_int_equal(ack(rig, 1, "ann", 11, "2", NOW), DM_RECORDED_OPEN);
    expect_told(rig, 1, LATE + RIG_RETENTION - 1, 0, "1 2");
    publish_rig_expect(rig, publish_rig_op(DM_STORE_FINISH_PUBLISH, 1, LATE + 20),
                       (struct rig_seen){DM_RECORDED_DONE, 0, 0, 0, "1 2"});
    expect_told(rig, 1, LATE + 20 + RIG_RETENTION - 1, 0, "1 2");
    publish_rig_expect_rows(rig, 1, 0, 0, 2);
}

static void nothing_is_owed_once_its_time_is_over(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_DURABLE, "ann bob", NOW);
    publish_rig_expect_owed(rig, "ann", UNTIL - 1, "1");
    publish_rig_expect_owed(rig, "ann", UNTIL, "");
    expect_told(rig, 1, UNTIL - 1, 2, NULL);
    expect_told(rig, 1, UNTIL, 0, NULL);
    assert_int_equal(ack_unawaited(rig, 1, "ann", 10, "1", UNTIL - 1), DM_RECORDED_DONE);
    assert_int_equal(ack_unawaited(rig, 1, "bob", 11, "2", UNTIL), DM_RECORDED_NOT);
    expect_told(rig, 1, UNTIL, 0, "1");
}

static void what_is_owed_comes_in_pages(void **state)
{
    struct store_rig *rig = *state;
    const uint32_t all = 2 * DM_OWED_PAGE_ROWS + 5;
    uint32_t next = 0;
    bool more = true;
    for (uint32_t i = 0; i < all; i++)
        record(rig, i, RIG_DURABLE, i % 2 ? "ann bob" : "bob ann", NOW);
    for (uint64_t after = 0; more;) {
        struct dm_store_op *op = publish_rig_load("ann", after, NOW);
        assert_int_equal(store_rig_do(rig, op), DM_OK);
        const struct dm_store_page *page = op->page;
        assert_int_equal(page->count, next < all - 5 ? DM_OWED_PAGE_ROWS : 5);
        for (uint32_t i = 0; i < page->count; i++, next++) {
            struct dm_uuid id = store_rig_id(next);
            assert_memory_equal(&page->rows[i].envelope_id, &id, sizeof id);
        }
        after = page->rows[page->count - 1].number;
        more = page->more;
        dm_store_op_destroy(op);
    }
    assert_int_equal(next, all);
}

static void a_page_ends_with_the_row_that_fills_it(void **state)
{
    struct store_rig *rig = *state;
    static char type[DM_OWED_PAGE_BYTES / 3];
    memset(type, 't', sizeof type - 1);
    for (uint32_t i = 1; i <= 5; i++)
        publish_rig_do(rig, publish_rig_record(i, RIG_DURABLE, "ann", type, NOW));
    struct dm_store_op *op = publish_rig_load("ann", 0, NOW);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->page->count, 3);
    assert_true(op->page->more);
    uint64_t after = op->page->rows[2].number;
    dm_store_op_destroy(op);
    op = publish_rig_load("ann", after, NOW);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    assert_int_equal(op->page->count, 2);
    assert_false(op->page->more);
    dm_store_op_destroy(op);
}

/* --- expiry --- */

static bool expire(struct store_rig *rig, uint64_t now)
{
    struct dm_store_op *op = publish_rig_op(DM_STORE_EXPIRE_PUBLISHES, 0, now);
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    bool more = op->publish->more;
    dm_store_op_destroy(op);
    return more;
}

static void expiry_ends_debts_and_later_all(void **state)
{
    struct store_rig *rig = *state;
    record(rig, 1, RIG_DURABLE, "ann bob", NOW);
    record(rig, 2, RIG_DURABLE, "ann", NOW + 1);
    ack(rig, 1, "bob", 10, "1", NOW);
    assert_false(expire(rig, UNTIL - 1));
    publish_rig_expect_rows(rig, 2, 3, 2, 1);
    assert_false(expire(rig, UNTIL));
    publish_rig_expect_rows(rig, 2, 1, 1, 1);
    expect_told(rig, 1, UNTIL, 0, "1");
    publish_rig_expect_owed(rig, "ann", UNTIL, "2");
    assert_false(expire(rig, UNTIL + RIG_RETENTION - 1));
    publish_rig_expect_rows(rig, 2, 0, 0, 1);
    assert_false(expire(rig, UNTIL + RIG_RETENTION));
    publish_rig_expect_rows(rig, 1, 0, 0, 0);
    assert_false(expire(rig, UNTIL + RIG_RETENTION + 1));
    publish_rig_expect_rows(rig, 0, 0, 0, 0);
}

/* Whatever the clock says: it is answered first. */
static void one_running_does_not_expire(void **state)
{
    struct store_rig *rig = *state;
    const uint64_t over = LATE + RIG_RETENTION;
    record(rig, 1, RIG_REPEATABLE, "ann", NOW);
    struct dm_store_op *op = publish_rig_op(DM_STORE_EXPIRE_PUBLISHES, 0, over);
    op->oldest = NOW; /* this process has recorded it */
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    publish_rig_expect_rows(rig, 1, 1, 0, 0);
    assert_false(expire(rig, over));
    publish_rig_expect_rows(rig, 0, 0, 0, 0);
}

/* One with many targets ends some rows at a time: nobody waits long behind it. */
static void expiry_ends_some_rows_at_a_time(void **state)
{
    enum { MANY = 1100 };
    struct store_rig *rig = *state;
    struct dm_buf users = DM_BUF_INIT;
    struct dm_store_op *op = publish_rig_record(1, RIG_DURABLE, "u", "t", NOW);
    op->publish->targets = dm_realloc(op->publish->targets, MANY * sizeof *op->publish->targets);
    for (op->publish->target_count = 0; op->publish->target_count < MANY;) {
        dm_buf_clear(&users);
        dm_buf_printf(&users, "u%u", op->publish->target_count);
        op->publish->targets[op->publish->target_count++] =
            dm_store_op_add_text(op, dm_buf_slice(&users));
    }
    dm_buf_dispose(&users);
    assert_int_equal(publish_rig_do(rig, op), DM_RECORDED_NEW);
    uint64_t before = MANY;
    while (expire(rig, UNTIL)) {
        uint64_t left = store_rig_rows(rig, "target");
        assert_true(left < before && before - left <= 512);
        before = left;
    }
    publish_rig_expect_rows(rig, 1, 0, 0, 0);
    assert_int_equal(store_rig_rows(rig, "owed_count"), 0);
}

static void expiry_goes_by_pages_and_says_whether_there_is_more(void **state)
{
    struct store_rig *rig = *state;
    for (uint32_t i = 0; i < PAGE + 3; i++)
        record(rig, i, RIG_DURABLE, "ann", NOW);
    for (uint32_t i = 0; i < PAGE - 1; i++)
        record(rig, 1000 + i, RIG_REPEATABLE, "ann", NOW);
    assert_true(expire(rig, UNTIL)); /* a page of debts, and all that was not durable */
    publish_rig_expect_rows(rig, PAGE + 3, 3, 3, 0);
    assert_false(expire(rig, UNTIL));
    publish_rig_expect_rows(rig, PAGE + 3, 0, 0, 0);
    assert_true(expire(rig, UNTIL + RIG_RETENTION));
    publish_rig_expect_rows(rig, 3, 0, 0, 0);
    assert_false(expire(rig, UNTIL + RIG_RETENTION));
    publish_rig_expect_rows(rig, 0, 0, 0, 0);
}

/* The oldest first: what comes late must not keep what is over for ever. */
static void the_oldest_goes_first(void **state)
{
    struct store_rig *rig = *state;
    for (uint32_t i = 0; i < PAGE; i++)
        record(rig, i, RIG_REPEATABLE, "ann", NOW + 1 + i);
    record(rig, 1000, RIG_REPEATABLE, "ann", NOW);
    assert_true(expire(rig, LATE + RIG_RETENTION + 2 * PAGE));
    publish_rig_expect_rows(rig, 1, 1, 0, 0);
    struct dm_store_op *op =
        publish_rig_record(PAGE - 1, RIG_REPEATABLE, "ann", "t", LATE + 2 * PAGE);
    assert_int_equal(publish_rig_do(rig, op), DM_RECORDED_DONE);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, store_rig_setup, store_rig_teardown)

DM_UNIT_MAIN(RIGGED(each_session_of_a_target_acks_once), RIGGED(the_same_session_may_ack_another),
             RIGGED(after_the_deadline_only_what_is_awaited_counts),
             RIGGED(after_a_crash_who_was_there_acks),
             RIGGED(results_take_so_much_room_and_no_more), RIGGED(one_running_does_not_expire),
             RIGGED(one_ack_settles_it_for_its_user), RIGGED(a_late_ack_settles_it_too),
             RIGGED(an_answer_keeps_who_owes), RIGGED(the_last_ack_ends_the_debt),
             RIGGED(a_debt_settled_early_is_kept_from_the_deadline_on),
             RIGGED(nothing_is_owed_once_its_time_is_over), RIGGED(what_is_owed_comes_in_pages),
             RIGGED(a_page_ends_with_the_row_that_fills_it),
             RIGGED(expiry_ends_debts_and_later_all),
             RIGGED(expiry_goes_by_pages_and_says_whether_there_is_more),
             RIGGED(expiry_ends_some_rows_at_a_time), RIGGED(the_oldest_goes_first))
