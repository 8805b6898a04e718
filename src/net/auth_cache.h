/*
 * Who the auth hook has said that somebody is, for a short while: found by a
 * hash of the headers that the hook was shown. Knows no refusals. Bounded; one
 * loop's thread.
 */
#ifndef DM_NET_AUTH_CACHE_H
#define DM_NET_AUTH_CACHE_H

#include "auth/auth.h"
#include "codec/sha256.h"

enum {
    DM_AUTH_CACHE_ENTRIES_MAX = 4096,    /* of more the oldest is forgotten */
    DM_AUTH_CACHE_CLAIMS_MAX = 4 * 1024, /* bytes; a larger answer is not kept */
};

struct dm_auth_cache;
struct dm_auth_cache_key {
    unsigned char hash[DM_SHA256_LEN];
};

struct dm_auth_cache *dm_auth_cache_create(uint64_t keep_ms); /* NULL where that is 0 */
void dm_auth_cache_destroy(struct dm_auth_cache **cache);

/* False: not known, or no more. `claims` are good until the next call. */
bool dm_auth_cache_find(struct dm_auth_cache *cache, const struct dm_auth_cache_key *key,
                        uint64_t now_mono_ms, uint64_t now_wall_ms, struct dm_principal *who,
                        struct dm_slice *claims);
void dm_auth_cache_put(struct dm_auth_cache *cache, const struct dm_auth_cache_key *key,
                       uint64_t now_mono_ms, const struct dm_principal *who,
                       struct dm_slice claims);

#endif
