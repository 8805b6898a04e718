/* Hooks without a network: signatures, URLs, origins, and what the cache knows. */
#include "lib/unit.h"

#include <stdio.h>
#include <string.h>

#include "net/auth_cache.h"
#include "net/hook_sign.h"
#include "net/hook_url.h"
#include "net/origin.h"

/* printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef */
static void a_call_is_signed(void **state)
{
    (void)state;
    struct dm_hmac_key key;
    struct dm_buf out = DM_BUF_INIT;
    dm_hmac_key_init(&key, DM_SLICE("0123456789abcdef0123456789abcdef"));
    dm_hook_sign(&key, 1800000000, DM_SLICE("{\"a\":1}"), &out);
    assert_string_equal(dm_buf_text(&out),
                        "Dormouse-Signature: t=1800000000,v1="
                        "d40e555bc2c1dae21953757b24b165a171698880732ac310a5c8cf0ab751abf2");
    dm_hmac_key_dispose(&key);
    dm_buf_dispose(&out);
}

static const char *read_url(const char *text, bool insecure, struct dm_hook_url *url)
{
    const char *wrong = dm_hook_url_read(text, insecure, url);
    if (wrong)
        assert_true(!url->url && !url->socket);
    return wrong;
}

static void safe_urls_are_taken(void **state)
{
    (void)state;
    const struct {
        const char *text, *url, *socket;
    } cases[] = {
        {"https://a.example/x?y=1", "https://a.example/x?y=1", NULL},
        {"https://10.0.0.1:8443", "https://10.0.0.1:8443/", NULL},
        {"http://127.0.0.1", "http://127.0.0.1/", NULL},
        {"http://127.255.3.4:81/x", "http://127.255.3.4:81/x", NULL},
        {"http://[::1]:81/x", "http://[::1]:81/x", NULL},
        {"http://localhost:81", "http://localhost:81/", NULL},
        {"http://LOCALHOST/x", "http://LOCALHOST/x", NULL},
        {"unix:/run/a.sock", "http://localhost/", "/run/a.sock"},
        {"unix:/run/a.sock:/x:y?z", "http://localhost/x:y?z", "/run/a.sock"},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_hook_url url;
        const char *wrong = read_url(cases[i].text, false, &url);
        if (wrong)
            fail_msg("%s: %s", cases[i].text, wrong);
        assert_string_equal(url.url, cases[i].url);
        assert_true(!url.socket == !cases[i].socket);
        if (url.socket)
            assert_string_equal(url.socket, cases[i].socket);
        dm_hook_url_dispose(&url);
    }
}

/* Of these hook_insecure lets the first few through. */
static void other_urls_are_not(void **state)
{
    (void)state;
    static char long_path[] =
        "unix:/01234567890123456789012345678901234567890123456789012345678901230123456789"
        "456789012345678901234567890123456789012";
    const char *const cases[] = {
        "http://a.example/",
        "http://128.0.0.1/",
        "http://localhost.a.example/",
        "http://localhost./",
        "http://x.localhost/",
        "http://127.0.0.1.a.example/",
        "http://[::2]/",
        "http://[::ffff:127.0.0.1]/",
        "http://0.0.0.0/",
        /* never */
        "http://user@127.0.0.1/",
        "http://127.0.0.1@a.example/",
        "https://user:password@a.example/",
        "https://a.example/#x",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "a.example",
        "//a.example",
        "http://",
        "https:///",
        "https://a b/",
        "https://a.example/\n",
        "https://z\xc3\xab.example/",
        "unix:",
        "unix:/",
        "unix:run/a.sock",
        "unix:/run/a.sock:",
        "unix:/run/a.sock:x",
        long_path,
        "",
    };
    const size_t insecure_ones = 9;
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_hook_url url;
        if (!read_url(cases[i], false, &url))
            fail_msg("%s", cases[i]);
        const char *wrong = read_url(cases[i], true, &url);
        if (!wrong != (i < insecure_ones))
            fail_msg("%s: %s", cases[i], wrong);
        dm_hook_url_dispose(&url);
    }
}

static void an_origin_is_own_by_its_host(void **state)
{
    (void)state;
    const struct {
        const char *origin, *host;
        bool own;
    } cases[] = {
        {"https://a.example", "a.example", true},
        {"http://a.example", "A.Example", true},
        {"https://a.example", "a.example:443", true},
        {"https://a.example:443", "a.example", true},
        {"http://a.example:80", "a.example", true},
        {"http://a.example:8080", "a.example:8080", true},
        {"https://[::1]:8443", "[::1]:8443", true},
        {"https://a.example", "a.example:80", false},
        {"http://a.example", "a.example:443", false},
        {"http://a.example:8080", "a.example", false},
        {"http://a.example", "a.example:8080", false},
        {"https://b.example", "a.example", false},
        {"https://a.example.b.example", "a.example", false},
        {"https://xa.example", "a.example", false},
        {"null", "null", false},
        {"a.example", "a.example", false},
        {"https://", "", false},
        {"https://:443", ":443", true}, /* no browser says so */
        {"", "", false},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++)
        if (dm_origin_is_own(dm_slice_of(cases[i].origin), dm_slice_of(cases[i].host)) !=
            cases[i].own)
            fail_msg("%s at %s", cases[i].origin, cases[i].host);
}

static struct dm_auth_cache_key key_of(uint32_t number)
{
    struct dm_auth_cache_key key;
    dm_sha256(dm_slice((const char *)&number, sizeof number), key.hash);
    return key;
}

static bool knows(struct dm_auth_cache *cache, uint32_t number, uint64_t mono, uint64_t wall)
{
    struct dm_auth_cache_key key = key_of(number);
    struct dm_principal who;
    struct dm_slice claims;
    if (!dm_auth_cache_find(cache, &key, mono, wall, &who, &claims))
        return false;
    char expected[16];
    snprintf(expected, sizeof expected, "%u", number);
    assert_true(dm_slice_eq(dm_principal_id(&who), dm_slice_of(expected)));
    assert_true(dm_slice_eq(claims, dm_slice_of(expected)));
    return true;
}

static void learn(struct dm_auth_cache *cache, uint32_t number, uint64_t mono, uint64_t expires_ms)
{
    struct dm_auth_cache_key key = key_of(number);
    struct dm_principal who = {.expires_ms = expires_ms};
    who.id_len = (uint8_t)snprintf(who.id, sizeof who.id, "%u", number);
    dm_auth_cache_put(cache, &key, mono, &who, dm_principal_id(&who));
}

static void the_cache_knows_for_a_while(void **state)
{
    (void)state;
    assert_null(dm_auth_cache_create(0));
    struct dm_auth_cache *cache = dm_auth_cache_create(1000);
    assert_false(knows(cache, 1, 0, 0));
    learn(cache, 1, 100, 0);
    learn(cache, 2, 600, 5000);
    assert_true(knows(cache, 1, 1099, 0));
    assert_false(knows(cache, 1, 1100, 0));
    assert_true(knows(cache, 2, 1100, 4999));
    assert_false(knows(cache, 2, 1100, 5000));
    learn(cache, 1, 1200, 0);
    assert_true(knows(cache, 1, 2199, 0));
    learn(cache, 1, 2000, 0);
    assert_true(knows(cache, 1, 2999, 0));
    dm_auth_cache_destroy(&cache);
}

static void the_cache_is_bounded(void **state)
{
    (void)state;
    static char large[DM_AUTH_CACHE_CLAIMS_MAX + 1];
    struct dm_auth_cache *cache = dm_auth_cache_create(1000);
    for (uint32_t i = 0; i <= DM_AUTH_CACHE_ENTRIES_MAX; i++)
        learn(cache, i, 5, 0);
    assert_false(knows(cache, 0, 5, 0));
    for (uint32_t i = 1; i <= DM_AUTH_CACHE_ENTRIES_MAX; i++)
        assert_true(knows(cache, i, 5, 0));
    struct dm_auth_cache_key key = key_of(7);
    struct dm_principal who = {.id_len = 1};
    struct dm_slice claims;
    dm_auth_cache_put(cache, &key, 5, &who, dm_slice(large, sizeof large));
    assert_false(dm_auth_cache_find(cache, &key, 5, 0, &who, &claims));
    dm_auth_cache_put(cache, &key, 5, &who, dm_slice(large, sizeof large - 1));
    assert_true(dm_auth_cache_find(cache, &key, 5, 0, &who, &claims));
    dm_auth_cache_destroy(&cache);
}

DM_UNIT_MAIN(cmocka_unit_test(a_call_is_signed), cmocka_unit_test(safe_urls_are_taken),
             cmocka_unit_test(other_urls_are_not), cmocka_unit_test(an_origin_is_own_by_its_host),
             cmocka_unit_test(the_cache_knows_for_a_while), cmocka_unit_test(the_cache_is_bounded))
