/* Public keys: the examples of RFC 7515 and RFC 8037 verify, and PEM and JWKS files give their
 * keys or are refused with a reason. */
#include "lib/unit.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/jwt.h"
#include "auth/pem.h"
#include "base/alloc.h"
#include "base/err.h"
#include "codec/base64url.h"
#include "lib/signer.h"

/* RFC 7515 A.2: RSA, and A.3: P-256; RFC 8037 A.2: Ed25519. */
#define RSA_N                                                                                      \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4" \
    "d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re" \
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX" \
    "FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define RSA_JWK "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"
#define EC_JWK "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}"
#define ED_JWK "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}"
#define SET(keys) "{\"keys\":[" keys "]}"
#define JOE                                                                                        \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static const char rsa_token[] =
    "eyJhbGciOiJSUzI1NiJ9." JOE "."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
static const char ec_token[] =
    "eyJhbGciOiJFUzI1NiJ9." JOE "."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char ed_token[] =
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

static int read_jwks(struct dm_keyring *ring, const char *text, struct dm_buf *why)
{
    char *copy = dm_memdup(text, strlen(text)); /* exact, so that ASan sees a byte too far */
    int err = dm_jwks_read(ring, dm_slice(copy, strlen(text)), why);
    free(copy);
    return err;
}

/* Does one of `jwks` verify the token's signature, whatever its payload is? */
static bool signed_by(const char *jwks, enum dm_alg alg, const char *token)
{
    struct dm_keyring ring = {0};
    struct dm_buf why = DM_BUF_INIT, signature = DM_BUF_INIT;
    const char *dot = strrchr(token, '.');
    assert_int_equal(read_jwks(&ring, jwks, &why), DM_OK);
    assert_true(dm_base64url_decode(&signature, dm_slice_of(dot + 1)));
    bool ok = dm_keyring_verify(&ring, alg, DM_NO_SLICE, dm_slice(token, (size_t)(dot - token)),
                                dm_buf_slice(&signature));
    dm_buf_dispose(&signature);
    dm_buf_dispose(&why);
    dm_keyring_dispose(&ring);
    return ok;
}

static void the_rfcs_examples_verify(void **state)
{
    (void)state;
    const char *all = SET(RSA_JWK "," EC_JWK "," ED_JWK);
    const struct {
        const char *jwks, *token;
        enum dm_alg alg;
        bool ok;
    } cases[] = {
        {SET(RSA_JWK), rsa_token, DM_ALG_RS256, true},
        {all, rsa_token, DM_ALG_RS256, true},
        {SET(EC_JWK), ec_token, DM_ALG_ES256, true},
        {all, ec_token, DM_ALG_ES256, true},
        {SET(ED_JWK), ed_token, DM_ALG_EDDSA, true},
        {all, ed_token, DM_ALG_EDDSA, true},
        {SET(EC_JWK), rsa_token, DM_ALG_RS256, false},
        {SET(EC_JWK), rsa_token, DM_ALG_ES256, false},
        {all, ec_token, DM_ALG_EDDSA, false},
        {all, ed_token, DM_ALG_ES256, false},
        {all, rsa_token, DM_ALG_ES256, false},
        {all, ec_token, DM_ALG_RS256, false},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++)
        if (signed_by(cases[i].jwks, cases[i].alg, cases[i].token) != cases[i].ok)
            fail_msg("wrong answer to case %zu", i);
}

static void their_tokens_do_too(void **state)
{
    (void)state;
    struct dm_keyring ring = {0};
    struct dm_buf why = DM_BUF_INIT, claims = DM_BUF_INIT;
    struct dm_jwt_keys keys = {.public_keys = &ring};
    assert_int_equal(read_jwks(&ring, SET(RSA_JWK "," EC_JWK "," ED_JWK), &why), DM_OK);
    const char *const good[] = {rsa_token, ec_token};
    for (size_t i = 0; i < DM_COUNT(good); i++) {
        assert_int_equal(dm_jwt_verify(&keys, dm_slice_of(good[i]), &claims), DM_OK);
        assert_string_equal(dm_buf_text(&claims), "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                                  "\"http://example.com/is_root\":true}");
    }
    /* well signed, but its payload is no JSON */
    assert_int_equal(dm_jwt_verify(&keys, dm_slice_of(ed_token), &claims), DM_ERR_UNAUTHORIZED);
    dm_keyring_dispose(&ring);
    assert_int_equal(dm_jwt_verify(&keys, dm_slice_of(rsa_token), &claims), DM_ERR_UNAUTHORIZED);
    dm_buf_dispose(&claims);
    dm_buf_dispose(&why);
}

/* Expects exactly that error, or so many keys where it is NULL. */
static void expect_jwks(const char *text, const char *error, size_t count)
{
    struct dm_keyring ring = {0};
    struct dm_buf why = DM_BUF_INIT;
    int err = read_jwks(&ring, text, &why);
    assert_string_equal(dm_buf_text(&why), error ? error : "");
    assert_int_equal(err, error ? DM_ERR_INVALID_FIELD : DM_OK);
    if (!error)
        assert_int_equal(ring.count, count);
    assert_int_equal(ERR_peek_error(), 0);
    dm_keyring_dispose(&ring);
    dm_buf_dispose(&why);
}

#define NO_SET "it is not a JSON object with an array of keys"
#define NO_KEY "there is no key in it for RS256, ES256 or EdDSA"
#define NO_NUMBERS "key 1 has numbers that make no key"
#define WITH(jwk_begin, more) SET("{" more "," jwk_begin)
#define ED_REST "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}"
#define RSA_REST "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"

static void a_set_is_read_or_refused(void **state)
{
    (void)state;
    const struct {
        const char *text, *error;
        size_t count;
    } cases[] = {
        {"", NO_SET, 0},
        {"{", NO_SET, 0},
        {"[]", NO_SET, 0},
        {"{}", NO_SET, 0},
        {"null", NO_SET, 0},
        {ED_JWK, NO_SET, 0},
        {"[" ED_JWK "]", NO_SET, 0},
        {"{\"keys\":" ED_JWK "}", NO_SET, 0},
        {"{\"keys\":[" ED_JWK "]", NO_SET, 0},
        {"{\"keys\":[" ED_JWK ",]}", NO_SET, 0},
        {SET(""), NO_KEY, 0},
        {SET("1"), "key 1 is not an object", 0},
        {SET(ED_JWK ",null"), "key 2 is not an object", 0},
        {SET("{}"), "key 1 has no kty", 0},
        {SET("{\"kty\":7}"), "key 1 has no kty", 0},
        {" {\"x\":[{}],\"keys\" : [ " ED_JWK " , " EC_JWK "] } ", NULL, 2},
        {SET(RSA_JWK "," EC_JWK "," ED_JWK), NULL, 3},
        /* passed over: not ours */
        {SET("{\"kty\":\"oct\",\"k\":\"AAAA\"}"), NO_KEY, 0},
        {SET("{\"kty\":\"oct\",\"k\":\"AAAA\"}," ED_JWK), NULL, 1},
        {SET("{\"kty\":\"AKP\"}," ED_JWK), NULL, 1},
        {SET("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" ED_X "\"}"), NO_KEY, 0},
        {SET("{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}"), NO_KEY, 0},
        {SET("{\"kty\":\"OKP\",\"x\":\"" ED_X "\"}"), NO_KEY, 0},
        {SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}"), NO_KEY, 0},
        {SET("{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}"), NO_KEY, 0},
        {WITH(ED_REST, "\"use\":\"enc\""), NO_KEY, 0},
        {WITH(ED_REST, "\"use\":7"), NO_KEY, 0},
        {WITH(ED_REST, "\"use\":\"sig\""), NULL, 1},
        {WITH(ED_REST, "\"key_ops\":[\"sign\"]"), NO_KEY, 0},
        {WITH(ED_REST, "\"key_ops\":\"verify\""), NO_KEY, 0},
        {WITH(ED_REST, "\"key_ops\":[7,\"verify\"]"), NULL, 1},
        {WITH(ED_REST, "\"alg\":\"EdDSA\""), NULL, 1},
        {WITH(ED_REST, "\"alg\":\"ES256\""), NO_KEY, 0},
        {WITH(RSA_REST, "\"alg\":\"RS256\""), NULL, 1},
        {WITH(RSA_REST, "\"alg\":\"PS256\""), NO_KEY, 0},
        {WITH(RSA_REST, "\"alg\":\"RS512\""), NO_KEY, 0},
        {WITH(RSA_REST, "\"alg\":\"HS256\""), NO_KEY, 0},
        {WITH(RSA_REST, "\"alg\":null"), NO_KEY, 0},
        {WITH(RSA_REST, "\"use\":\"enc\""), NO_KEY, 0},
        /* refused: what lies here is public */
        {WITH(ED_REST, "\"d\":\"AAAA\""), "key 1 has a private part: give the public one alone", 0},
        {WITH(RSA_REST, "\"use\":\"enc\",\"d\":null"),
         "key 1 has a private part: give the public one alone", 0},
        /* names */
        {WITH(ED_REST, "\"kid\":\"\""), NULL, 1},
        {WITH(ED_REST, "\"kid\":7"), "key 1 has a kid that is no string", 0},
        {WITH(ED_REST, "\"kid\":null"), "key 1 has a kid that is no string", 0},
        {SET("{\"kid\":\"a\"," ED_REST ",{\"kid\":\"b\"," RSA_REST), NULL, 2},
        {SET("{\"kid\":\"a\"," ED_REST ",{\"kid\":\"\\u0061\"," RSA_REST),
         "key 2 has the kid of an earlier one", 0},
        {SET("{\"kid\":\"\"," ED_REST ",{\"kid\":\"\"," RSA_REST),
         "key 2 has the kid of an earlier one", 0},
        {SET("{\"kid\":\"a\"," ED_REST ",{\"kid\":\"a\",\"use\":\"enc\"," RSA_REST), NULL, 1},
        {SET(ED_JWK "," ED_JWK), NULL, 2}, /* no names to tell apart */
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        expect_jwks(cases[i].text, cases[i].error, cases[i].count);
    }
}

static void numbers_must_make_a_key(void **state)
{
    (void)state;
    const char *bad[] = {
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}"),
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":7}"),
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"\"}"),
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}"),
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "=\"}"),
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "AA\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}"),
        /* the right 32 bytes and one more */
        SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "A\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "A\",\"y\":\"" EC_Y "\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "A\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"AAAA\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_X "\"}"),
        SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_Y "\",\"y\":\"" EC_X "\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}"),
        SET("{\"kty\":\"RSA\",\"e\":\"AQAB\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"AQAB\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AA\"}"),
        SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"+/+/\"}"),
        SET("{\"kty\":\"RSA\",\"n\":[\"" RSA_N "\"],\"e\":\"AQAB\"}"),
    };
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        expect_jwks(bad[i], NO_NUMBERS, 0);
    const char *odd = "key 1 is an RSA key with an impossible modulus or exponent";
    expect_jwks(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}"), odd, 0);
    expect_jwks(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAA\"}"), odd, 0);
    expect_jwks(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"gAAAAQ\"}"), odd, 0);
    expect_jwks(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"" RSA_N "\"}"), odd, 0);
    expect_jwks(SET("{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Aw\"}"), NULL, 1);
}

static void rsa_keys_have_2048_to_8192_bits(void **state)
{
    (void)state;
    const struct {
        size_t bytes;
        unsigned char first, last;
        const char *error;
    } cases[] = {
        {64, 0xff, 1, "key 1 is an RSA key of less than 2048 bits"},
        {256, 0x7f, 1, "key 1 is an RSA key of less than 2048 bits"},
        {256, 0x80, 1, NULL},
        {256, 0x80, 2, "key 1 is an RSA key with an impossible modulus or exponent"},
        {257, 0x00, 1, "key 1 is an RSA key of less than 2048 bits"},
        {1024, 0xff, 1, NULL},
        {1025, 0x01, 1, "key 1 is an RSA key of more than 8192 bits"},
        {4096, 0x01, 1, NO_NUMBERS},
        {100000, 0xff, 1, NO_NUMBERS},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_buf text = DM_BUF_INIT;
        unsigned char *n = dm_calloc(1, cases[i].bytes);
        n[0] = cases[i].first;
        n[cases[i].bytes - 1] |= cases[i].last;
        dm_buf_lit(&text, "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
        dm_base64url_encode(&text, n, cases[i].bytes);
        dm_buf_lit(&text, "\"}]}");
        expect_jwks(dm_buf_text(&text), cases[i].error, 1);
        dm_buf_dispose(&text);
        free(n);
    }
}

static void a_set_has_64_keys_at_most(void **state)
{
    (void)state;
    for (size_t count = 63; count <= 66; count++) {
        struct dm_buf ours = DM_BUF_INIT, others = DM_BUF_INIT;
        dm_buf_lit(&ours, "{\"keys\":[" ED_JWK);
        dm_buf_lit(&others, "{\"keys\":[" ED_JWK);
        for (size_t i = 1; i < count; i++) {
            dm_buf_lit(&ours, "," ED_JWK);
            dm_buf_lit(&others, ",{\"kty\":\"oct\"}");
        }
        dm_buf_lit(&ours, "]}");
        dm_buf_lit(&others, "]}");
        const char *error = count > 64 ? "key 65 is one more than the 64 there may be" : NULL;
        expect_jwks(dm_buf_text(&ours), error, count);
        expect_jwks(dm_buf_text(&others), error, 1);
        dm_buf_dispose(&ours);
        dm_buf_dispose(&others);
    }
    struct dm_keyring ring = {.count = 0};
    struct dm_buf why = DM_BUF_INIT;
    for (size_t i = 0; i < DM_KEYS_MAX; i++)
        assert_int_equal(read_jwks(&ring, SET(ED_JWK), &why), DM_OK);
    assert_int_equal(read_jwks(&ring, SET(ED_JWK), &why), DM_ERR_INVALID_FIELD);
    assert_string_equal(dm_buf_text(&why), "key 1 is one more than the 64 there may be in all");
    assert_int_equal(ring.count, DM_KEYS_MAX);
    dm_keyring_dispose(&ring);
    dm_buf_dispose(&why);
}

static void a_kid_has_256_bytes_at_most(void **state)
{
    (void)state;
    for (int len = 255; len <= 257; len++) {
        char text[1000];
        snprintf(text, sizeof text, "{\"keys\":[{\"kid\":\"%0*d\"," ED_REST "]}", len, 0);
        expect_jwks(text, len > 256 ? "key 1 has a kid longer than 256 bytes" : NULL, 1);
    }
}

/* --- PEM --- */

static void expect_pem(const char *text, const char *error, size_t count)
{
    struct dm_keyring ring = {0};
    struct dm_buf why = DM_BUF_INIT;
    char *copy = dm_memdup(text, strlen(text));
    int err = dm_pem_read(&ring, dm_slice(copy, strlen(text)), &why);
    free(copy);
    assert_string_equal(dm_buf_text(&why), error ? error : "");
    assert_int_equal(err, error ? DM_ERR_INVALID_FIELD : DM_OK);
    if (!error)
        assert_int_equal(ring.count, count);
    assert_int_equal(ERR_peek_error(), 0);
    dm_keyring_dispose(&ring);
    dm_buf_dispose(&why);
}

static void a_pem_file_may_hold_several(void **state)
{
    (void)state;
    const char *const kinds[] = {"RSA-2048", "P-256", "ED25519"};
    struct dm_buf one = DM_BUF_INIT, all = DM_BUF_INIT;
    dm_buf_lit(&all, "# what is outside of the blocks does not count\n");
    for (size_t i = 0; i < DM_COUNT(kinds); i++) {
        EVP_PKEY *key = dm_signer_key(kinds[i]);
        dm_signer_pem(&one, key);
        expect_pem(dm_buf_text(&one), NULL, 1);
        dm_buf_add_slice(&all, dm_buf_slice(&one));
        EVP_PKEY_free(key);
    }
    expect_pem(dm_buf_text(&all), NULL, 3);
    all.len -= 30; /* into the last block's end */
    expect_pem(dm_buf_text(&all), "key 3 is no whole PEM block", 0);
    dm_buf_dispose(&one);
    dm_buf_dispose(&all);
}

static void other_keys_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *kind, *error;
    } cases[] = {
        {"RSA-1024", "key 1 is an RSA key of less than 2048 bits"},
        {"RSA-PSS", "key 1 is neither RSA nor P-256 nor Ed25519"},
        {"P-384", "key 1 is an EC key on another curve than P-256"},
        {"X25519", "key 1 is neither RSA nor P-256 nor Ed25519"},
        {"ED448", "key 1 is neither RSA nor P-256 nor Ed25519"},
    };
    struct dm_buf text = DM_BUF_INIT;
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        EVP_PKEY *key = dm_signer_key(cases[i].kind);
        dm_signer_pem(&text, key);
        expect_pem(dm_buf_text(&text), cases[i].error, 0);
        EVP_PKEY_free(key);
    }
    dm_buf_dispose(&text);
}

/* The same curve, its parameters written out instead of its name: CVE-2020-0601's door. */
static void a_spelt_out_curve_is_refused(void **state)
{
    (void)state;
    struct dm_buf text = DM_BUF_INIT;
    EVP_PKEY *key = dm_signer_key("P-256");
    assert_int_equal(EVP_PKEY_set_utf8_string_param(key, "encoding", "explicit"), 1);
    dm_signer_pem(&text, key);
    expect_pem(dm_buf_text(&text),
               "key 1 is an EC key that spells out its curve instead of naming it", 0);
    EVP_PKEY_free(key);
    dm_buf_dispose(&text);
}

static void what_is_no_public_key_is_refused(void **state)
{
    (void)state;
#define BLOCK(name, body) "-----BEGIN " name "-----\n" body "\n-----END " name "-----\n"
    const struct {
        const char *text, *error;
    } cases[] = {
        {"", "it is empty"},
        {"hello\n", "there is no PEM block in it"},
        {ED_JWK, "there is no PEM block in it"},
        {BLOCK("PUBLIC KEY", ""), "key 1 is no whole PEM block"},
        {BLOCK("PUBLIC KEY", "AAAA"), "key 1 cannot be read"},
        {BLOCK("PUBLIC KEY", "!!!!"), "key 1 is no whole PEM block"},
        {BLOCK("RSA PUBLIC KEY", "AAAA"), "key 1 is not a PUBLIC KEY block (openssl pkey -pubin)"},
        {BLOCK("CERTIFICATE", "AAAA"),
         "key 1 is a certificate: give its key (openssl x509 -pubkey -noout)"},
        {BLOCK("PRIVATE "
               "KEY",
               "AAAA"),
         "key 1 is a private key: give the public one (openssl pkey -pubout)"},
        {BLOCK("EC PRIVATE "
               "KEY",
               "AAAA"),
         "key 1 is a private key: give the public one (openssl pkey -pubout)"},
        {"-----BEGIN PUBLIC KEY-----\n", "key 1 is no whole PEM block"},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END OTHER-----\n", "key 1 is no whole PEM block"},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++)
        expect_pem(cases[i].text, cases[i].error, 0);
}

static void nothing_may_follow_a_key_in_its_block(void **state)
{
    (void)state;
    unsigned char *der = NULL;
    EVP_PKEY *key = dm_signer_key("ED25519");
    int len = i2d_PUBKEY(key, &der);
    struct dm_buf text = DM_BUF_INIT;
    assert_true(len > 0);
    der = OPENSSL_realloc(der, (size_t)len + 1);
    der[len] = 0;
    for (int more = 0; more <= 1; more++) {
        char base64[200];
        EVP_EncodeBlock((unsigned char *)base64, der, len + more);
        dm_buf_clear(&text);
        dm_buf_printf(&text, BLOCK("PUBLIC KEY", "%s"), base64);
        expect_pem(dm_buf_text(&text), more ? "key 1 has something behind it" : NULL, 1);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    dm_buf_dispose(&text);
}

/* TLS on the same thread asks OpenSSL's queue what went wrong with its own calls. */
static void openssls_errors_stay_as_they_were(void **state)
{
    (void)state;
    ERR_clear_error();
    assert_false(signed_by(SET(RSA_JWK), DM_ALG_RS256,
                           /* another text */ "x.y.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2Vt"));
    char forged[sizeof rsa_token];
    memcpy(forged, rsa_token, sizeof forged);
    forged[sizeof forged - 10] ^= 1;
    assert_false(signed_by(SET(RSA_JWK), DM_ALG_RS256, forged));
    assert_int_equal(ERR_peek_error(), 0);
    ERR_raise(ERR_LIB_USER, 7);
    unsigned long mine = ERR_peek_error();
    assert_false(signed_by(SET(RSA_JWK), DM_ALG_RS256, forged));
    assert_int_equal(ERR_peek_last_error(), mine);
    ERR_clear_error();
}

DM_UNIT_MAIN(cmocka_unit_test(the_rfcs_examples_verify), cmocka_unit_test(their_tokens_do_too),
             cmocka_unit_test(a_set_is_read_or_refused), cmocka_unit_test(numbers_must_make_a_key),
             cmocka_unit_test(rsa_keys_have_2048_to_8192_bits),
             cmocka_unit_test(a_set_has_64_keys_at_most),
             cmocka_unit_test(a_kid_has_256_bytes_at_most),
             cmocka_unit_test(a_pem_file_may_hold_several),
             cmocka_unit_test(other_keys_are_refused),
             cmocka_unit_test(a_spelt_out_curve_is_refused),
             cmocka_unit_test(what_is_no_public_key_is_refused),
             cmocka_unit_test(nothing_may_follow_a_key_in_its_block),
             cmocka_unit_test(openssls_errors_stay_as_they_were))
