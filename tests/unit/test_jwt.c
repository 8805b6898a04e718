/* Tokens: the signature layer against RFC 7515's own example and against forgeries, and what the
 * claims make of a bearer. */
#include "lib/unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "auth/auth.h"
#include "auth/claims.h"
#include "auth/jwt.h"
#include "auth/token.h"
#include "base/err.h"
#include "codec/base64url.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER "another-secret-that-is-long-enough"
#define NOW 1800000000000u /* ms */

static const char rfc_token[] =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

static void rfc_key(struct dm_hmac_key *key)
{
    struct dm_buf secret = DM_BUF_INIT;
    assert_true(dm_base64url_decode(&secret, DM_SLICE("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"
                                                      "EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjA"
                                                      "zZr1Z9CAow")));
    assert_int_equal(secret.len, 64);
    dm_hmac_key_init(key, dm_buf_slice(&secret));
    dm_buf_dispose(&secret);
}

static int verify(const struct dm_hmac_key *keys, size_t count, struct dm_slice token,
                  struct dm_buf *claims)
{
    struct dm_jwt_keys all = {.secrets = keys, .secret_count = count};
    return dm_jwt_verify(&all, token, claims);
}

static void the_rfcs_example_verifies(void **state)
{
    (void)state;
    struct dm_hmac_key keys[2];
    struct dm_buf claims = DM_BUF_INIT;
    dm_hmac_key_init(&keys[0], DM_SLICE(SECRET));
    rfc_key(&keys[1]);
    assert_int_equal(verify(keys, 2, dm_slice_of(rfc_token), &claims), DM_OK);
    assert_string_equal(dm_buf_text(&claims), "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                              "\"http://example.com/is_root\":true}");
    assert_int_equal(verify(keys, 1, dm_slice_of(rfc_token), &claims), DM_ERR_UNAUTHORIZED);
    assert_int_equal(verify(keys, 0, dm_slice_of(rfc_token), &claims), DM_ERR_UNAUTHORIZED);
    dm_hmac_key_dispose(&keys[0]);
    dm_hmac_key_dispose(&keys[1]);
    dm_buf_dispose(&claims);
}

static void every_changed_byte_is_seen(void **state)
{
    (void)state;
    struct dm_hmac_key key;
    struct dm_buf claims = DM_BUF_INIT;
    rfc_key(&key);
    char token[sizeof rfc_token];
    for (size_t i = 0; i < sizeof token - 1; i++) {
        memcpy(token, rfc_token, sizeof token);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        struct dm_slice text = dm_slice(token, sizeof token - 1);
        assert_int_equal(verify(&key, 1, text, &claims), DM_ERR_UNAUTHORIZED);
        text.len = i; /* and every shorter one */
        assert_int_equal(verify(&key, 1, text, &claims), DM_ERR_UNAUTHORIZED);
    }
    dm_hmac_key_dispose(&key);
    dm_buf_dispose(&claims);
}

/* Signs with OpenSSL's old HMAC(), so that the code under test is not its own judge. */
static void forge(struct dm_buf *out, const EVP_MD *md, const char *secret, const char *header,
                  const char *payload)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    dm_buf_clear(out);
    dm_base64url_encode(out, header, strlen(header));
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, payload, strlen(payload));
    assert_non_null(
        HMAC(md, secret, (int)strlen(secret), (unsigned char *)out->bytes, out->len, mac, &len));
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, mac, len);
}

static struct dm_auth *auth_of(const char *first, const char *second)
{
    char *secrets[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second};
    struct dm_auth_options options = {.secrets = secrets, .secret_count = second ? 2 : 1};
    struct dm_auth *auth = NULL;
    struct dm_buf why = DM_BUF_INIT;
    assert_int_equal(dm_auth_create(&options, &auth, &why), DM_OK);
    dm_buf_dispose(&why);
    return auth;
}

static int check_text(struct dm_slice token, struct dm_principal *who)
{
    struct dm_auth *auth = auth_of(SECRET, NULL);
    int err = dm_auth_check(auth, token, false, NOW, who, NULL);
    dm_auth_destroy(&auth);
    assert_null(auth);
    return err;
}

static int check_claims(const char *payload, struct dm_principal *who)
{
    struct dm_buf token = DM_BUF_INIT;
    forge(&token, EVP_sha256(), SECRET, "{\"alg\":\"HS256\"}", payload);
    int err = check_text(dm_buf_slice(&token), who);
    dm_buf_dispose(&token);
    return err;
}

static void accept_id(const char *payload, const char *id)
{
    struct dm_principal who;
    if (check_claims(payload, &who) != DM_OK)
        fail_msg("refused: %s", payload);
    assert_int_equal(who.id_len, strlen(id));
    assert_memory_equal(who.id, id, who.id_len);
    assert_int_equal(who.kind, DM_PRINCIPAL_USER);
}

static void refuse(const char *payload)
{
    struct dm_principal who;
    if (check_claims(payload, &who) != DM_ERR_UNAUTHORIZED)
        fail_msg("accepted: %s", payload);
}

static void the_algorithm_is_ours_to_choose(void **state)
{
    (void)state;
    const struct {
        const char *header;
        int err;
    } cases[] = {
        {"{\"alg\":\"HS256\"}", DM_OK},
        {"{\"alg\":\"HS256\",\"typ\":\"anything\",\"kid\":7}", DM_OK},
        {" {\"typ\":\"JWT\",\"\\u0061lg\":\"HS256\"} ", DM_OK},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", DM_OK}, /* the last one counts */
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"none\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"None\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"hs256\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"HS256 \"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"RS256\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"HS384\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":[\"HS256\"]}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":null}", DM_ERR_UNAUTHORIZED},
        {"{\"typ\":\"JWT\"}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"HS256\",\"crit\":null}", DM_ERR_UNAUTHORIZED},
        {"[\"HS256\"]", DM_ERR_UNAUTHORIZED},
        {"\"HS256\"", DM_ERR_UNAUTHORIZED},
        {"{\"alg\":\"HS256\"", DM_ERR_UNAUTHORIZED},
        {"", DM_ERR_UNAUTHORIZED},
    };
    struct dm_buf token = DM_BUF_INIT;
    struct dm_principal who;
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        forge(&token, EVP_sha256(), SECRET, cases[i].header, "{\"userId\":\"zoe\"}");
        if (check_text(dm_buf_slice(&token), &who) != cases[i].err)
            fail_msg("wrong answer to header %s", cases[i].header);
    }
    forge(&token, EVP_sha384(), SECRET, "{\"alg\":\"HS384\"}", "{\"userId\":\"zoe\"}");
    assert_int_equal(check_text(dm_buf_slice(&token), &who), DM_ERR_UNAUTHORIZED);
    forge(&token, EVP_sha384(), SECRET, "{\"alg\":\"HS256\"}", "{\"userId\":\"zoe\"}");
    assert_int_equal(check_text(dm_buf_slice(&token), &who), DM_ERR_UNAUTHORIZED);
    forge(&token, EVP_sha256(), OTHER, "{\"alg\":\"HS256\"}", "{\"userId\":\"zoe\"}");
    assert_int_equal(check_text(dm_buf_slice(&token), &who), DM_ERR_UNAUTHORIZED);
    dm_buf_dispose(&token);
}

static void the_form_is_strict(void **state)
{
    (void)state;
    struct dm_buf good = DM_BUF_INIT, bad = DM_BUF_INIT;
    struct dm_principal who;
    forge(&good, EVP_sha256(), SECRET, "{\"alg\":\"HS256\"}", "{\"userId\":\"zoe\"}");
    assert_int_equal(check_text(dm_buf_slice(&good), &who), DM_OK);
    size_t signature = good.len - 43;
    const struct {
        const char *before, *after;
        size_t keep;
    } cases[] = {
        {"", ".", SIZE_MAX},
        {"", "..", SIZE_MAX},
        {".", "", SIZE_MAX},
        {"", ".AAAA", SIZE_MAX},
        {"", "=", SIZE_MAX},
        {"", "==", SIZE_MAX},
        {" ", "", SIZE_MAX},
        {"", "\n", SIZE_MAX},
        {"", "A", SIZE_MAX},
        {"", "", signature},
        {"", "", signature - 1},
        {"", ".", signature - 1},
        {"Bearer ", "", SIZE_MAX},
        {"", "", 0},
        {"", ".", 0},
        {"", "..", 0},
        {"", "...", 0},
        {"", "....", 0},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        dm_buf_clear(&bad);
        dm_buf_add_slice(&bad, dm_slice_of(cases[i].before));
        dm_buf_add(&bad, good.bytes, cases[i].keep < good.len ? cases[i].keep : good.len);
        dm_buf_add_slice(&bad, dm_slice_of(cases[i].after));
        if (check_text(dm_buf_slice(&bad), &who) != DM_ERR_UNAUTHORIZED)
            fail_msg("accepted case %zu", i);
    }
    /* 32 bytes leave two bits of the 43rd character unused: only zero is canonical. */
    char *last = &good.bytes[good.len - 1];
    const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    *last = *(strchr(alphabet, *last) + 1);
    assert_int_equal(check_text(dm_buf_slice(&good), &who), DM_ERR_UNAUTHORIZED);
    dm_buf_dispose(&good);
    dm_buf_dispose(&bad);
}

static void a_huge_token_is_refused(void **state)
{
    (void)state;
    struct dm_buf payload = DM_BUF_INIT, token = DM_BUF_INIT;
    struct dm_principal who;
    const struct {
        size_t padding;
        int err;
    } cases[] = {{6000, DM_OK}, {6100, DM_ERR_UNAUTHORIZED}, {1000000, DM_ERR_UNAUTHORIZED}};
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        dm_buf_clear(&payload);
        dm_buf_lit(&payload, "{\"userId\":\"zoe\",\"x\":\"");
        for (size_t n = 0; n < cases[i].padding; n++)
            dm_buf_add_byte(&payload, 'x');
        dm_buf_lit(&payload, "\"}");
        forge(&token, EVP_sha256(), SECRET, "{\"alg\":\"HS256\"}", dm_buf_text(&payload));
        assert_int_equal(token.len > DM_TOKEN_MAX, cases[i].err != DM_OK);
        assert_int_equal(check_text(dm_buf_slice(&token), &who), cases[i].err);
    }
    dm_buf_dispose(&payload);
    dm_buf_dispose(&token);
}

static void the_user_is_user_id_else_sub(void **state)
{
    (void)state;
    accept_id("{\"userId\":\"zoe\"}", "zoe");
    accept_id("{\"sub\":\"zoe\"}", "zoe");
    accept_id("{\"userId\":\"zoe\",\"sub\":\"ann\"}", "zoe");
    accept_id("{\"userId\":\"ann\",\"userId\":\"zoe\"}", "zoe");
    accept_id("{\"userId\":\"\\u00a0 z\\u006fe\\t\\ufeff\"}", "zoe");
    accept_id("{\"userId\":\"Zo\xc3\xab \xf0\x9f\x90\xad\"}", "Zo\xc3\xab \xf0\x9f\x90\xad");
    accept_id("{\"userId\":\"guests\"}", "guests");
    const char *bad[] = {
        "{}",
        "[]",
        "\"zoe\"",
        "null",
        "{\"userId\":\"zoe\"",
        "{\"userId\":\"\"}",
        "{\"userId\":\" \\n\"}",
        "{\"userId\":7}",
        "{\"userId\":true}",
        "{\"userId\":[\"zoe\"]}",
        "{\"userId\":{\"a\":1}}",
        "{\"userId\":\".\"}",
        "{\"userId\":\"a\\u0000b\"}",
        "{\"userId\":\"a\\u200bb\"}",
        "{\"userId\":\"\\ud800\"}",
        "{\"userId\":\"guest:zoe\"}",
        "{\"userId\":\" guest:zoe\"}",
        "{\"sub\":\"guest:zoe\"}",
        "{\"sub\":7}",
        "{\"sub\":null}",
        /* a userId that is there but bad is not made good by sub */
        "{\"userId\":null,\"sub\":\"zoe\"}",
        "{\"userId\":\"\",\"sub\":\"zoe\"}",
        "{\"userId\":7,\"sub\":\"zoe\"}",
        "{\"userId\":\"zoe\",\"userId\":null,\"sub\":\"zoe\"}",
    };
    for (size_t i = 0; i < DM_COUNT(bad); i++)
        refuse(bad[i]);
}

static void a_user_id_has_128_bytes_at_most(void **state)
{
    (void)state;
    char payload[200], id[DM_USER_ID_MAX + 2];
    memset(id, 'x', sizeof id);
    id[DM_USER_ID_MAX] = '\0';
    snprintf(payload, sizeof payload, "{\"userId\":\"%s\"}", id);
    accept_id(payload, id);
    snprintf(payload, sizeof payload, "{\"userId\":\"%sx\"}", id);
    refuse(payload);
}

static void times_have_a_leeway(void **state)
{
    (void)state;
    const struct {
        const char *claim;
        int err;
    } cases[] = {
        {"\"exp\":1800000060", DM_OK},
        {"\"exp\":1799999970.001", DM_OK},
        {"\"exp\":1799999970", DM_ERR_UNAUTHORIZED}, /* NOW is 30 s behind it */
        {"\"exp\":1799999969", DM_ERR_UNAUTHORIZED},
        {"\"exp\":0", DM_ERR_UNAUTHORIZED},
        {"\"exp\":-1", DM_ERR_UNAUTHORIZED},
        {"\"exp\":-1e999", DM_ERR_UNAUTHORIZED},
        {"\"exp\":1e999", DM_OK},
        {"\"exp\":18e8", DM_OK},
        {"\"exp\":99999999999999999999999999", DM_OK},
        {"\"exp\":\"1800000060\"", DM_ERR_UNAUTHORIZED},
        {"\"exp\":null", DM_ERR_UNAUTHORIZED},
        {"\"exp\":true", DM_ERR_UNAUTHORIZED},
        {"\"exp\":[1800000060]", DM_ERR_UNAUTHORIZED},
        {"\"exp\":1,\"exp\":1800000060", DM_OK},
        {"\"exp\":1800000060,\"exp\":1", DM_ERR_UNAUTHORIZED},
        {"\"nbf\":1800000000", DM_OK},
        {"\"nbf\":1800000030", DM_OK},
        {"\"nbf\":1800000030.001", DM_ERR_UNAUTHORIZED},
        {"\"nbf\":1e999", DM_ERR_UNAUTHORIZED},
        {"\"nbf\":-1e999", DM_OK},
        {"\"nbf\":\"0\"", DM_ERR_UNAUTHORIZED},
        {"\"nbf\":null", DM_ERR_UNAUTHORIZED},
        {"\"iat\":\"whenever\"", DM_OK},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        char payload[120];
        struct dm_principal who;
        snprintf(payload, sizeof payload, "{\"userId\":\"zoe\",%s}", cases[i].claim);
        if (check_claims(payload, &who) != cases[i].err)
            fail_msg("wrong answer to %s", payload);
    }
}

static void the_expiry_is_told(void **state)
{
    (void)state;
    struct dm_principal who;
    assert_int_equal(check_claims("{\"userId\":\"a\",\"exp\":1800000060.5}", &who), DM_OK);
    assert_int_equal(who.expires_ms, 1800000060500u);
    assert_int_equal(check_claims("{\"userId\":\"a\"}", &who), DM_OK);
    assert_int_equal(who.expires_ms, 0);
    assert_int_equal(check_claims("{\"userId\":\"a\",\"exp\":1e300}", &who), DM_OK);
    assert_int_equal(who.expires_ms, 0);
    /* within the leeway of a clock at its start: an expiry all the same */
    const struct dm_claims_rule any = {0};
    assert_int_equal(dm_claims_read(DM_SLICE("{\"userId\":\"a\",\"exp\":0}"), &any, 5, &who),
                     DM_OK);
    assert_int_equal(who.expires_ms, 1);
}

static void scopes_are_words(void **state)
{
    (void)state;
    const struct {
        const char *scope;
        unsigned bits;
    } cases[] = {
        {"\"\"", 0},
        {"\"publish\"", DM_SCOPE_PUBLISH},
        {"\"admin\"", DM_SCOPE_ADMIN},
        {"\"admin publish\"", DM_SCOPE_ADMIN | DM_SCOPE_PUBLISH},
        {"\"  read  publish \"", DM_SCOPE_PUBLISH},
        {"\"publisher PUBLISH publish,admin\"", 0},
        {"\"admin\\tpublish\"", 0},
        {"[\"publish\"]", 0},
        {"null", 0},
        {"1", 0},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        char payload[120];
        struct dm_principal who;
        snprintf(payload, sizeof payload, "{\"userId\":\"zoe\",\"scope\":%s}", cases[i].scope);
        assert_int_equal(check_claims(payload, &who), DM_OK);
        assert_int_equal(who.scopes, cases[i].bits);
    }
}

static void what_is_minted_verifies(void **state)
{
    (void)state;
    struct dm_buf token = DM_BUF_INIT;
    struct dm_principal who;
    struct dm_token wanted = {
        .user_id = DM_SLICE("zo\"e\\"),
        .scopes = DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN,
        .issued_ms = NOW,
        .expires_ms = NOW + 60000,
    };
    dm_token_sign(&token, DM_SLICE(OTHER), &wanted);
    struct dm_auth *auth = auth_of(SECRET, OTHER); /* both secrets of a rotation are good */
    assert_int_equal(dm_auth_check(auth, dm_buf_slice(&token), true, NOW, &who, NULL), DM_OK);
    assert_true(dm_slice_eq(dm_principal_id(&who), wanted.user_id));
    assert_int_equal(who.scopes, wanted.scopes);
    assert_int_equal(who.expires_ms, NOW + 60000);
    assert_int_equal(dm_auth_check(auth, dm_buf_slice(&token), true, NOW + 90000, &who, NULL),
                     DM_ERR_UNAUTHORIZED);
    dm_auth_release(auth);
    dm_buf_clear(&token);
    wanted = (struct dm_token){.user_id = DM_SLICE("a"), .scopes = DM_SCOPE_ADMIN};
    dm_token_sign(&token, DM_SLICE(SECRET), &wanted);
    assert_int_equal(check_text(dm_buf_slice(&token), &who), DM_OK);
    assert_int_equal(who.scopes, DM_SCOPE_ADMIN);
    assert_int_equal(who.expires_ms, 0);
    dm_buf_dispose(&token);
}

DM_UNIT_MAIN(cmocka_unit_test(the_rfcs_example_verifies),
             cmocka_unit_test(every_changed_byte_is_seen),
             cmocka_unit_test(the_algorithm_is_ours_to_choose),
             cmocka_unit_test(the_form_is_strict), cmocka_unit_test(a_huge_token_is_refused),
             cmocka_unit_test(the_user_is_user_id_else_sub),
             cmocka_unit_test(a_user_id_has_128_bytes_at_most),
             cmocka_unit_test(times_have_a_leeway), cmocka_unit_test(the_expiry_is_told),
             cmocka_unit_test(scopes_are_words), cmocka_unit_test(what_is_minted_verifies))
