/* Entries in a slab, found by an index, in a list by age: all are kept for the same time. */
#include "net/auth_cache.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/index.h"
#include "base/list.h"
#include "base/slab.h"

struct entry {
    uint32_t free_link; /* the slab's, while it is free */
    uint32_t self;
    struct dm_list link;
    struct dm_auth_cache_key key;
    uint64_t until; /* ms of the monotonic clock */
    struct dm_principal who;
    char *claims;
    size_t claims_len;
};

struct dm_auth_cache {
    struct dm_slab entries;
    struct dm_index index;
    struct dm_list by_age; /* the oldest first */
    uint64_t keep_ms;
};

struct dm_auth_cache *dm_auth_cache_create(uint64_t keep_ms)
{
    if (!keep_ms)
        return NULL;
    struct dm_auth_cache *cache = DM_NEW(struct dm_auth_cache);
    dm_slab_init(&cache->entries, sizeof(struct entry));
    dm_list_init(&cache->by_age);
    cache->keep_ms = keep_ms;
    return cache;
}

/* The key is a hash that nobody can choose half of: its first bytes will do. */
static uint64_t hash_of(const struct dm_auth_cache_key *key)
{
    uint64_t hash;
    memcpy(&hash, key->hash, sizeof hash);
    return hash;
}

static bool is(const void *context, uint32_t value, struct dm_slice key)
{
    const struct entry *entry = dm_slab_at(context, value);
    return memcmp(entry->key.hash, key.at, key.len) == 0;
}

static struct entry *find(struct dm_auth_cache *cache, const struct dm_auth_cache_key *key)
{
    struct dm_slice bytes = dm_slice((const char *)key->hash, sizeof key->hash);
    uint32_t found = dm_index_find(&cache->index, hash_of(key), is, &cache->entries, bytes);
    return found ? dm_slab_at(&cache->entries, found) : NULL;
}

static void forget(struct dm_auth_cache *cache, struct entry *entry)
{
    dm_list_unlink(&entry->link);
    dm_index_remove(&cache->index, hash_of(&entry->key), entry->self);
    explicit_bzero(entry->claims, entry->claims_len);
    free(entry->claims);
    dm_slab_give(&cache->entries, entry->self);
}

static struct entry *oldest(struct dm_auth_cache *cache)
{
    return DM_CONTAINER(cache->by_age.next, struct entry, link);
}

void dm_auth_cache_destroy(struct dm_auth_cache **at)
{
    struct dm_auth_cache *cache = *at;
    if (!cache)
        return;
    while (!dm_list_empty(&cache->by_age))
        forget(cache, oldest(cache));
    dm_slab_dispose(&cache->entries);
    dm_index_dispose(&cache->index);
    free(cache);
    *at = NULL;
}

bool dm_auth_cache_find(struct dm_auth_cache *cache, const struct dm_auth_cache_key *key,
                        uint64_t now_mono_ms, uint64_t now_wall_ms, struct dm_principal *who,
                        struct dm_slice *claims)
{
    struct entry *entry = find(cache, key);
    if (!entry || now_mono_ms >= entry->until ||
        (entry->who.expires_ms && now_wall_ms >= entry->who.expires_ms))
        return false;
    *who = entry->who;
    *claims = dm_slice(entry->claims, entry->claims_len);
    return true;
}

void dm_auth_cache_put(struct dm_auth_cache *cache, const struct dm_auth_cache_key *key,
                       uint64_t now_mono_ms, const struct dm_principal *who, struct dm_slice claims)
{
    struct entry *known = find(cache, key);
    if (known)
        forget(cache, known);
    while (!dm_list_empty(&cache->by_age) && (cache->entries.live >= DM_AUTH_CACHE_ENTRIES_MAX ||
                                              now_mono_ms >= oldest(cache)->until))
        forget(cache, oldest(cache));
    if (claims.len > DM_AUTH_CACHE_CLAIMS_MAX)
        return;
    uint32_t number = dm_slab_take(&cache->entries);
    struct entry *entry = dm_slab_at(&cache->entries, number);
    *entry = (struct entry){.self = number,
                            .key = *key,
                            .until = now_mono_ms + cache->keep_ms,
                            .who = *who,
                            .claims = dm_memdup(claims.at, claims.len),
                            .claims_len = claims.len};
    dm_list_push(&cache->by_age, &entry->link);
    dm_index_put(&cache->index, hash_of(key), number);
}
