/*
 * JSON Web Tokens in compact form, HS256 and nothing else (RFC 7515): the
 * algorithm is fixed by the kind of the key, and a token that names another is
 * refused. What the claims say is auth/claims's business. Any thread.
 */
#ifndef DM_AUTH_JWT_H
#define DM_AUTH_JWT_H

#include "auth/hmac.h"
#include "base/buf.h"

enum {
    DM_TOKEN_MAX = 8 * 1024, /* bytes; a longer one is refused before any work */
    DM_SECRET_MIN = 32,      /* bytes: as long as the hash (RFC 7518 section 3.2) */
};

/*
 * Checks the form, the signature against every key, and the header: a JSON
 * object with alg "HS256" and no crit. DM_OK: `claims` holds the payload, which
 * is a JSON object (validated). Else DM_ERR_UNAUTHORIZED.
 */
int dm_jwt_verify(const struct dm_hmac_key *keys, size_t key_count, struct dm_slice token,
                  struct dm_buf *claims) DM_MUST_CHECK;

/* Appends a token with these claims (a JSON object). */
void dm_jwt_sign(struct dm_buf *out, const struct dm_hmac_key *key, struct dm_slice claims);

#endif
