/* HMAC through OpenSSL's EVP_MAC. Its calls fail only when memory runs out or the library has
 * no SHA-256: both end the process. */
#include "auth/hmac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "base/check.h"

void dm_hmac_key_init(struct dm_hmac_key *key, struct dm_slice secret)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    DM_CHECK(mac);
    key->ready = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    DM_CHECK(key->ready);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    DM_CHECK(EVP_MAC_init(key->ready, (const uint8_t *)secret.at, secret.len, params) == 1);
}

void dm_hmac_key_dispose(struct dm_hmac_key *key)
{
    EVP_MAC_CTX_free(key->ready); /* OpenSSL clears what it frees of a key */
    key->ready = NULL;
}

void dm_hmac(const struct dm_hmac_key *key, struct dm_slice text, uint8_t out[DM_HMAC_LEN])
{
    EVP_MAC_CTX *work = EVP_MAC_CTX_dup(key->ready);
    size_t len = 0;
    DM_CHECK(work && EVP_MAC_update(work, (const uint8_t *)text.at, text.len) == 1);
    DM_CHECK(EVP_MAC_final(work, out, &len, DM_HMAC_LEN) == 1 && len == DM_HMAC_LEN);
    EVP_MAC_CTX_free(work);
}
