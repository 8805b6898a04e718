/* Public keys through OpenSSL's EVP. Hides which signature each wants, and keeps the thread's
 * queue of OpenSSL errors as it was: TLS on the same thread reads it. */
#include "auth/pubkey.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

enum {
    HALF = 32,    /* r or s of P-256 */
    DER_MAX = 72, /* a sequence of two integers of at most 33 bytes */
};

const char *dm_alg_name(enum dm_alg alg)
{
    static const char *const names[] = {
        [DM_ALG_RS256] = "RS256",
        [DM_ALG_ES256] = "ES256",
        [DM_ALG_EDDSA] = "EdDSA",
    };
    return names[alg];
}

static bool bignum_ok(const EVP_PKEY *pkey, const char *name, int bits_max)
{
    BIGNUM *number = NULL;
    bool ok = EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_is_odd(number) &&
              !BN_is_one(number) && BN_num_bits(number) <= bits_max;
    BN_free(number);
    return ok;
}

static const char *take_rsa(struct dm_public_key *key)
{
    int bits = EVP_PKEY_get_bits(key->pkey);
    if (bits < DM_RSA_BITS_MIN)
        return "is an RSA key of less than 2048 bits";
    if (bits > DM_RSA_BITS_MAX)
        return "is an RSA key of more than 8192 bits";
    /* A large exponent makes each verification slow; nobody has one. */
    if (!bignum_ok(key->pkey, OSSL_PKEY_PARAM_RSA_E, 31) ||
        !bignum_ok(key->pkey, OSSL_PKEY_PARAM_RSA_N, DM_RSA_BITS_MAX))
        return "is an RSA key with an impossible modulus or exponent";
    key->alg = DM_ALG_RS256;
    key->signature_len = ((size_t)bits + 7) / 8;
    return NULL;
}

static const char *take_ec(struct dm_public_key *key)
{
    char curve[32];
    size_t len = 0;
    int spelt_out = 0;
    if (EVP_PKEY_get_int_param(key->pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS,
                               &spelt_out) != 1 ||
        spelt_out)
        return "is an EC key that spells out its curve instead of naming it";
    if (EVP_PKEY_get_group_name(key->pkey, curve, sizeof curve, &len) != 1 ||
        !dm_slice_eq(dm_slice(curve, len), DM_SLICE("prime256v1")))
        return "is an EC key on another curve than P-256";
    key->alg = DM_ALG_ES256;
    key->signature_len = (size_t)2 * HALF;
    return NULL;
}

static const char *take(struct dm_public_key *key)
{
    if (EVP_PKEY_is_a(key->pkey, "RSA")) /* RSA-PSS is another type */
        return take_rsa(key);
    if (EVP_PKEY_is_a(key->pkey, "EC"))
        return take_ec(key);
    if (!EVP_PKEY_is_a(key->pkey, "ED25519"))
        return "is neither RSA nor P-256 nor Ed25519";
    key->alg = DM_ALG_EDDSA;
    key->signature_len = 64;
    return NULL;
}

const char *dm_public_key_init(struct dm_public_key *key, struct evp_pkey_st *pkey)
{
    *key = (struct dm_public_key){.pkey = pkey};
    ERR_set_mark();
    const char *wrong = take(key);
    ERR_pop_to_mark();
    if (wrong)
        dm_public_key_dispose(key);
    return wrong;
}

void dm_public_key_dispose(struct dm_public_key *key)
{
    EVP_PKEY_free(key->pkey);
    *key = (struct dm_public_key){0};
}

/* r and s as DER, which is what OpenSSL takes; 0 when that cannot be. */
static size_t to_der(struct dm_slice raw, unsigned char der[DER_MAX])
{
    const unsigned char *at = (const unsigned char *)raw.at;
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(at, HALF, NULL), *s = BN_bin2bn(at + HALF, HALF, NULL);
    DM_CHECK(pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1);
    int len = i2d_ECDSA_SIG(pair, NULL);
    if (len > 0 && len <= DER_MAX)
        len = i2d_ECDSA_SIG(pair, &der);
    else
        len = 0;
    ECDSA_SIG_free(pair);
    return len > 0 ? (size_t)len : 0;
}

static bool start(EVP_MD_CTX *work, const struct dm_public_key *key)
{
    EVP_PKEY_CTX *about = NULL; /* belongs to `work` */
    const EVP_MD *digest = key->alg == DM_ALG_EDDSA ? NULL : EVP_sha256();
    if (EVP_DigestVerifyInit(work, &about, digest, NULL, key->pkey) != 1)
        return false;
    return key->alg != DM_ALG_RS256 || EVP_PKEY_CTX_set_rsa_padding(about, RSA_PKCS1_PADDING) == 1;
}

bool dm_public_key_verify(const struct dm_public_key *key, struct dm_slice text,
                          struct dm_slice signature)
{
    unsigned char der[DER_MAX];
    if (signature.len != key->signature_len)
        return false;
    if (key->alg == DM_ALG_ES256)
        signature = dm_slice((const char *)der, to_der(signature, der));
    EVP_MD_CTX *work = EVP_MD_CTX_new();
    DM_CHECK(work);
    ERR_set_mark();
    bool ok = signature.len > 0 && start(work, key) &&
              EVP_DigestVerify(work, (const unsigned char *)signature.at, signature.len,
                               (const unsigned char *)text.at, text.len) == 1;
    ERR_pop_to_mark();
    EVP_MD_CTX_free(work);
    return ok;
}
