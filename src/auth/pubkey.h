/*
 * One public key that user tokens may be signed for. Its algorithm follows from
 * what it is, and is never a caller's or a token's choice: RSA is RS256, P-256 is
 * ES256, Ed25519 is EdDSA (RFC 7518, RFC 8037). Any thread may verify with a key
 * that no thread changes.
 */
#ifndef DM_AUTH_PUBKEY_H
#define DM_AUTH_PUBKEY_H

#include "base/check.h"
#include "base/slice.h"

enum { DM_RSA_BITS_MIN = 2048, DM_RSA_BITS_MAX = 8192 };

enum dm_alg { DM_ALG_RS256, DM_ALG_ES256, DM_ALG_EDDSA, DM_ALG_COUNT };

struct dm_public_key {
    struct evp_pkey_st *pkey;
    enum dm_alg alg;
    size_t signature_len; /* every signature has exactly so many bytes */
};

const char *dm_alg_name(enum dm_alg alg); /* as `alg` in a token's header has it */

/*
 * Takes `pkey` over, also when it refuses it: an algorithm that is none of ours, an RSA
 * key outside of the bounds or with an odd exponent, a curve that is spelt out.
 * Says what is wrong ("is …"), NULL if nothing.
 */
const char *dm_public_key_init(struct dm_public_key *key, struct evp_pkey_st *pkey) DM_MUST_CHECK;
void dm_public_key_dispose(struct dm_public_key *key);

/* `signature` as JWS has it: of ES256 r and s, 32 bytes each. */
bool dm_public_key_verify(const struct dm_public_key *key, struct dm_slice text,
                          struct dm_slice signature) DM_MUST_CHECK;

#endif
