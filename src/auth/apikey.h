/*
 * API keys: named secrets of trusted backends, kept and compared as SHA-256
 * digests, so that neither their bytes nor their lengths show in memory or in
 * time. Any thread may search keys that no thread changes.
 */
#ifndef DM_AUTH_APIKEY_H
#define DM_AUTH_APIKEY_H

#include <stdint.h>

#include "base/buf.h"

enum {
    DM_API_KEY_NAME_MAX = 64,
    DM_API_KEY_MIN = 16,  /* bytes of the secret */
    DM_API_KEY_MAX = 512, /* no header says more; longer credentials are not even hashed */
    DM_API_KEY_DIGEST = 32,
};

struct dm_api_key {
    uint8_t digest[DM_API_KEY_DIGEST];
    uint8_t name_len;
    char name[DM_API_KEY_NAME_MAX]; /* letters, digits, _ . - */
};

struct dm_api_keys {
    struct evp_md_st *sha256; /* fetched once: a fetch costs more than a hash */
    size_t count;
    struct dm_api_key *all;
};

/*
 * From `name=secret` entries: names and secrets unique, a secret of visible ASCII.
 * On DM_ERR_INVALID_FIELD `why` names the entry by its number only (a base64
 * secret without a name would pass for one); dispose all the same.
 */
int dm_api_keys_init(struct dm_api_keys *keys, char *const *entries, size_t count,
                     struct dm_buf *why) DM_MUST_CHECK;
void dm_api_keys_dispose(struct dm_api_keys *keys); /* zeroed keys are fine */

/* The key whose secret this is; NULL if none. Looks at all of them, whatever it finds. */
const struct dm_api_key *dm_api_keys_find(const struct dm_api_keys *keys,
                                          struct dm_slice credential);

#endif
