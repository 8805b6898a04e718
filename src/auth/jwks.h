/*
 * Public keys out of a JSON Web Key Set (RFC 7517, RFC 8037). Any thread.
 */
#ifndef DM_AUTH_JWKS_H
#define DM_AUTH_JWKS_H

#include "auth/keyring.h"

/*
 * Adds the set's RSA, P-256 and Ed25519 keys. Passes over keys of another kty,
 * crv or alg, and those whose `use` or `key_ops` is not to verify. Refuses a set
 *   - of more than DM_KEYS_MAX keys, or with none that can be used;
 *   - with a private part in it: it lies where public things lie;
 *   - with a key of ours that is broken, weak, or has the kid of an earlier one.
 * On DM_ERR_INVALID_FIELD `why` says what is wrong ("key 2 is …"), without
 * a byte of the text; what came before is in the ring.
 */
int dm_jwks_read(struct dm_keyring *ring, struct dm_slice text, struct dm_buf *why) DM_MUST_CHECK;

#endif
