/* The small things of base: slices, buffers, the timer heap, times as text. */
#include "lib/unit.h"

#include "base/clock.h"
#include "base/heap.h"
#include "lib/bytes.h"

#define assert_slice(slice, literal) assert_true(dm_slice_eq((slice), DM_SLICE(literal)))

static void test_slices(void **state)
{
    (void)state;
    assert_true(dm_slice_eq(DM_NO_SLICE, DM_SLICE("")));
    assert_false(dm_slice_eq(DM_SLICE("a"), DM_SLICE("b")));
    assert_false(dm_slice_eq(DM_SLICE("a"), DM_SLICE("ab")));
    assert_true(dm_slice_starts(DM_SLICE("abc"), DM_SLICE("ab")));
    assert_false(dm_slice_starts(DM_SLICE("a"), DM_SLICE("ab")));
    assert_true(dm_slice_eq_nocase(DM_SLICE("Content-TYPE"), DM_SLICE("content-type")));
    assert_false(dm_slice_eq_nocase(DM_SLICE("content-typ"), DM_SLICE("content-type")));
    assert_false(dm_slice_eq_nocase(DM_SLICE("[a"), DM_SLICE("{a"))); /* letters only */
    assert_slice(dm_slice_trim(DM_SLICE(" \t a b \t")), "a b");
    assert_slice(dm_slice_trim(DM_SLICE(" \t ")), "");
    assert_true(dm_slice_trim(DM_NO_SLICE).len == 0);
    assert_null(dm_slice_of(NULL).at);
}

static void test_split(void **state)
{
    (void)state;
    struct dm_slice rest = DM_SLICE("a,,b,");
    assert_slice(dm_slice_split(&rest, ','), "a");
    assert_slice(dm_slice_split(&rest, ','), "");
    assert_slice(dm_slice_split(&rest, ','), "b");
    assert_non_null(rest.at); /* an empty last part is still to come */
    assert_slice(dm_slice_split(&rest, ','), "");
    assert_null(rest.at);
    assert_null(dm_slice_split(&rest, ',').at);
}

static void test_buf(void **state)
{
    (void)state;
    struct dm_buf buf = DM_BUF_INIT;
    dm_buf_add(&buf, NULL, 0);
    dm_buf_add_slice(&buf, DM_NO_SLICE);
    assert_null(buf.bytes);
    assert_string_equal(dm_buf_text(&buf), "");
    dm_buf_lit(&buf, "n=");
    dm_buf_add_number(&buf, 0);
    dm_buf_add_byte(&buf, ' ');
    dm_buf_add_number(&buf, UINT64_MAX);
    dm_buf_printf(&buf, " %s-%d", "x", -7);
    assert_string_equal(dm_buf_text(&buf), "n=0 18446744073709551615 x--7");
    dm_buf_consume(&buf, 4);
    assert_string_equal(dm_buf_text(&buf), "18446744073709551615 x--7");
    dm_buf_consume(&buf, buf.len);
    assert_int_equal(buf.len, 0);
    for (int i = 0; i < 5000; i++) { /* grows as it is added to, and keeps what it has */
        dm_buf_printf(&buf, "%d,", i);
        assert_true(buf.len <= buf.capacity);
    }
    assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 900 * 4 + 4000 * 5);
    assert_memory_equal(buf.bytes + buf.len - 10, "4998,4999,", 10);
    dm_buf_dispose(&buf);
    assert_null(buf.bytes);
}

enum { TIMERS = 200 };

static uint64_t earliest(const struct dm_timer *timers)
{
    uint64_t at = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++)
        if (dm_timer_waits(&timers[i]) && timers[i].at < at)
            at = timers[i].at;
    return at;
}

/* Random additions and removals: the first is always the earliest of those waiting. */
static void test_heap(void **state)
{
    (void)state;
    struct dm_heap heap = {0};
    struct dm_timer timers[TIMERS] = {{0, 0}};
    struct bytes_dice dice = {11};
    assert_null(dm_heap_first(&heap));
    for (int round = 0; round < 50000; round++) {
        struct dm_timer *timer = &timers[bytes_below(&dice, TIMERS)];
        bool waits = dm_timer_waits(timer);
        if (!waits && bytes_below(&dice, 3))
            dm_heap_add(&heap, timer, bytes_below(&dice, 100));
        else
            dm_heap_remove(&heap, timer);
        if (waits)
            assert_false(dm_timer_waits(timer));
        struct dm_timer *first = dm_heap_first(&heap);
        assert_true((first ? first->at : UINT64_MAX) == earliest(timers));
    }
    uint64_t last = 0;
    while (dm_heap_first(&heap)) {
        struct dm_timer *first = dm_heap_first(&heap);
        assert_true(first->at >= last);
        last = first->at;
        dm_heap_remove(&heap, first);
    }
    assert_int_equal(heap.count, 0);
    dm_heap_dispose(&heap);
}

static void assert_iso(uint64_t ms, const char *want)
{
    char text[DM_ISO_TIME_LEN + 1] = {0};
    dm_clock_iso(ms, text);
    assert_string_equal(text, want);
}

static void test_iso(void **state)
{
    (void)state;
    assert_iso(0, "1970-01-01T00:00:00.000Z");
    assert_iso(951782399999, "2000-02-28T23:59:59.999Z");
    assert_iso(951782400000, "2000-02-29T00:00:00.000Z");
    assert_iso(1769903999123, "2026-01-31T23:59:59.123Z");
    assert_iso(4107542400000, "2100-03-01T00:00:00.000Z"); /* 2100 is no leap year */
    assert_iso(253402300799999, "9999-12-31T23:59:59.999Z");
    assert_iso(253402300800000, "9999-12-31T23:59:59.999Z");
    assert_iso(UINT64_MAX, "9999-12-31T23:59:59.999Z");
}

static void test_clocks(void **state)
{
    (void)state;
    uint64_t us = dm_clock_mono_us(), ms = dm_clock_mono_ms();
    assert_true(ms >= us / 1000 && ms - us / 1000 < 10000);
    assert_true(dm_clock_mono_us() >= us);
    assert_true(dm_clock_wall_ms() > 1700000000000);
}

DM_UNIT_MAIN(cmocka_unit_test(test_slices), cmocka_unit_test(test_split),
             cmocka_unit_test(test_buf), cmocka_unit_test(test_heap), cmocka_unit_test(test_iso),
             cmocka_unit_test(test_clocks))
