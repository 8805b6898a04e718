/* API keys, the Authorization header, and what dm_auth refuses to be made from. */
#include "lib/unit.h"

#include <string.h>

#include "auth/auth.h"
#include "base/err.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define CI "ci-secret-0123456789"
#define BOT "bot=secret=01234567=="

static struct dm_auth *make(char **secrets, size_t secret_count, char **keys, size_t key_count,
                            const char *error)
{
    struct dm_auth_options options = {.secrets = secrets,
                                      .secret_count = secret_count,
                                      .api_keys = keys,
                                      .api_key_count = key_count};
    struct dm_auth *auth = NULL;
    struct dm_buf why = DM_BUF_INIT;
    int err = dm_auth_create(&options, &auth, &why);
    assert_string_equal(dm_buf_text(&why), error);
    assert_int_equal(err, *error ? DM_ERR_INVALID_FIELD : DM_OK);
    assert_true((auth == NULL) == (err != DM_OK));
    dm_buf_dispose(&why);
    return auth;
}

static void keys_are_known_by_header_only(void **state)
{
    (void)state;
    char *keys[] = {"ci=" CI, "bot.2=" BOT};
    struct dm_auth *auth = make(NULL, 0, keys, 2, "");
    struct dm_principal who;
    assert_int_equal(dm_auth_check(auth, DM_SLICE(CI), true, 0, &who, NULL), DM_OK);
    assert_int_equal(who.kind, DM_PRINCIPAL_KEY);
    assert_int_equal(who.scopes, DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN);
    assert_int_equal(who.expires_ms, 0);
    assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("ci")));
    assert_int_equal(dm_auth_check(auth, DM_SLICE(BOT), true, 0, &who, NULL), DM_OK);
    assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("bot.2")));
    assert_int_equal(dm_auth_check(auth, DM_SLICE(CI), false, 0, &who, NULL), DM_ERR_UNAUTHORIZED);
    const char *bad[] = {"", "ci", "ci=" CI, CI "x", "ci-secret-012345678", "CI-SECRET-0123456789"};
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        assert_int_equal(dm_auth_check(auth, dm_slice_of(bad[i]), true, 0, &who, NULL),
                         DM_ERR_UNAUTHORIZED);
    char long_one[4096];
    memset(long_one, 'x', sizeof long_one);
    assert_int_equal(dm_auth_check(auth, dm_slice(long_one, sizeof long_one), true, 0, &who, NULL),
                     DM_ERR_UNAUTHORIZED);
    dm_auth_release(auth);
}

static void without_secrets_nobody_gets_in(void **state)
{
    (void)state;
    struct dm_auth *auth = make(NULL, 0, NULL, 0, "");
    struct dm_principal who;
    const char *tries[] = {"", "x", "..", "e30.e30.e30", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."};
    for (size_t i = 0; i < DM_COUNT(tries); i++)
        assert_int_equal(dm_auth_check(auth, dm_slice_of(tries[i]), true, 0, &who, NULL),
                         DM_ERR_UNAUTHORIZED);
    assert_int_equal(dm_auth_check(auth, DM_NO_SLICE, true, 0, &who, NULL), DM_ERR_UNAUTHORIZED);
    dm_auth_release(auth);
    dm_auth_release(NULL);
}

static void weak_secrets_are_refused_by_name(void **state)
{
    (void)state;
    char *secrets[] = {SECRET, "0123456789abcdef0123456789abcde"};
    make(secrets, 2, NULL, 0, "jwt_secret: entry 2 is shorter than 32 bytes");
    const struct {
        char *entry;
        const char *error;
    } cases[] = {
        {CI, "api_keys: entry 2 is not name=secret"},
        {"=" CI, "api_keys: entry 2 has a name that is not 1 to 64 of A-Z a-z 0-9 _ . -"},
        {"a b=" CI, "api_keys: entry 2 has a name that is not 1 to 64 of A-Z a-z 0-9 _ . -"},
        {"a\xc3\xa9=" CI, "api_keys: entry 2 has a name that is not 1 to 64 of A-Z a-z 0-9 _ . -"},
        {"0123456789012345678901234567890123456789012345678901234567890123x=" CI,
         "api_keys: entry 2 has a name that is not 1 to 64 of A-Z a-z 0-9 _ . -"},
        {"a=", "api_keys: entry 2 has a secret shorter than 16 bytes"},
        {"a=012345678901234", "api_keys: entry 2 has a secret shorter than 16 bytes"},
        {"a=0123456789 0123456789",
         "api_keys: entry 2 has a secret that is not all visible ASCII characters"},
        {"ci=another-secret-012", "api_keys: entry 2 has the name of an earlier one"},
        {"c2=" CI, "api_keys: entry 2 has the secret of an earlier one"},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        char *keys[] = {"ci=" CI, cases[i].entry};
        make(secrets, 1, keys, 2, cases[i].error);
    }
    char *edge[] = {
        "0123456789012345678901234567890123456789012345678901234567890123=0123456789012345"};
    struct dm_auth *auth = make(secrets, 1, edge, 1, "");
    struct dm_principal who;
    assert_int_equal(dm_auth_check(auth, DM_SLICE("0123456789012345"), true, 0, &who, NULL), DM_OK);
    assert_int_equal(who.id_len, 64);
    dm_auth_destroy(&auth);
}

static void a_held_auth_outlives_its_maker(void **state)
{
    (void)state;
    char *keys[] = {"ci=" CI};
    struct dm_auth *auth = make(NULL, 0, keys, 1, "");
    struct dm_auth *held = dm_auth_retain(auth);
    struct dm_principal who;
    dm_auth_destroy(&auth);
    assert_int_equal(dm_auth_check(held, DM_SLICE(CI), true, 0, &who, NULL), DM_OK);
    dm_auth_release(held);
}

static void the_header_may_say_bearer(void **state)
{
    (void)state;
    const struct {
        const char *header, *credential;
    } cases[] = {
        {"Bearer abc", "abc"},  {"bearer abc", "abc"}, {"BEARER \t abc\t ", "abc"},
        {"abc", "abc"},         {"  abc ", "abc"},     {"a.b.c", "a.b.c"},
        {"Bearer\tabc", "abc"}, {"Bearer a b", "a b"}, {"Bearerabc", "Bearerabc"},
        {"Bearer", ""},         {" Bearer ", ""},      {"Basic YTpi", ""},
        {"Token abc", ""},      {"Bearers abc", ""},   {"a b", ""},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_slice found = dm_auth_credential(dm_slice_of(cases[i].header));
        assert_non_null(found.at); /* something was presented */
        if (!dm_slice_eq(found, dm_slice_of(cases[i].credential)))
            fail_msg("wrong credential in \"%s\"", cases[i].header);
    }
    assert_null(dm_auth_credential(DM_NO_SLICE).at);
    assert_null(dm_auth_credential(DM_SLICE("")).at);
    assert_null(dm_auth_credential(DM_SLICE(" \t ")).at);
}

DM_UNIT_MAIN(cmocka_unit_test(keys_are_known_by_header_only),
             cmocka_unit_test(without_secrets_nobody_gets_in),
             cmocka_unit_test(weak_secrets_are_refused_by_name),
             cmocka_unit_test(a_held_auth_outlives_its_maker),
             cmocka_unit_test(the_header_may_say_bearer))
