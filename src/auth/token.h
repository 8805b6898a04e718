/*
 * Mints user tokens (HS256), for the command line and for tests. Any thread.
 */
#ifndef DM_AUTH_TOKEN_H
#define DM_AUTH_TOKEN_H

#include <stdint.h>

#include "base/buf.h"

struct dm_token {
    struct dm_slice user_id;          /* valid UTF-8 */
    unsigned scopes;                  /* DM_SCOPE_… */
    uint64_t issued_ms;               /* wall clock */
    uint64_t expires_ms;              /* wall clock; 0: never */
    struct dm_slice issuer, audience; /* valid UTF-8; absent: no such claim */
};

/* Appends the token, with the claims userId, scope, iat, exp, iss and aud. */
void dm_token_sign(struct dm_buf *out, struct dm_slice secret, const struct dm_token *token);

#endif
