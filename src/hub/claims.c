/*
 * The claims of sessions whose dialect joins channels: what their token said,
 * until they are gone or refresh it. They stay while the user sleeps, for they
 * are in no row: who resumes brings a token anew. Only of those that grant
 * something, or where the authorize hook is to be told of them.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

static struct claims *claims_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->claims, index);
}

static uint64_t hash_of(const struct dm_shard *shard, uint32_t session)
{
    return dm_hash(shard->index_key, &session, sizeof session);
}

static bool is_of(const void *context, uint32_t value, struct dm_slice key)
{
    const struct claims *claims = claims_at(context, value);
    return memcmp(&claims->session, key.at, sizeof claims->session) == 0;
}

static uint32_t find(const struct dm_shard *shard, uint32_t session)
{
    if (!shard->claims.live)
        return 0;
    return dm_index_find(&shard->claims_index, hash_of(shard, session), is_of, shard,
                         dm_slice((const char *)&session, sizeof session));
}

static void forget(struct dm_shard *shard, uint32_t index)
{
    struct claims *claims = claims_at(shard, index);
    dm_index_remove(&shard->claims_index, hash_of(shard, claims->session), index);
    free(claims->json);
    dm_slab_give(&shard->claims, index);
}

void dm_claims_set(struct dm_shard *shard, uint32_t session, struct dm_slice json)
{
    uint32_t index = find(shard, session);
    if (index)
        forget(shard, index);
    if (!json.len)
        return;
    index = dm_slab_take(&shard->claims);
    *claims_at(shard, index) =
        (struct claims){session, (uint32_t)json.len, dm_memdup(json.at, json.len)};
    dm_index_put(&shard->claims_index, hash_of(shard, session), index);
}

struct dm_slice dm_claims_of(const struct dm_shard *shard, uint32_t session)
{
    uint32_t index = find(shard, session);
    if (!index)
        return DM_NO_SLICE;
    const struct claims *claims = claims_at(shard, index);
    return dm_slice(claims->json, claims->len);
}

void dm_claims_dispose(struct dm_shard *shard)
{
    for (uint32_t i = 1; i < dm_slab_end(&shard->claims); i++) {
        struct claims *claims = dm_slab_peek(&shard->claims, i);
        if (claims && claims->json)
            free(claims->json);
    }
    dm_slab_dispose(&shard->claims);
    dm_index_dispose(&shard->claims_index);
}
