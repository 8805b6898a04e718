/* Tokens for tests. Every failure of OpenSSL's is a broken test, and ends it. */
#include "lib/signer.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "codec/base64url.h"

/* Of the default 2048 bits. */
static EVP_PKEY *pss_key(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    DM_CHECK(EVP_PKEY_keygen_init(maker) == 1 && EVP_PKEY_generate(maker, &key) == 1);
    EVP_PKEY_CTX_free(maker);
    return key;
}

EVP_PKEY *dm_signer_key(const char *kind)
{
    EVP_PKEY *key;
    if (strcmp(kind, "RSA-PSS") == 0)
        return pss_key();
    if (strncmp(kind, "RSA-", 4) == 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)atoi(kind + 4));
    else if (strncmp(kind, "P-", 2) == 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, kind);
    DM_CHECK(key);
    return key;
}

void dm_signer_pem(struct dm_buf *out, EVP_PKEY *key)
{
    BIO *text = BIO_new(BIO_s_mem());
    char *at;
    DM_CHECK(PEM_write_bio_PUBKEY(text, key) == 1);
    long len = BIO_get_mem_data(text, &at);
    dm_buf_clear(out);
    dm_buf_add(out, at, (size_t)len);
    BIO_free(text);
}

static void add_number(struct dm_buf *out, const char *name, EVP_PKEY *key, const char *param,
                       int len)
{
    BIGNUM *number = NULL;
    unsigned char bytes[2048];
    DM_CHECK(EVP_PKEY_get_bn_param(key, param, &number) == 1);
    if (!len)
        len = BN_num_bytes(number);
    DM_CHECK(BN_bn2binpad(number, bytes, len) == len);
    dm_buf_printf(out, ",\"%s\":\"", name);
    dm_base64url_encode(out, bytes, (size_t)len);
    dm_buf_add_byte(out, '"');
    BN_free(number);
}

void dm_signer_jwk(struct dm_buf *out, EVP_PKEY *key, const char *more)
{
    dm_buf_clear(out);
    dm_buf_printf(out, "{%s", more);
    if (EVP_PKEY_is_a(key, "RSA")) {
        dm_buf_lit(out, "\"kty\":\"RSA\"");
        add_number(out, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
        add_number(out, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        int half = (EVP_PKEY_get_bits(key) + 7) / 8;
        dm_buf_printf(out, "\"kty\":\"EC\",\"crv\":\"P-%d\"", EVP_PKEY_get_bits(key));
        add_number(out, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, half);
        add_number(out, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, half);
    } else {
        unsigned char bytes[32];
        size_t len = sizeof bytes;
        DM_CHECK(EVP_PKEY_get_raw_public_key(key, bytes, &len) == 1);
        dm_buf_printf(out, "\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"",
                      EVP_PKEY_is_a(key, "ED25519") ? "Ed25519" : "X25519");
        dm_base64url_encode(out, bytes, len);
        dm_buf_add_byte(out, '"');
    }
    dm_buf_add_byte(out, '}');
}

static void add_raw(struct dm_buf *out, const unsigned char *der, size_t len)
{
    unsigned char raw[64];
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    DM_CHECK(pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, 32) == 32 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + 32, 32) == 32);
    ECDSA_SIG_free(pair);
    dm_buf_add(out, raw, sizeof raw);
}

void dm_signer_sign(struct dm_buf *out, EVP_PKEY *key, enum dm_sign_how how, struct dm_slice text)
{
    unsigned char bytes[2048];
    size_t len = sizeof bytes;
    EVP_PKEY_CTX *about = NULL;
    EVP_MD_CTX *work = EVP_MD_CTX_new();
    const EVP_MD *digest = how == DM_SIGN_SHA512 ? EVP_sha512() : EVP_sha256();
    if (EVP_PKEY_is_a(key, "ED25519"))
        digest = NULL;
    DM_CHECK(EVP_DigestSignInit(work, &about, digest, NULL, key) == 1);
    if (how == DM_SIGN_PSS)
        DM_CHECK(EVP_PKEY_CTX_set_rsa_padding(about, RSA_PKCS1_PSS_PADDING) == 1);
    DM_CHECK(EVP_DigestSign(work, bytes, &len, (const unsigned char *)text.at, text.len) == 1);
    EVP_MD_CTX_free(work);
    dm_buf_clear(out);
    if (EVP_PKEY_is_a(key, "EC") && how != DM_SIGN_DER)
        add_raw(out, bytes, len);
    else
        dm_buf_add(out, bytes, len);
}

static void add_text(struct dm_buf *out, const char *header, const char *payload)
{
    dm_buf_clear(out);
    dm_base64url_encode(out, header, strlen(header));
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, payload, strlen(payload));
}

void dm_signer_join(struct dm_buf *out, const char *header, const char *payload,
                    struct dm_slice signature)
{
    add_text(out, header, payload);
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, signature.at, signature.len);
}

void dm_signer_token(struct dm_buf *out, EVP_PKEY *key, enum dm_sign_how how, const char *header,
                     const char *payload)
{
    struct dm_buf signature = DM_BUF_INIT;
    add_text(out, header, payload);
    dm_signer_sign(&signature, key, how, dm_buf_slice(out));
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, signature.bytes, signature.len);
    dm_buf_dispose(&signature);
}
