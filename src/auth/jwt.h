/*
 * JSON Web Tokens in compact form, HS256, RS256, ES256 and EdDSA (RFC 7515,
 * RFC 7518, RFC 8037): the algorithm is fixed by the kind of the key, and a token
 * that names another is refused. What the claims say is auth/claims's business.
 * Any thread.
 */
#ifndef DM_AUTH_JWT_H
#define DM_AUTH_JWT_H

#include "auth/hmac.h"
#include "auth/keyring.h"
#include "base/buf.h"

enum {
    DM_TOKEN_MAX = 8 * 1024, /* bytes; a longer one is refused before any work */
    DM_SECRET_MIN = 32,      /* bytes: as long as the hash (RFC 7518 section 3.2) */
};

struct dm_jwt_keys {
    const struct dm_hmac_key *secrets; /* HS256 */
    size_t secret_count;
    const struct dm_keyring *public_keys; /* NULL: none */
};

/*
 * Checks the form, the signature, and the header: a JSON object with the alg of the
 * key that signed, and no crit. Every secret is tried; public keys are chosen by
 * kid, as auth/keyring.h says. DM_OK: `claims` holds the payload, which is a
 * JSON object (validated). Else DM_ERR_UNAUTHORIZED.
 */
int dm_jwt_verify(const struct dm_jwt_keys *keys, struct dm_slice token,
                  struct dm_buf *claims) DM_MUST_CHECK;

/* Appends a token with these claims (a JSON object). */
void dm_jwt_sign(struct dm_buf *out, const struct dm_hmac_key *key, struct dm_slice claims);

#endif
