/* Addresses and networks from texts and sockets. */
#include "lib/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/check.h"

static struct dm_address address(const char *text)
{
    struct dm_address out = {0};
    assert_true(dm_address_read(dm_slice_of(text), &out));
    return out;
}

static struct dm_network network(const char *text)
{
    struct dm_network out = {0};
    assert_true(dm_network_read(dm_slice_of(text), &out));
    return out;
}

static bool has(const char *in, const char *text)
{
    struct dm_network net = network(in);
    struct dm_address at = address(text);
    return dm_network_has(&net, &at);
}

static bool same(struct dm_address a, struct dm_address b)
{
    return dm_slice_eq(dm_address_key(&a), dm_address_key(&b));
}

static void addresses_are_read_as_proxies_write_them(void **state)
{
    (void)state;
    assert_int_equal(address("192.0.2.1").kind, DM_ADDRESS_V4);
    assert_int_equal(address("2001:db8::1").kind, DM_ADDRESS_V6);
    assert_true(same(address("192.0.2.1"), address("192.0.2.1:8080")));
    assert_true(same(address("192.0.2.1"), address("::ffff:192.0.2.1")));
    assert_true(same(address("192.0.2.1"), address("[::ffff:192.0.2.1]:1")));
    assert_true(same(address("2001:db8::1"), address("[2001:db8::1]")));
    assert_true(same(address("2001:db8::1"), address("[2001:DB8:0::1]:443")));
    assert_false(same(address("2001:db8::1"), address("2001:db8::2")));
    assert_false(same(address("192.0.2.1"), address("192.0.2.2")));
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         "unknown",
                         "_hidden",
                         "1.2.3",
                         "1.2.3.4.5",
                         "1.2.3.256",
                         "1.2.3.4:",
                         "1.2.3.4:x",
                         "[::1",
                         "::1]",
                         "[::1]x",
                         "[1.2.3.4]",
                         "[]:80",
                         ":80",
                         "1.2.3.4 ",
                         " 1.2.3.4",
                         "1.2.3.4/8",
                         "fe80::1%lo",
                         ":::",
                         "[::1]:",
                         "localhost",
                         "[::1]:80:80",
                         "1:2:3:80",
                         "localhost:80",
                         "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
    struct dm_address out;
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        assert_false(dm_address_read(dm_slice_of(bad[i]), &out));
    assert_false(dm_address_read(dm_slice("1.2.3.4\0", 8), &out));
    assert_false(dm_address_read(DM_NO_SLICE, &out));
}

static void networks_have_what_is_in_them(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.1.2.3/8", "10.9.9.9"));
    assert_true(has("192.168.128.0/17", "192.168.128.1"));
    assert_true(has("192.168.128.0/17", "192.168.255.255"));
    assert_false(has("192.168.128.0/17", "192.168.127.255"));
    assert_true(has("127.0.0.1", "127.0.0.1"));
    assert_false(has("127.0.0.1", "127.0.0.2"));
    assert_true(has("127.0.0.1/32", "::ffff:127.0.0.1"));
    assert_true(has("::ffff:10.0.0.0/104", "10.2.3.4"));
    assert_false(has("::ffff:10.0.0.0/104", "11.2.3.4"));
    assert_true(has("::ffff:10.0.0.1", "10.0.0.1"));
    assert_false(has("::ffff:10.0.0.1", "10.0.0.0"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_false(has("::/0", "203.0.113.9"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_true(has("fd00::/8", "fdff::1"));
    assert_false(has("fd00::/8", "fe00::1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::"));
    assert_true(has("::1", "::1"));
    assert_false(has("::1", "::2"));
}

static void unix_peers_are_one(void **state)
{
    (void)state;
    struct sockaddr unix_peer = {.sa_family = AF_UNIX}, other = {.sa_family = AF_PACKET};
    struct dm_network local = network("unix"), all = network("0.0.0.0/0");
    struct dm_address at = dm_address_of_socket(&unix_peer);
    assert_true(dm_network_has(&local, &at));
    assert_false(dm_network_has(&all, &at));
    at = address("127.0.0.1");
    assert_false(dm_network_has(&local, &at));
    at = dm_address_of_socket(&other);
    assert_int_equal(at.kind, DM_ADDRESS_UNKNOWN);
    assert_false(dm_network_has(&local, &at) || dm_network_has(&all, &at));
}

static void what_is_no_network_is_refused(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         "10.0.0.0/33",
                         "10.0.0.0/",
                         "10.0.0.0/x",
                         "10.0.0/8",
                         "::/129",
                         "::ffff:0:0/95",
                         "/8",
                         "UNIX",
                         "unix:/run/x",
                         "10.0.0.0/8/8",
                         "10.0.0.0/-1",
                         "[::1]/128",
                         "10.0.0.0/0008",
                         "1.2.3.4:80",
                         "example.com",
                         "::1/4294967297"};
    struct dm_network out;
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        assert_false(dm_network_read(dm_slice_of(bad[i]), &out));
}

static void sockets_have_the_same_addresses(void **state)
{
    (void)state;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(5)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(5)};
    inet_pton(AF_INET, "192.0.2.7", &v4.sin_addr);
    assert_true(same(dm_address_of_socket((struct sockaddr *)&v4), address("192.0.2.7")));
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &v6.sin6_addr);
    assert_true(same(dm_address_of_socket((struct sockaddr *)&v6), address("192.0.2.7")));
    inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr);
    assert_true(same(dm_address_of_socket((struct sockaddr *)&v6), address("2001:db8::7")));
}

static bool counted_as_one(const char *a, const char *b)
{
    struct dm_address one = address(a), other = address(b);
    return same(dm_address_counted(&one), dm_address_counted(&other));
}

static void a_64_counts_as_one(void **state)
{
    (void)state;
    assert_true(counted_as_one("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_false(counted_as_one("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_false(counted_as_one("192.0.2.1", "192.0.2.2"));
    assert_false(counted_as_one("192.0.2.1", "c000:201::"));
}

DM_UNIT_MAIN(cmocka_unit_test(addresses_are_read_as_proxies_write_them),
             cmocka_unit_test(what_is_no_address_is_refused),
             cmocka_unit_test(networks_have_what_is_in_them), cmocka_unit_test(unix_peers_are_one),
             cmocka_unit_test(what_is_no_network_is_refused),
             cmocka_unit_test(sockets_have_the_same_addresses),
             cmocka_unit_test(a_64_counts_as_one))
