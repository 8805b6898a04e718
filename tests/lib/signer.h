/*
 * Key pairs made while a test runs, and tokens signed with them by OpenSSL's
 * own one-shot calls: so that the code under test is not its own judge, and
 * no private key lies in the repository.
 */
#ifndef DM_TESTS_LIB_SIGNER_H
#define DM_TESTS_LIB_SIGNER_H

#include <openssl/evp.h>

#include "base/buf.h"

enum dm_sign_how {
    DM_SIGN_JWS,    /* as RS256, ES256, EdDSA have it */
    DM_SIGN_SHA512, /* the same with SHA-512: RS512 */
    DM_SIGN_PSS,    /* PS256 */
    DM_SIGN_DER,    /* ES256 as OpenSSL has it */
};

/* "RSA-2048" (or other bits), "RSA-PSS", "P-256", "P-384", "ED25519", "X25519". Free it. */
EVP_PKEY *dm_signer_key(const char *kind);

/* Each clears `out`. The public half as PEM; as a JWK, with `more` put in front (`"kid":"a",`). */
void dm_signer_pem(struct dm_buf *out, EVP_PKEY *key);
void dm_signer_jwk(struct dm_buf *out, EVP_PKEY *key, const char *more);

void dm_signer_sign(struct dm_buf *out, EVP_PKEY *key, enum dm_sign_how how, struct dm_slice text);

/* A whole token. dm_signer_join puts `signature` behind header and payload as it is. */
void dm_signer_token(struct dm_buf *out, EVP_PKEY *key, enum dm_sign_how how, const char *header,
                     const char *payload);
void dm_signer_join(struct dm_buf *out, const char *header, const char *payload,
                    struct dm_slice signature);

#endif
