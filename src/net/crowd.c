/* Counts by address; an address is known for as long as it has a socket. */
#include "net/crowd.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/index.h"
#include "base/rand.h"
#include "base/slab.h"

struct member {
    uint32_t count;
    struct dm_address address;
};

struct dm_crowd {
    pthread_mutex_t lock;
    struct dm_slab members;
    struct dm_index index;
    uint64_t hash_key[2];
    uint32_t most;
};

struct dm_crowd *dm_crowd_create(uint32_t most)
{
    struct dm_crowd *crowd = DM_NEW(struct dm_crowd);
    DM_CHECK(most >= 1 && pthread_mutex_init(&crowd->lock, NULL) == 0);
    dm_slab_init(&crowd->members, sizeof(struct member));
    dm_rand_kernel(crowd->hash_key, sizeof crowd->hash_key);
    crowd->most = most;
    return crowd;
}

void dm_crowd_destroy(struct dm_crowd **at)
{
    struct dm_crowd *crowd = *at;
    if (!crowd)
        return;
    dm_slab_dispose(&crowd->members);
    dm_index_dispose(&crowd->index);
    pthread_mutex_destroy(&crowd->lock);
    free(crowd);
    *at = NULL;
}

static bool is(const void *context, uint32_t value, struct dm_slice key)
{
    const struct dm_crowd *crowd = context;
    const struct member *member = dm_slab_at(&crowd->members, value);
    return dm_slice_eq(dm_address_key(&member->address), key);
}

static uint64_t hash_of(const struct dm_crowd *crowd, struct dm_slice key)
{
    return dm_hash(crowd->hash_key, key.at, key.len);
}

static uint32_t enter(struct dm_crowd *crowd, const struct dm_address *address)
{
    struct dm_slice key = dm_address_key(address);
    uint64_t hash = hash_of(crowd, key);
    uint32_t number = dm_index_find(&crowd->index, hash, is, crowd, key);
    if (!number) {
        number = dm_slab_take(&crowd->members);
        ((struct member *)dm_slab_at(&crowd->members, number))->address = *address;
        dm_index_put(&crowd->index, hash, number);
    }
    struct member *member = dm_slab_at(&crowd->members, number);
    if (member->count >= crowd->most)
        return 0;
    member->count++;
    return number;
}

uint32_t dm_crowd_enter(struct dm_crowd *crowd, const struct dm_address *address)
{
    pthread_mutex_lock(&crowd->lock);
    uint32_t number = enter(crowd, address);
    pthread_mutex_unlock(&crowd->lock);
    return number;
}

void dm_crowd_leave(struct dm_crowd *crowd, uint32_t number)
{
    pthread_mutex_lock(&crowd->lock);
    struct member *member = dm_slab_at(&crowd->members, number);
    DM_CHECK(member->count > 0);
    if (--member->count == 0) {
        dm_index_remove(&crowd->index, hash_of(crowd, dm_address_key(&member->address)), number);
        dm_slab_give(&crowd->members, number);
    }
    pthread_mutex_unlock(&crowd->lock);
}
