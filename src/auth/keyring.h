/*
 * The public keys that user tokens may be signed for, and which of them a token
 * means. Any thread may verify with a ring that no thread changes.
 */
#ifndef DM_AUTH_KEYRING_H
#define DM_AUTH_KEYRING_H

#include "auth/pubkey.h"
#include "base/buf.h"

enum {
    DM_KEYS_MAX = 64,
    DM_KEYS_TRIED = 4, /* for one token that names none: 20 to 100 µs each, 0.25 ms for 8192 bits */
    DM_KID_MAX = 256,  /* bytes */
};

struct dm_keyring_entry {
    struct dm_public_key key;
    char *kid; /* NULL: it has none */
    size_t kid_len;
};

struct dm_keyring {
    size_t count;
    struct dm_keyring_entry all[DM_KEYS_MAX];
};

/*
 * Takes `pkey` over, also when it refuses it; `kid` is absent where the key has
 * none, and unique where it has one. Says what is wrong ("has …"), NULL if nothing.
 */
const char *dm_keyring_add(struct dm_keyring *ring, struct evp_pkey_st *pkey,
                           struct dm_slice kid) DM_MUST_CHECK;
void dm_keyring_dispose(struct dm_keyring *ring); /* a zeroed one is fine */

/*
 * Did one of the keys sign `text`? `alg` is what the token says, and only a key of
 * that algorithm is asked. `kid` is the token's, as the JSON string that it is:
 *   - the key of that name, and no other, whatever comes of it;
 *   - where no key has that name: the keys without a name (PEM has none);
 *   - where the token names none (absent): all keys.
 * Of several the first DM_KEYS_TRIED that such a signature can be of.
 */
bool dm_keyring_verify(const struct dm_keyring *ring, enum dm_alg alg, struct dm_slice kid,
                       struct dm_slice text, struct dm_slice signature) DM_MUST_CHECK;

#endif
