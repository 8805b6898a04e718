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
        assert_in_range(taken, rates[i], rates[i] + rates[i] / 10);
        assert_false(dm_rate_take(rate, alice, 5000));
        taken = take_all(rate, alice, 6000); /* all of it is back, and no more */
        assert_in_range(taken, rates[i], rates[i] + rates[i] / 10);
        taken = take_all(rate, alice, 3600 * 1000);
        assert_in_range(taken, rates[i], rates[i] + rates[i] / 10);
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

/* The time in a bucket begins again after some twelve days; what is left in it from before is not
 * held against anybody. */
static void old_buckets_are_full(void **state)
{
    (void)state;
    const uint64_t day = 24 * 3600 * 1000, round = (UINT64_C(1) << 40) / 1000;
    struct dm_rate *rate = dm_rate_create(4);
    uint64_t now = 1000;
    for (uint64_t later = 0; later < 60 * day; later += 7 * day / 3) {
        now += later;
        assert_int_equal(take_all(rate, alice, now), 4);
        assert_false(dm_rate_take(rate, alice, now + 200));
        assert_true(dm_rate_take(rate, alice, now + 250));
    }
    now = round * (now / round + 1) - 500; /* and over the edge */
    assert_int_equal(take_all(rate, alice, now), 4);
    assert_int_equal(take_all(rate, alice, now + 600), 2);
    assert_int_equal(take_all(rate, alice, now + 1600), 4);
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

/* Two keys may have the same bits of hash: one in a million, where every bucket is in use. */
enum { MOST_SHARED = 4 };

/* Many more keys than there are buckets: everybody gets the rate at least, and whoever is deepest
 * in debt is remembered among those who come and go. */
static void many_keys_find_no_less(void **state)
{
    (void)state;
    enum { KEYS = 150000 };
    uint32_t refused = 0;
    struct dm_rate *rate = dm_rate_create(3);
    assert_int_equal(take_all(rate, alice, 0), 3);
    for (uint32_t i = 0; i < KEYS; i++) {
        struct dm_slice key = dm_slice((const char *)&i, sizeof i);
        for (int once = 0; once < 2; once++)
            refused += !dm_rate_take(rate, key, 0);
    }
    assert_false(dm_rate_take(rate, alice, 0));
    for (uint32_t i = 0; i < KEYS; i++) {
        struct dm_slice key = dm_slice((const char *)&i, sizeof i);
        for (int all = 0; all < 3; all++)
            refused += !dm_rate_take(rate, key, 1000 + i % 100);
    }
    assert_in_range(refused, 0, 3 * MOST_SHARED);
    dm_rate_destroy(&rate);
}

enum { THREADS = 4, TRIES = 100000, SHARED_RATE = 250000 };

static struct dm_rate *shared;
static _Atomic uint32_t shared_taken;

static void *try_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < TRIES; i++)
        if (dm_rate_take(shared, alice, 7))
            atomic_fetch_add(&shared_taken, 1);
    return NULL;
}

/* Each thread has keys of its own, several to a bucket: none may feel the others. */
static void *crowd_buckets(void *number)
{
    uint32_t key[2] = {(uint32_t)(uintptr_t)number, 0}, refused = 0;
    for (key[1] = 0; key[1] < TRIES / 4; key[1]++) {
        struct dm_slice text = dm_slice((const char *)key, sizeof key);
        for (int i = 0; i < 3; i++)
            refused += !dm_rate_take(shared, text, 7 + key[1] / 1000);
    }
    return refused > 3 * MOST_SHARED ? "less than its rate" : NULL;
}

static void run_threads(void *(*work)(void *), uint32_t rate)
{
    pthread_t threads[THREADS];
    shared = dm_rate_create(rate);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong = NULL;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    dm_rate_destroy(&shared);
}

static void threads_share_one_bucket(void **state)
{
    (void)state;
    atomic_store(&shared_taken, 0);
    run_threads(try_often, SHARED_RATE);
    assert_int_equal(atomic_load(&shared_taken), SHARED_RATE);
}

static void threads_take_nothing_from_one_another(void **state)
{
    (void)state;
    run_threads(crowd_buckets, 3);
}

DM_UNIT_MAIN(cmocka_unit_test(a_second_holds_the_rate_at_once),
             cmocka_unit_test(the_largest_rate_is_no_less),
             cmocka_unit_test(tokens_come_back_bit_by_bit), cmocka_unit_test(refusals_cost_nothing),
             cmocka_unit_test(old_buckets_are_full), cmocka_unit_test(keys_do_not_share),
             cmocka_unit_test(a_clock_that_lags_takes_nothing_away),
             cmocka_unit_test(looking_takes_nothing), cmocka_unit_test(many_keys_find_no_less),
             cmocka_unit_test(threads_share_one_bucket),
             cmocka_unit_test(threads_take_nothing_from_one_another))
