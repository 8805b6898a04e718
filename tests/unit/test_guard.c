/* Whose address counts, and how many sockets of it there are. */
#include "lib/unit.h"

#include "base/buf.h"
#include "net/crowd.h"
#include "net/guard.h"
#include "net/server.h"

static struct dm_address address(const char *text)
{
    struct dm_address out = {0};
    assert_true(dm_address_read(dm_slice_of(text), &out));
    return out;
}

/* Who is counted when `peer` brings these fields (at most two); 10.0.0.0/8 and unix are trusted. */
static void expect(const char *peer, const char *first, const char *second, const char *counts)
{
    char *proxies[] = {"10.0.0.0/8", "unix"};
    struct dm_server_options options = {.trusted_proxies = proxies, .trusted_proxy_count = 2};
    struct dm_guard *guard = dm_guard_create(&options);
    struct dm_slice fields[] = {dm_slice_of(first), dm_slice_of(second)};
    size_t count = second ? 2 : first ? 1 : 0;
    struct dm_address at = peer ? address(peer) : (struct dm_address){.kind = DM_ADDRESS_UNIX};
    struct dm_address seen = dm_guard_peer(guard, at, fields, count);
    struct dm_address expected = address(counts);
    assert_memory_equal(&seen, &expected, sizeof seen);
    dm_guard_destroy(&guard);
}

static void the_last_untrusted_address_counts(void **state)
{
    (void)state;
    expect("192.0.2.1", NULL, NULL, "192.0.2.1");
    expect("192.0.2.1", "203.0.113.7", NULL, "192.0.2.1");
    expect("10.0.0.1", NULL, NULL, "10.0.0.1");
    expect("10.0.0.1", "203.0.113.7", NULL, "203.0.113.7");
    expect("10.0.0.1", "198.51.100.9, 203.0.113.7", NULL, "203.0.113.7");
    expect("10.0.0.1", "203.0.113.7, 10.2.2.2,10.3.3.3", NULL, "203.0.113.7");
    expect("10.0.0.1", "198.51.100.9", "203.0.113.7", "203.0.113.7");
    expect("10.0.0.1", "203.0.113.7", "10.2.2.2", "203.0.113.7");
    expect("10.0.0.1", "198.51.100.9,203.0.113.7", "10.1.1.1, 10.2.2.2", "203.0.113.7");
    expect("10.0.0.1", "10.9.9.9, 10.8.8.8", NULL, "10.9.9.9");
    expect(NULL, "2001:db8::1", NULL, "2001:db8::1");
    expect("::ffff:10.0.0.1", "203.0.113.7:4711", NULL, "203.0.113.7");
}

static void what_cannot_be_read_is_laid_to_whoever_said_it(void **state)
{
    (void)state;
    expect("10.0.0.1", "unknown", NULL, "10.0.0.1");
    expect("10.0.0.1", "203.0.113.7, _hidden", NULL, "10.0.0.1");
    expect("10.0.0.1", "203.0.113.7, x, 10.2.2.2", NULL, "10.2.2.2");
    expect("10.0.0.1", "203.0.113.7", "nobody", "10.0.0.1");
    expect("10.0.0.1", "", NULL, "10.0.0.1");
    expect("10.0.0.1", " , ,", NULL, "10.0.0.1");
    expect("10.0.0.1", "203.0.113.7,, ,", "", "203.0.113.7");
    expect("10.0.0.1", "unix", NULL, "10.0.0.1");
}

static void a_long_list_is_read(void **state)
{
    (void)state;
    struct dm_buf list = DM_BUF_INIT;
    dm_buf_lit(&list, "198.51.100.9, 203.0.113.7");
    for (int i = 0; i < 20000; i++)
        dm_buf_printf(&list, ", 10.0.%d.%d", i / 256 % 256, i % 256);
    expect("10.0.0.1", dm_buf_text(&list), NULL, "203.0.113.7");
    dm_buf_dispose(&list);
}

static void all_limits_may_be_off(void **state)
{
    (void)state;
    struct dm_server_options options = {.trusted_proxy_count = 0};
    struct dm_guard *guard = dm_guard_create(&options);
    uint32_t place = 7;
    struct dm_request request = {.known = true};
    assert_false(dm_guard_bars_try(guard, &request));
    dm_guard_note_failure(guard, &request);
    assert_int_equal(dm_guard_count_request(guard, &request), DM_OK);
    assert_int_equal(dm_guard_take_place(guard, &request, &place), DM_OK);
    assert_int_equal(place, 0);
    dm_guard_give_place(guard, place);
    dm_guard_destroy(&guard);
    dm_guard_destroy(&guard);
}

static void a_crowd_counts_each_address(void **state)
{
    (void)state;
    struct dm_crowd *crowd = dm_crowd_create(2);
    struct dm_address a = address("192.0.2.1"), b = address("192.0.2.2");
    uint32_t at_a = dm_crowd_enter(crowd, &a), at_b = dm_crowd_enter(crowd, &b);
    assert_true(at_a && at_b && at_a != at_b);
    assert_int_equal(dm_crowd_enter(crowd, &a), at_a);
    assert_int_equal(dm_crowd_enter(crowd, &a), 0);
    assert_int_equal(dm_crowd_enter(crowd, &b), at_b);
    dm_crowd_leave(crowd, at_a);
    assert_int_equal(dm_crowd_enter(crowd, &a), at_a);
    assert_int_equal(dm_crowd_enter(crowd, &a), 0);
    dm_crowd_leave(crowd, at_a);
    dm_crowd_leave(crowd, at_a); /* it is forgotten, and known again */
    at_a = dm_crowd_enter(crowd, &a);
    assert_true(at_a && at_a != at_b);
    for (uint32_t i = 0; i < 5000; i++) { /* many come and go */
        struct dm_address each = {.kind = DM_ADDRESS_V4};
        memcpy(each.bytes, &i, sizeof i);
        uint32_t at = dm_crowd_enter(crowd, &each);
        assert_true(at);
        if (i % 3)
            dm_crowd_leave(crowd, at);
    }
    assert_int_equal(dm_crowd_enter(crowd, &a), at_a);
    assert_int_equal(dm_crowd_enter(crowd, &a), 0);
    dm_crowd_destroy(&crowd);
}

DM_UNIT_MAIN(cmocka_unit_test(the_last_untrusted_address_counts),
             cmocka_unit_test(what_cannot_be_read_is_laid_to_whoever_said_it),
             cmocka_unit_test(a_long_list_is_read), cmocka_unit_test(all_limits_may_be_off),
             cmocka_unit_test(a_crowd_counts_each_address))
