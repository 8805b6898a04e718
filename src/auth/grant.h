/*
 * Grants: the names that a user's claims let it enter, and what the authorize
 * hook's answer says of one that they do not. Any thread.
 */
#ifndef DM_AUTH_GRANT_H
#define DM_AUTH_GRANT_H

#include <stdbool.h>

#include "base/check.h"
#include "base/slice.h"

/* Do the claims (a valid JSON object, or absent) grant the name? Their `channels` is an array of
 * patterns: a name, or the beginning of names with a "*" behind it. What is no string, or no array,
 * grants nothing. */
bool dm_grant_covers(struct dm_slice claims, struct dm_slice name);

/* The body of the authorize hook's 200, any bytes: DM_OK for a JSON object whose `allow` is true,
 * DM_ERR_FORBIDDEN for any other JSON, DM_ERR_HOOK_UNAVAILABLE for what is no JSON. */
int dm_grant_read_answer(struct dm_slice body) DM_MUST_CHECK;

#endif
