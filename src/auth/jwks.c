/* Walks the set, decides what is for us, and makes OpenSSL's keys from their numbers. */
#include "auth/jwks.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/err.h"
#include "codec/base64url.h"
#include "codec/json.h"

enum {
    NUMBER_MAX = 2 * DM_RSA_BITS_MAX / 8, /* characters: half again what our largest needs */
    HALF = 32,                            /* x or y of P-256; all of Ed25519 */
};

static bool says(struct dm_slice value, const char *text)
{
    return dm_json_kind(value) == DM_JSON_STRING && dm_json_string_is(value, dm_slice_of(text));
}

static bool absent_or(struct dm_slice jwk, struct dm_slice name, const char *text)
{
    struct dm_slice value = dm_json_get(jwk, name);
    return !value.at || says(value, text);
}

/* --- numbers --- */

/* The bytes that a member says in base64url; empty when it does not, or is far too long. */
static struct dm_slice bytes_of(struct dm_slice jwk, struct dm_slice name, struct dm_buf *out)
{
    struct dm_slice value = dm_json_get(jwk, name);
    struct dm_buf text = DM_BUF_INIT;
    dm_buf_clear(out);
    if (dm_json_kind(value) == DM_JSON_STRING && value.len <= NUMBER_MAX) {
        dm_json_decode(&text, value);
        if (!dm_base64url_decode(out, dm_buf_slice(&text)))
            dm_buf_clear(out);
    }
    dm_buf_dispose(&text);
    return dm_buf_slice(out);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;
    DM_CHECK(maker && EVP_PKEY_fromdata_init(maker) == 1);
    if (EVP_PKEY_fromdata(maker, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(maker);
    return pkey;
}

static EVP_PKEY *rsa_from(const BIGNUM *n, const BIGNUM *e)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    DM_CHECK(builder && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
             OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    DM_CHECK(params);
    EVP_PKEY *pkey = from_params("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    return pkey;
}

static BIGNUM *number_of(struct dm_slice jwk, struct dm_slice name, struct dm_buf *scratch)
{
    struct dm_slice bytes = bytes_of(jwk, name, scratch);
    BIGNUM *number = BN_bin2bn((const unsigned char *)bytes.at, (int)bytes.len, NULL);
    DM_CHECK(number);
    return number;
}

static EVP_PKEY *make_rsa(struct dm_slice jwk, struct dm_buf *scratch)
{
    BIGNUM *n = number_of(jwk, DM_SLICE("n"), scratch), *e = number_of(jwk, DM_SLICE("e"), scratch);
    EVP_PKEY *pkey = BN_is_zero(n) || BN_is_zero(e) ? NULL : rsa_from(n, e);
    BN_free(n);
    BN_free(e);
    return pkey;
}

static EVP_PKEY *make_p256(struct dm_slice jwk, struct dm_buf *scratch)
{
    char curve[] = "prime256v1";
    unsigned char point[1 + 2 * HALF] = {POINT_CONVERSION_UNCOMPRESSED};
    const struct dm_slice names[] = {DM_SLICE("x"), DM_SLICE("y")};
    for (size_t i = 0; i < 2; i++) {
        struct dm_slice bytes = bytes_of(jwk, names[i], scratch);
        if (bytes.len != HALF)
            return NULL;
        memcpy(point + 1 + i * HALF, bytes.at, HALF);
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
        OSSL_PARAM_construct_end(),
    };
    return from_params("EC", params);
}

static EVP_PKEY *make_ed25519(struct dm_slice jwk, struct dm_buf *scratch)
{
    struct dm_slice bytes = bytes_of(jwk, DM_SLICE("x"), scratch);
    if (bytes.len != HALF)
        return NULL;
    return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, (const unsigned char *)bytes.at,
                                          bytes.len);
}

/* --- one key --- */

struct kind {
    const char *kty, *crv; /* crv NULL: has none */
    enum dm_alg alg;
    EVP_PKEY *(*make)(struct dm_slice jwk, struct dm_buf *scratch);
};

static const struct kind kinds[] = {
    {"RSA", NULL, DM_ALG_RS256, make_rsa},
    {"EC", "P-256", DM_ALG_ES256, make_p256},
    {"OKP", "Ed25519", DM_ALG_EDDSA, make_ed25519},
};

static const struct kind *kind_of(struct dm_slice jwk)
{
    for (size_t i = 0; i < DM_COUNT(kinds); i++) {
        const struct kind *kind = &kinds[i];
        if (says(dm_json_get(jwk, DM_SLICE("kty")), kind->kty) &&
            (!kind->crv || says(dm_json_get(jwk, DM_SLICE("crv")), kind->crv)) &&
            absent_or(jwk, DM_SLICE("alg"), dm_alg_name(kind->alg)))
            return kind;
    }
    return NULL;
}

static bool is_to_verify(struct dm_slice jwk)
{
    struct dm_slice operations = dm_json_get(jwk, DM_SLICE("key_ops")), key, value;
    if (!absent_or(jwk, DM_SLICE("use"), "sig"))
        return false;
    if (dm_json_kind(operations) != DM_JSON_ARRAY)
        return !operations.at;
    struct dm_json_walk walk = dm_json_walk(operations);
    while (dm_json_next(&walk, &key, &value))
        if (says(value, "verify"))
            return true;
    return false;
}

static const char *add_named(struct dm_keyring *ring, EVP_PKEY *pkey, struct dm_slice kid)
{
    struct dm_buf text = DM_BUF_INIT;
    dm_buf_reserve(&text, 1); /* an empty kid is there all the same */
    if (kid.at)
        dm_json_decode(&text, kid);
    const char *wrong = dm_keyring_add(ring, pkey, kid.at ? dm_buf_slice(&text) : DM_NO_SLICE);
    dm_buf_dispose(&text);
    return wrong;
}

/* What is wrong with a key; NULL if nothing, added or passed over. */
static const char *add(struct dm_keyring *ring, struct dm_slice jwk)
{
    if (dm_json_kind(jwk) != DM_JSON_OBJECT)
        return "is not an object";
    if (dm_json_kind(dm_json_get(jwk, DM_SLICE("kty"))) != DM_JSON_STRING)
        return "has no kty";
    if (dm_json_get(jwk, DM_SLICE("d")).at)
        return "has a private part: give the public one alone";
    const struct kind *kind = kind_of(jwk);
    if (!kind || !is_to_verify(jwk))
        return NULL;
    struct dm_slice kid = dm_json_get(jwk, DM_SLICE("kid"));
    if (kid.at && dm_json_kind(kid) != DM_JSON_STRING)
        return "has a kid that is no string";
    struct dm_buf scratch = DM_BUF_INIT;
    EVP_PKEY *pkey = kind->make(jwk, &scratch);
    dm_buf_dispose(&scratch);
    return pkey ? add_named(ring, pkey, kid) : "has numbers that make no key";
}

/* --- the set --- */

static bool read_set(struct dm_keyring *ring, struct dm_slice set, struct dm_buf *why)
{
    struct dm_json_walk walk = dm_json_walk(set);
    struct dm_slice key, jwk;
    size_t before = ring->count;
    for (size_t i = 1; dm_json_next(&walk, &key, &jwk); i++) {
        const char *wrong = i > DM_KEYS_MAX ? "is one more than the 64 there may be" : NULL;
        if (!wrong)
            wrong = add(ring, jwk);
        if (wrong) {
            dm_buf_printf(why, "key %zu %s", i, wrong);
            return false;
        }
    }
    if (ring->count == before)
        dm_buf_lit(why, "there is no key in it for RS256, ES256 or EdDSA");
    return ring->count > before;
}

int dm_jwks_read(struct dm_keyring *ring, struct dm_slice text, struct dm_buf *why)
{
    struct dm_slice set = DM_NO_SLICE;
    if (dm_json_valid(text)) {
        struct dm_slice all = dm_json_value(text);
        if (dm_json_kind(all) == DM_JSON_OBJECT)
            set = dm_json_get(all, DM_SLICE("keys"));
    }
    if (dm_json_kind(set) != DM_JSON_ARRAY) {
        dm_buf_lit(why, "it is not a JSON object with an array of keys");
        return DM_ERR_INVALID_FIELD;
    }
    ERR_set_mark();
    bool ok = read_set(ring, set, why);
    ERR_pop_to_mark();
    return ok ? DM_OK : DM_ERR_INVALID_FIELD;
}
