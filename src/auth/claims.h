/*
 * What a verified token's claims make of its bearer (RFC 7519). Any thread.
 */
#ifndef DM_AUTH_CLAIMS_H
#define DM_AUTH_CLAIMS_H

#include "auth/auth.h"

enum { DM_TOKEN_LEEWAY_MS = 30 * 1000 };

/* Who a token must be from and for; of nothing in a list, anybody. */
struct dm_claims_rule {
    char **issuers, **audiences;
    size_t issuer_count, audience_count;
};

/*
 * `claims` is a JSON object that has been validated; of a claim that is there
 * twice the last counts. DM_ERR_UNAUTHORIZED for
 *   - an `exp` or `nbf` that is no number, or is not met with the leeway;
 *   - a `userId` (where there is none: a `sub`) that is no string, blank, no
 *     valid userId, or a guest's. A bad `userId` is never made good by `sub`;
 *   - an `iss` that is not one of the rule's, where it has some;
 *   - an `aud` (a string, or an array of strings) with none of the rule's in it, where
 *     it has some.
 * `scope` is a string of words; words of no meaning here, and a `scope` that is
 * no string, grant nothing.
 */
int dm_claims_read(struct dm_slice claims, const struct dm_claims_rule *rule, uint64_t now_wall_ms,
                   struct dm_principal *out) DM_MUST_CHECK;

/*
 * The same of the body of the auth hook's 200, any bytes: {"userId", "scope"?, "expiresAt"?, …}.
 * `claims` gets the object, out of it. `expiresAt` is in seconds since 1970, or in milliseconds
 * where it is above 1e11; one that is over is DM_ERR_UNAUTHORIZED. An `expiresAt` or `scope` that
 * is null counts as absent. What is no JSON object, has no valid userId, or an `expiresAt` that is
 * no number, is DM_ERR_HOOK_UNAVAILABLE: whoever wrote the hook is to mend it.
 */
int dm_claims_read_answer(struct dm_slice body, uint64_t now_wall_ms, struct dm_principal *out,
                          struct dm_slice *claims) DM_MUST_CHECK;

#endif
