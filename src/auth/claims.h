/*
 * What a verified token's claims make of its bearer (RFC 7519). Any thread.
 */
#ifndef DM_AUTH_CLAIMS_H
#define DM_AUTH_CLAIMS_H

#include "auth/auth.h"

enum { DM_TOKEN_LEEWAY_MS = 30 * 1000 };

/*
 * `claims` is a JSON object that has been validated; of a claim that is there
 * twice the last counts. DM_ERR_UNAUTHORIZED for
 *   - an `exp` or `nbf` that is no number, or is not met with the leeway;
 *   - a `userId` (where there is none: a `sub`) that is no string, blank, no
 *     valid userId, or a guest's. A bad `userId` is never made good by `sub`.
 * `scope` is a string of words; words of no meaning here, and a `scope` that is
 * no string, grant nothing.
 */
int dm_claims_read(struct dm_slice claims, uint64_t now_wall_ms,
                   struct dm_principal *out) DM_MUST_CHECK;

#endif
