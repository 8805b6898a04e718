/* The token buckets, on a clock of their own; from several threads too. */
#include "lib/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/rate.h"

static const struct dm_slice alice = {"alice", 5}, bob = {"bob", 3};

static uint32_t take_all(struct dm_rate *rate, struct dm_slice key, uint64_t now)
{
    uint32_t taken = 0;
    while (taken <= DM_RATE_MAX && dm_rate_take(rate, key, now))
        taken++;
    return taken;
}

static void a_second_holds_the_rate_at_once(void **state)
{
    (void)state;
    const uint32_t rates[] = {1, 2, 3, 7, 50, 999, 1000, 65537};
    for (size_t i = 0; i < DM_COUNT(rates); i++) {
        struct dm_rate *rate = dm_rate_create(rates[i]);
        uint32_t taken = take_all(rate, alice, 5000);
        assert_in_range(taken, rates[i], rates[i] + rates[i] / 1000);
        assert_false(dm_rate_take(rate, alice, 5000));
        taken = take_all(rate, alice, 6000); /* all of it is back, and no more */
        assert_in_range(taken, rates[i], rates[i] + rates[i] / 1000);
        taken = take_all(rate, alice, 3600 * 1000);
        assert_in_range(taken, rates[i], rates[i] + rates[i] / 1000);
        dm_rate_destroy(&rate);
        assert_null(rate);
    }
}

static void the_largest_rate_is_no_less(void **state)
{
    (void)state;
    struct dm_rate *rate = dm_rate_create(DM_RATE_MAX);
    assert_int_equal(take_all(rate, alice, 1), DM_RATE_MAX);
    dm_rate_destroy(&rate);
}

static void tokens_come_back_bit_by_bit(void **state)
{
    (void)state;
    struct dm_rate *rate = dm_rate_create(10);
    assert_int_equal(take_all(rate, alice, 1000), 10);
    assert_false(dm_rate_take(rate, alice, 1099));
    assert_true(dm_rate_take(rate, alice, 1100));
    assert_false(dm_rate_take(rate, alice, 1150));
    assert_int_equal(take_all(rate, alice, 1550), 4);
    dm_rate_destroy(&rate);
}

/* What is refused costs nothing: one who tries all the time gets the rate, no less and no more. */
static void refusals_cost_nothing(void **state)
{
    (void)state;
    struct dm_rate *rate = dm_rate_create(20);
    uint32_t taken = 0;
    for (uint64_t now = 0; now < 10000; now++)
        taken += dm_rate_take(rate, alice, now);
    assert_in_range(taken, 200, 220);
    dm_rate_destroy(&rate);
}

static void keys_do_not_share(void **state)
{
    (void)state;
    struct dm_rate *rate = dm_rate_create(5);
    assert_int_equal(take_all(rate, alice, 0), 5);
    assert_int_equal(take_all(rate, bob, 0), 5);
    assert_int_equal(take_all(rate, DM_SLICE(""), 0), 5);
    dm_rate_destroy(&rate);
}

static void a_clock_that_lags_takes_nothing_away(void **state)
{
    (void)state;
    struct dm_rate *rate = dm_rate_create(5);
    assert_int_equal(take_all(rate, alice, 1000), 5);
    assert_false(dm_rate_take(rate, alice, 950));
    assert_true(dm_rate_take(rate, alice, 1200));
    assert_true(dm_rate_take(rate, bob, 0));
    dm_rate_destroy(&rate);
}

static void looking_takes_nothing(void **state)
{
    (void)state;
    struct dm_rate *rate = dm_rate_create(2);
    assert_true(dm_rate_is_quiet(rate, 0));
    for (int i = 0; i < 10; i++)
        assert_false(dm_rate_is_spent(rate, alice, 0));
    assert_true(dm_rate_take(rate, alice, 0));
    assert_false(dm_rate_is_quiet(rate, 0));
    assert_false(dm_rate_is_spent(rate, alice, 0));
    assert_true(dm_rate_take(rate, alice, 0));
    assert_true(dm_rate_is_spent(rate, alice, 0));
    assert_false(dm_rate_is_spent(rate, bob, 0));
    assert_true(dm_rate_is_spent(rate, alice, 499));
    assert_false(dm_rate_is_spent(rate, alice, 500));
    assert_false(dm_rate_is_quiet(rate, 999));
    assert_true(dm_rate_is_quiet(rate, 2000));
    dm_rate_destroy(&rate);
}

/* Ten times as many keys as there are buckets: everybody gets the rate at least, and whoever is
 * deepest in debt is remembered among those who come and go. */
static void many_keys_find_no_less(void **state)
{
    (void)state;
    enum { KEYS = 150000 };
    struct dm_rate *rate = dm_rate_create(3);
    assert_int_equal(take_all(rate, alice, 0), 3);
    for (uint32_t i = 0; i < KEYS; i++) {
        struct dm_slice key = dm_slice((const char *)&i, sizeof i);
        for (int once = 0; once < 2; once++)
            assert_true(dm_rate_take(rate, key, 0));
    }
    assert_false(dm_rate_take(rate, alice, 0));
    for (uint32_t i = 0; i < KEYS; i++) {
        struct dm_slice key = dm_slice((const char *)&i, sizeof i);
        for (int all = 0; all < 3; all++)
            assert_true(dm_rate_take(rate, key, 1000 + i % 100));
    }
    dm_rate_destroy(&rate);
}

enum { THREADS = 4, TRIES = 100000, SHARED_RATE = 1000 };

static struct dm_rate *shared;
static _Atomic uint32_t shared_taken;

static void *try_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < TRIES; i++)
        if (dm_rate_take(shared, alice, (uint64_t)i / 1000)) /* 100 ms in all */
            atomic_fetch_add(&shared_taken, 1);
    return NULL;
}

static void threads_share_one_bucket(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    shared = dm_rate_create(SHARED_RATE);
    atomic_store(&shared_taken, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, try_often, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint32_t taken = atomic_load(&shared_taken);
    dm_rate_destroy(&shared);
    assert_true(taken >= SHARED_RATE);
    assert_true(taken < 4 * TRIES / 10); /* what is let through uncounted is the exception */
}

DM_UNIT_MAIN(cmocka_unit_test(a_second_holds_the_rate_at_once),
             cmocka_unit_test(the_largest_rate_is_no_less),
             cmocka_unit_test(tokens_come_back_bit_by_bit), cmocka_unit_test(refusals_cost_nothing),
             cmocka_unit_test(keys_do_not_share),
             cmocka_unit_test(a_clock_that_lags_takes_nothing_away),
             cmocka_unit_test(looking_takes_nothing), cmocka_unit_test(many_keys_find_no_less),
             cmocka_unit_test(threads_share_one_bucket))
