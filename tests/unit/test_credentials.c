/* From configuration to auth: real files of public keys, errors that name the place, and a bad file
 * that leaves what was. */
#include "lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "cmd/command.h"
#include "cmd/credentials.h"
#include "lib/signer.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1800000000000u /* ms */

static char dir[] = "/tmp/dormouse-credentials-XXXXXX";

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* What `dormouse` would make of these variables; `why` is asserted to be `error`. */
static struct dm_auth *make(char **env, const char *error)
{
    struct dm_config config;
    struct dm_auth *auth = NULL;
    struct dm_buf why = DM_BUF_INIT;
    assert_int_equal(dm_config_load(&config, 0, NULL, env, &why), DM_OK);
    int err = dm_credentials_make(&config, &auth, &why);
    assert_string_equal(dm_buf_text(&why), error ? error : "");
    assert_int_equal(err, error ? DM_ERR_INVALID_FIELD : DM_OK);
    assert_true((auth == NULL) == (error != NULL));
    dm_config_dispose(&config);
    dm_buf_dispose(&why);
    return auth;
}

#define ENV(...) ((char *[]){__VA_ARGS__, NULL})

static bool lets_in(const struct dm_auth *auth, EVP_PKEY *key, const char *header,
                    const char *payload)
{
    struct dm_buf token = DM_BUF_INIT;
    struct dm_principal who;
    dm_signer_token(&token, key, DM_SIGN_JWS, header, payload);
    int err = dm_auth_check(auth, dm_buf_slice(&token), true, NOW, &who, NULL);
    dm_buf_dispose(&token);
    return err == DM_OK;
}

static void keys_come_from_several_files(void **state)
{
    (void)state;
    EVP_PKEY *one = dm_signer_key("ED25519"), *two = dm_signer_key("P-256"),
             *three = dm_signer_key("ED25519");
    struct dm_buf text = DM_BUF_INIT, set = DM_BUF_INIT;
    dm_signer_pem(&text, one);
    write_file("one.pem", dm_buf_text(&text));
    dm_signer_pem(&text, two);
    write_file("two.pem", dm_buf_text(&text));
    dm_signer_jwk(&text, three, "\"kid\":\"3\",");
    dm_buf_printf(&set, "{\"keys\":[%s]}", dm_buf_text(&text));
    write_file("three.json", dm_buf_text(&set));
    struct dm_auth *auth =
        make(ENV("DORMOUSE_JWT_PUBLIC_KEY=one.pem, two.pem", "DORMOUSE_JWKS=three.json",
                 "DORMOUSE_JWT_ISSUER=joe,ann", "DORMOUSE_JWT_AUDIENCE=dormouse"),
             NULL);
    const char *good = "{\"sub\":\"zoe\",\"iss\":\"ann\",\"aud\":[\"dormouse\"]}";
    assert_true(lets_in(auth, one, "{\"alg\":\"EdDSA\"}", good));
    assert_true(lets_in(auth, two, "{\"alg\":\"ES256\",\"kid\":\"of-the-issuer\"}", good));
    assert_true(lets_in(auth, three, "{\"alg\":\"EdDSA\",\"kid\":\"3\"}", good));
    assert_false(lets_in(auth, one, "{\"alg\":\"EdDSA\",\"kid\":\"3\"}", good));
    assert_false(lets_in(auth, one, "{\"alg\":\"EdDSA\"}", "{\"sub\":\"zoe\",\"iss\":\"ann\"}"));
    assert_false(
        lets_in(auth, one, "{\"alg\":\"EdDSA\"}", "{\"sub\":\"zoe\",\"aud\":\"dormouse\"}"));
    dm_auth_release(auth);
    EVP_PKEY_free(one);
    EVP_PKEY_free(two);
    EVP_PKEY_free(three);
    dm_buf_dispose(&text);
    dm_buf_dispose(&set);
}

static void errors_name_the_place(void **state)
{
    (void)state;
    write_file("bad.json", "{\"keys\":[]}");
    write_file("bad.pem", "no key\n");
    write_file("empty", "");
    make(ENV("DORMOUSE_JWKS=missing.json"),
         "DORMOUSE_JWKS: jwks: cannot open missing.json: No such file or directory");
    make(ENV("DORMOUSE_JWKS=."), "DORMOUSE_JWKS: jwks: cannot read .: Is a directory");
    make(ENV("DORMOUSE_JWKS=bad.json"),
         "DORMOUSE_JWKS: jwks: bad.json: there is no key in it for RS256, ES256 or EdDSA");
    make(ENV("DORMOUSE_JWKS=empty"),
         "DORMOUSE_JWKS: jwks: empty: it is not a JSON object with an array of keys");
    make(ENV("DORMOUSE_JWT_PUBLIC_KEY=empty"),
         "DORMOUSE_JWT_PUBLIC_KEY: jwt_public_key: empty: it is empty");
    make(ENV("DORMOUSE_JWT_PUBLIC_KEY=bad.pem"),
         "DORMOUSE_JWT_PUBLIC_KEY: jwt_public_key: bad.pem: there is no PEM block in it");
    make(ENV("DORMOUSE_JWT_SECRET=short"),
         "DORMOUSE_JWT_SECRET: jwt_secret: entry 1 is shorter than 32 bytes");
    make(ENV("DORMOUSE_API_KEYS=short"), "DORMOUSE_API_KEYS: api_keys: entry 1 is not name=secret");
}

static void a_file_has_a_mebibyte_at_most(void **state)
{
    (void)state;
    FILE *file = fopen("huge.json", "w");
    assert_non_null(file);
    for (int i = 0; i <= 1024 * 1024; i++)
        putc(' ', file);
    fclose(file);
    make(ENV("DORMOUSE_JWKS=huge.json"),
         "DORMOUSE_JWKS: jwks: huge.json is larger than 1048576 bytes");
}

/* A list whose entries are empty or no UTF-8 would make rules that nothing meets. */
static void texts_are_checked(void **state)
{
    (void)state;
    const struct {
        char *variable;
        const char *error;
    } cases[] = {
        {"DORMOUSE_JWT_ISSUER=a,,b", "DORMOUSE_JWT_ISSUER: has an empty entry"},
        {"DORMOUSE_JWT_AUDIENCE=\xff", "DORMOUSE_JWT_AUDIENCE: must hold texts in UTF-8 that are "
                                       "not empty, not \"\xff\""},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_config config;
        struct dm_buf why = DM_BUF_INIT;
        assert_int_equal(dm_config_load(&config, 0, NULL, ENV(cases[i].variable), &why),
                         DM_ERR_INVALID_FIELD);
        assert_string_equal(dm_buf_text(&why), cases[i].error);
        dm_config_dispose(&config);
        dm_buf_dispose(&why);
    }
}

/* `dormouse token` makes what the server with the same configuration takes. */
static void what_is_minted_meets_the_rules(void **state)
{
    (void)state;
    char **env = ENV("DORMOUSE_JWT_SECRET=" SECRET, "DORMOUSE_JWT_ISSUER=joe,ann",
                     "DORMOUSE_JWT_AUDIENCE=dormouse,x");
    struct dm_config config;
    struct dm_buf token = DM_BUF_INIT, why = DM_BUF_INIT;
    struct dm_principal who;
    struct dm_auth *auth = make(env, NULL);
    assert_int_equal(dm_config_load(&config, 0, NULL, env, &why), DM_OK);
    assert_int_equal(dm_command_mint(&config, "zoe", DM_SCOPE_PUBLISH, 0, &token), 0);
    assert_int_equal(dm_auth_check(auth, dm_buf_slice(&token), true, 4000000000000u, &who, NULL),
                     DM_OK);
    assert_int_equal(who.scopes, DM_SCOPE_PUBLISH);
    dm_auth_release(auth);
    dm_config_dispose(&config);
    dm_buf_dispose(&token);
    dm_buf_dispose(&why);
}

static int enter(void **state)
{
    (void)state;
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    const char *const files[] = {"one.pem", "two.pem", "three.json", "bad.json",
                                 "bad.pem", "empty",   "huge.json"};
    for (size_t i = 0; i < DM_COUNT(files); i++)
        unlink(files[i]);
    return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_from_several_files),   cmocka_unit_test(errors_name_the_place),
        cmocka_unit_test(a_file_has_a_mebibyte_at_most),  cmocka_unit_test(texts_are_checked),
        cmocka_unit_test(what_is_minted_meets_the_rules),
    };
    return cmocka_run_group_tests(tests, enter, leave) == 0 ? 0 : 1;
}
