/* Tokens signed for public keys: who is let in, and that no forgery is, whichever algorithm it
 * names or key it borrows. */
#include "lib/unit.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/keyring.h"
#include "base/err.h"
#include "lib/signer.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1800000000000u /* ms */
#define ZOE "{\"userId\":\"zoe\",\"exp\":1800000060}"

enum { RS, RS2, ES, ES2, ED, ED2, KEYS };

/* The keys, made once; `pem` and `jwks` hold RS, ES and ED, in the set named r, e and d. */
static EVP_PKEY *keys[KEYS];
static struct dm_buf pem, jwks;
static struct dm_auth *with_pem, *with_jwks, *with_both;

static struct dm_auth *auth_of(const struct dm_buf *pem_text, const struct dm_buf *jwks_text)
{
    struct dm_key_file files[2];
    char *secrets[] = {SECRET};
    struct dm_auth_options options = {.secrets = secrets, .secret_count = 1};
    struct dm_buf why = DM_BUF_INIT;
    struct dm_auth *auth = NULL;
    if (pem_text) {
        files[0] = (struct dm_key_file){"keys.pem", dm_buf_slice(pem_text)};
        options.public_keys = &files[0];
        options.public_key_count = 1;
    }
    if (jwks_text) {
        files[1] = (struct dm_key_file){"keys.json", dm_buf_slice(jwks_text)};
        options.jwks = &files[1];
        options.jwks_count = 1;
    }
    if (dm_auth_create(&options, &auth, &why) != DM_OK)
        fail_msg("%s", dm_buf_text(&why));
    dm_buf_dispose(&why);
    return auth;
}

static int make_keys(void **state)
{
    (void)state;
    const char *const kinds[] = {"RSA-2048", "RSA-2048", "P-256", "P-256", "ED25519", "ED25519"};
    const struct {
        int key;
        const char *more;
    } mine[] = {{RS, "\"kid\":\"r\","}, {ES, "\"kid\":\"e\","}, {ED, "\"kid\":\"d\","}};
    struct dm_buf one = DM_BUF_INIT;
    for (int i = 0; i < KEYS; i++)
        keys[i] = dm_signer_key(kinds[i]);
    dm_buf_lit(&jwks, "{\"keys\":[");
    for (size_t i = 0; i < DM_COUNT(mine); i++) {
        dm_signer_pem(&one, keys[mine[i].key]);
        dm_buf_add_slice(&pem, dm_buf_slice(&one));
        dm_signer_jwk(&one, keys[mine[i].key], mine[i].more);
        if (i)
            dm_buf_add_byte(&jwks, ',');
        dm_buf_add_slice(&jwks, dm_buf_slice(&one));
    }
    dm_buf_lit(&jwks, "]}");
    dm_buf_dispose(&one);
    with_pem = auth_of(&pem, NULL);
    with_jwks = auth_of(NULL, &jwks);
    with_both = auth_of(&pem, &jwks);
    return 0;
}

static int free_keys(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++)
        EVP_PKEY_free(keys[i]);
    dm_auth_destroy(&with_pem);
    dm_auth_destroy(&with_jwks);
    dm_auth_destroy(&with_both);
    dm_buf_dispose(&pem);
    dm_buf_dispose(&jwks);
    return 0;
}

static bool lets_in(const struct dm_auth *auth, struct dm_slice token)
{
    struct dm_principal who;
    int err = dm_auth_check(auth, token, false, NOW, &who, NULL);
    if (err)
        assert_int_equal(err, DM_ERR_UNAUTHORIZED);
    else
        assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("zoe")));
    return err == DM_OK;
}

/* Signs ZOE for `key` under `header`; expects what each of the three auths says of it. */
static void expect(int key, enum dm_sign_how how, const char *header, bool by_pem, bool by_jwks)
{
    struct dm_buf token = DM_BUF_INIT;
    dm_signer_token(&token, keys[key], how, header, ZOE);
    struct dm_slice text = dm_buf_slice(&token);
    if (lets_in(with_pem, text) != by_pem)
        fail_msg("wrong answer by PEM to %s of key %d", header, key);
    if (lets_in(with_jwks, text) != by_jwks)
        fail_msg("wrong answer by JWKS to %s of key %d", header, key);
    dm_buf_dispose(&token);
}

static void each_kind_lets_in(void **state)
{
    (void)state;
    expect(RS, DM_SIGN_JWS, "{\"alg\":\"RS256\"}", true, true);
    expect(ES, DM_SIGN_JWS, "{\"alg\":\"ES256\",\"typ\":\"JWT\"}", true, true);
    expect(ED, DM_SIGN_JWS, " {\"x\":[{\"kid\":7}],\"\\u0061lg\":\"EdDSA\"}\n", true, true);
    struct dm_buf token = DM_BUF_INIT;
    struct dm_principal who;
    dm_signer_token(&token, keys[ES], DM_SIGN_JWS, "{\"alg\":\"ES256\"}",
                    "{\"sub\":\"zo\\u00eb\",\"exp\":1800000060.5,\"scope\":\"publish\"}");
    assert_int_equal(dm_auth_check(with_pem, dm_buf_slice(&token), false, NOW, &who, NULL), DM_OK);
    assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("zo\xc3\xab")));
    assert_int_equal(who.scopes, DM_SCOPE_PUBLISH);
    assert_int_equal(who.expires_ms, 1800000060500u);
    assert_int_equal(
        dm_auth_check(with_pem, dm_buf_slice(&token), false, NOW + 60500 + 30000, &who, NULL),
        DM_ERR_UNAUTHORIZED);
    dm_buf_dispose(&token);
}

static void the_key_fixes_the_algorithm(void **state)
{
    (void)state;
    const char *const names[] = {"RS256", "ES256", "EdDSA"};
    const char *const others[] = {"none",  "None",  "NONE",    "",      "HS256", "HS384",
                                  "RS384", "RS512", "PS256",   "ES384", "ES512", "ES256K",
                                  "rs256", "eddsa", "Ed25519", "Ed448", "RS256 "};
    const int mine[] = {RS, ES, ED};
    char header[60];
    for (size_t k = 0; k < DM_COUNT(mine); k++) {
        for (size_t n = 0; n < DM_COUNT(names); n++) {
            snprintf(header, sizeof header, "{\"alg\":\"%s\"}", names[n]);
            expect(mine[k], DM_SIGN_JWS, header, n == k, n == k);
        }
        for (size_t n = 0; n < DM_COUNT(others); n++) {
            snprintf(header, sizeof header, "{\"alg\":\"%s\"}", others[n]);
            expect(mine[k], DM_SIGN_JWS, header, false, false);
        }
        for (size_t n = 0; n < DM_COUNT(names); n++) { /* nor does kid choose one */
            snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"r\"}", names[n]);
            expect(mine[k], DM_SIGN_JWS, header, n == k, n == k && k == 0);
        }
    }
    const char *const bad[] = {"{}",
                               "{\"alg\":null}",
                               "{\"alg\":[\"RS256\"]}",
                               "{\"alg\":7}",
                               "[\"RS256\"]",
                               "\"RS256\"",
                               "{\"alg\":\"RS256\"",
                               "",
                               "{\"alg\":\"RS256\",\"alg\":\"none\"}",
                               "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}",
                               "{\"alg\":\"RS256\",\"crit\":null}",
                               "{\"alg\":\"RS256\",\"b64\":false,\"crit\":[\"b64\"]}"};
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        expect(RS, DM_SIGN_JWS, bad[i], false, false);
}

static void other_digests_and_paddings_are_refused(void **state)
{
    (void)state;
    expect(RS, DM_SIGN_PSS, "{\"alg\":\"RS256\"}", false, false);
    expect(RS, DM_SIGN_PSS, "{\"alg\":\"PS256\"}", false, false);
    expect(RS, DM_SIGN_SHA512, "{\"alg\":\"RS256\"}", false, false);
    expect(RS, DM_SIGN_SHA512, "{\"alg\":\"RS512\"}", false, false);
    expect(ES, DM_SIGN_SHA512, "{\"alg\":\"ES256\"}", false, false);
    expect(ES, DM_SIGN_DER, "{\"alg\":\"ES256\"}", false, false);
}

/* HS256 with what everybody can read as its secret. */
static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    struct dm_buf one = DM_BUF_INIT, token = DM_BUF_INIT;
    const char *const headers[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}",
                                   "{\"alg\":\"HS256\",\"kid\":\"r\"}",
                                   "{\"alg\":\"RS256\",\"kid\":\"r\"}"};
    dm_signer_pem(&one, keys[RS]);
    const struct dm_slice secrets[] = {dm_buf_slice(&one), dm_slice(one.bytes, one.len - 1),
                                       dm_buf_slice(&pem), dm_buf_slice(&jwks), DM_SLICE("")};
    for (size_t s = 0; s < DM_COUNT(secrets); s++) {
        for (size_t h = 0; h < DM_COUNT(headers); h++) {
            unsigned char mac[32];
            dm_signer_join(&token, headers[h], ZOE, DM_NO_SLICE); /* ends with the dot */
            HMAC(EVP_sha256(), secrets[s].at, (int)secrets[s].len, (unsigned char *)token.bytes,
                 token.len - 1, mac, NULL);
            dm_signer_join(&token, headers[h], ZOE, dm_slice((char *)mac, sizeof mac));
            assert_false(lets_in(with_both, dm_buf_slice(&token)));
        }
    }
    dm_buf_dispose(&one);
    dm_buf_dispose(&token);
}

/* Both kinds at once, and each only under its own name. */
static void secrets_count_beside_public_keys(void **state)
{
    (void)state;
    struct dm_buf token = DM_BUF_INIT;
    const struct {
        const char *header;
        bool ok;
    } cases[] = {
        {"{\"alg\":\"HS256\"}", true},  {"{\"alg\":\"HS256\",\"kid\":\"r\"}", true},
        {"{\"alg\":\"RS256\"}", false}, {"{\"alg\":\"RS256\",\"kid\":\"r\"}", false},
        {"{\"alg\":\"EdDSA\"}", false}, {"{\"alg\":\"none\"}", false},
        {"{\"kid\":\"r\"}", false},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        unsigned char mac[32];
        dm_signer_join(&token, cases[i].header, ZOE, DM_NO_SLICE);
        HMAC(EVP_sha256(), SECRET, sizeof SECRET - 1, (unsigned char *)token.bytes, token.len - 1,
             mac, NULL);
        dm_signer_join(&token, cases[i].header, ZOE, dm_slice((char *)mac, sizeof mac));
        assert_int_equal(lets_in(with_both, dm_buf_slice(&token)), cases[i].ok);
    }
    dm_signer_join(&token, "{\"alg\":\"none\"}", ZOE, DM_NO_SLICE);
    assert_false(lets_in(with_both, dm_buf_slice(&token)));
    dm_buf_dispose(&token);
}

static void another_key_is_refused(void **state)
{
    (void)state;
    expect(RS2, DM_SIGN_JWS, "{\"alg\":\"RS256\"}", false, false);
    expect(RS2, DM_SIGN_JWS, "{\"alg\":\"RS256\",\"kid\":\"r\"}", false, false);
    expect(ES2, DM_SIGN_JWS, "{\"alg\":\"ES256\"}", false, false);
    expect(ES2, DM_SIGN_JWS, "{\"alg\":\"ES256\",\"kid\":\"e\"}", false, false);
    expect(ED2, DM_SIGN_JWS, "{\"alg\":\"EdDSA\"}", false, false);
    expect(ED2, DM_SIGN_JWS, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", false, false);
    /* nor does a key that comes with the token count */
    struct dm_buf jwk = DM_BUF_INIT, header = DM_BUF_INIT;
    dm_signer_jwk(&jwk, keys[ED2], "");
    dm_buf_printf(&header, "{\"alg\":\"EdDSA\",\"jwk\":%s}", dm_buf_text(&jwk));
    expect(ED2, DM_SIGN_JWS, dm_buf_text(&header), false, false);
    dm_buf_dispose(&jwk);
    dm_buf_dispose(&header);
}

static void kid_names_the_one_key(void **state)
{
    (void)state;
    expect(ED, DM_SIGN_JWS, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", true, true);
    expect(ED, DM_SIGN_JWS, "{\"alg\":\"EdDSA\",\"kid\":\"\\u0064\"}", true, true);
    expect(RS, DM_SIGN_JWS, "{\"alg\":\"RS256\",\"kid\":\"r\"}", true, true);
    /* swapped, unknown, empty, of another case, not its whole: the set's keys all have names, PEM's
     * have none and are still meant */
    const char *const others[] = {"r", "e", "x", "", "D", "d ", "dd", "d\\u0000"};
    for (size_t i = 0; i < DM_COUNT(others); i++) {
        char header[60];
        snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", others[i]);
        expect(ED, DM_SIGN_JWS, header, true, false);
    }
    const char *const no_string[] = {"7", "null", "[\"d\"]", "{\"d\":\"d\"}", "true"};
    for (size_t i = 0; i < DM_COUNT(no_string); i++) {
        char header[60];
        snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":%s}", no_string[i]);
        expect(ED, DM_SIGN_JWS, header, false, false);
    }
    /* With both files a known name means its key and no other. */
    struct dm_buf token = DM_BUF_INIT;
    dm_signer_token(&token, keys[ED], DM_SIGN_JWS, "{\"alg\":\"EdDSA\",\"kid\":\"r\"}", ZOE);
    assert_false(lets_in(with_both, dm_buf_slice(&token)));
    dm_signer_token(&token, keys[ED], DM_SIGN_JWS, "{\"alg\":\"EdDSA\",\"kid\":\"x\"}", ZOE);
    assert_true(lets_in(with_both, dm_buf_slice(&token)));
    dm_buf_dispose(&token);
}

/* Two keys of one kind under two names: the other's name does not do. */
static void swapped_kids_are_refused(void **state)
{
    (void)state;
    struct dm_buf set = DM_BUF_INIT, one = DM_BUF_INIT, token = DM_BUF_INIT;
    dm_signer_jwk(&one, keys[ES], "\"kid\":\"a\",");
    dm_buf_printf(&set, "{\"keys\":[%s,", dm_buf_text(&one));
    dm_signer_jwk(&one, keys[ES2], "\"kid\":\"b\",");
    dm_buf_printf(&set, "%s]}", dm_buf_text(&one));
    struct dm_auth *auth = auth_of(NULL, &set);
    for (int key = ES; key <= ES2; key++) {
        for (char kid = 'a'; kid <= 'b'; kid++) {
            char header[60];
            snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"kid\":\"%c\"}", kid);
            dm_signer_token(&token, keys[key], DM_SIGN_JWS, header, ZOE);
            assert_int_equal(lets_in(auth, dm_buf_slice(&token)), (key == ES) == (kid == 'a'));
        }
        dm_signer_token(&token, keys[key], DM_SIGN_JWS, "{\"alg\":\"ES256\"}", ZOE);
        assert_true(lets_in(auth, dm_buf_slice(&token)));
    }
    dm_auth_release(auth);
    dm_buf_dispose(&set);
    dm_buf_dispose(&one);
    dm_buf_dispose(&token);
}

static void a_token_without_kid_tries_four_keys(void **state)
{
    (void)state;
    EVP_PKEY *many[DM_KEYS_TRIED + 1];
    struct dm_buf set = DM_BUF_INIT, one = DM_BUF_INIT, token = DM_BUF_INIT;
    dm_signer_jwk(&one, keys[ES], ""); /* of another algorithm: does not count */
    dm_buf_printf(&set, "{\"keys\":[%s", dm_buf_text(&one));
    for (size_t i = 0; i < DM_COUNT(many); i++) {
        char more[30];
        snprintf(more, sizeof more, "\"kid\":\"%zu\",", i);
        many[i] = dm_signer_key("ED25519");
        dm_signer_jwk(&one, many[i], more);
        dm_buf_printf(&set, ",%s", dm_buf_text(&one));
    }
    dm_buf_lit(&set, "]}");
    struct dm_auth *auth = auth_of(NULL, &set);
    for (size_t i = 0; i < DM_COUNT(many); i++) {
        char header[60];
        dm_signer_token(&token, many[i], DM_SIGN_JWS, "{\"alg\":\"EdDSA\"}", ZOE);
        assert_int_equal(lets_in(auth, dm_buf_slice(&token)), i < DM_KEYS_TRIED);
        snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%zu\"}", i);
        dm_signer_token(&token, many[i], DM_SIGN_JWS, header, ZOE);
        assert_true(lets_in(auth, dm_buf_slice(&token)));
        EVP_PKEY_free(many[i]);
    }
    dm_auth_release(auth);
    dm_buf_dispose(&set);
    dm_buf_dispose(&one);
    dm_buf_dispose(&token);
}

/* Signatures cut, padded, turned round, emptied. */
static void a_signature_has_its_one_form(void **state)
{
    (void)state;
    const struct {
        int key;
        const char *header;
        size_t len;
    } kinds[] = {
        {RS, "{\"alg\":\"RS256\"}", 256}, {RS, "{\"alg\":\"RS256\",\"kid\":\"r\"}", 256},
        {ES, "{\"alg\":\"ES256\"}", 64},  {ES, "{\"alg\":\"ES256\",\"kid\":\"e\"}", 64},
        {ED, "{\"alg\":\"EdDSA\"}", 64},  {ED, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", 64},
    };
    struct dm_buf token = DM_BUF_INIT, good = DM_BUF_INIT;
    for (size_t k = 0; k < DM_COUNT(kinds); k++) {
        const char *header = kinds[k].header;
        dm_signer_join(&token, header, ZOE, DM_NO_SLICE);
        dm_signer_sign(&good, keys[kinds[k].key], DM_SIGN_JWS,
                       dm_slice(token.bytes, token.len - 1));
        assert_int_equal(good.len, kinds[k].len);
        dm_signer_join(&token, header, ZOE, dm_buf_slice(&good));
        assert_true(lets_in(with_both, dm_buf_slice(&token)));
        for (size_t len = 0; len < good.len; len++) {
            dm_signer_join(&token, header, ZOE, dm_slice(good.bytes, len));
            assert_false(lets_in(with_both, dm_buf_slice(&token)));
            dm_signer_join(&token, header, ZOE, dm_slice_from(dm_buf_slice(&good), good.len - len));
            assert_false(lets_in(with_both, dm_buf_slice(&token)));
        }
        for (size_t bit = 0; bit < good.len * 8; bit += 5) {
            good.bytes[bit / 8] = (char)(good.bytes[bit / 8] ^ 1 << bit % 8);
            dm_signer_join(&token, header, ZOE, dm_buf_slice(&good));
            assert_false(lets_in(with_both, dm_buf_slice(&token)));
            good.bytes[bit / 8] = (char)(good.bytes[bit / 8] ^ 1 << bit % 8);
        }
        dm_buf_add_byte(&good, 0);
        dm_signer_join(&token, header, ZOE, dm_buf_slice(&good));
        assert_false(lets_in(with_both, dm_buf_slice(&token)));
        memset(good.bytes, 0, good.len);
        for (size_t ones = 0; ones <= 64; ones += 32) { /* r and s zero, s zero, both huge */
            memset(good.bytes, 0xff, ones);
            dm_signer_join(&token, header, ZOE, dm_slice(good.bytes, kinds[k].len));
            assert_false(lets_in(with_both, dm_buf_slice(&token)));
        }
    }
    dm_buf_dispose(&token);
    dm_buf_dispose(&good);
}

static void every_changed_byte_is_seen(void **state)
{
    (void)state;
    struct dm_buf token = DM_BUF_INIT;
    const char *const headers[] = {"{\"alg\":\"RS256\"}", "{\"alg\":\"ES256\"}",
                                   "{\"alg\":\"EdDSA\",\"kid\":\"d\"}"};
    const int mine[] = {RS, ES, ED};
    for (size_t k = 0; k < DM_COUNT(mine); k++) {
        dm_signer_token(&token, keys[mine[k]], DM_SIGN_JWS, headers[k], ZOE);
        assert_true(lets_in(with_jwks, dm_buf_slice(&token)));
        for (size_t i = 0; i < token.len; i++) {
            char was = token.bytes[i];
            token.bytes[i] = was == 'A' ? 'B' : 'A';
            assert_false(lets_in(with_jwks, dm_buf_slice(&token)));
            token.bytes[i] = was;
        }
    }
    dm_buf_dispose(&token);
}

/* Without public keys in the configuration, nothing they sign counts. */
static void without_public_keys_none_counts(void **state)
{
    (void)state;
    struct dm_auth *auth = auth_of(NULL, NULL);
    struct dm_buf token = DM_BUF_INIT;
    dm_signer_token(&token, keys[ED], DM_SIGN_JWS, "{\"alg\":\"EdDSA\"}", ZOE);
    assert_false(lets_in(auth, dm_buf_slice(&token)));
    dm_auth_release(auth);
    dm_buf_dispose(&token);
}

static void refuse_to_make(const struct dm_auth_options *options, const char *error)
{
    struct dm_buf why = DM_BUF_INIT;
    struct dm_auth *auth = NULL;
    assert_int_equal(dm_auth_create(options, &auth, &why), DM_ERR_INVALID_FIELD);
    assert_null(auth);
    assert_string_equal(dm_buf_text(&why), error);
    dm_buf_dispose(&why);
}

static void a_bad_file_is_named(void **state)
{
    (void)state;
    struct dm_key_file bad[] = {{"good", dm_buf_slice(&jwks)}, {"bad", DM_SLICE("{}")}};
    struct dm_key_file good = {"good.pem", dm_buf_slice(&pem)};
    struct dm_auth_options options = {.public_keys = bad, .public_key_count = 1};
    refuse_to_make(&options, "jwt_public_key: good: there is no PEM block in it");
    options = (struct dm_auth_options){
        .public_keys = &good, .public_key_count = 1, .jwks = bad, .jwks_count = 2};
    refuse_to_make(&options, "jwks: bad: it is not a JSON object with an array of keys");
    bad[1].text = bad[0].text;
    refuse_to_make(&options, "jwks: bad: key 1 has the kid of an earlier one");
    char *secrets[] = {SECRET, "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS"};
    options = (struct dm_auth_options){.secrets = secrets, .secret_count = 2};
    refuse_to_make(&options, "jwt_secret: entry 2 is a PEM block, not a secret");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_lets_in),
        cmocka_unit_test(the_key_fixes_the_algorithm),
        cmocka_unit_test(other_digests_and_paddings_are_refused),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(secrets_count_beside_public_keys),
        cmocka_unit_test(another_key_is_refused),
        cmocka_unit_test(kid_names_the_one_key),
        cmocka_unit_test(swapped_kids_are_refused),
        cmocka_unit_test(a_token_without_kid_tries_four_keys),
        cmocka_unit_test(a_signature_has_its_one_form),
        cmocka_unit_test(every_changed_byte_is_seen),
        cmocka_unit_test(without_public_keys_none_counts),
        cmocka_unit_test(a_bad_file_is_named),
    };
    return cmocka_run_group_tests(tests, make_keys, free_keys) == 0 ? 0 : 1;
}
