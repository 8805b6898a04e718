/* Places of waiting requests, found by handle, counted by principal. */
#include "net/pending.h"

#include <stdlib.h>

#include <h2o.h>

#include "base/alloc.h"
#include "base/index.h"
#include "base/rand.h"
#include "base/slab.h"

struct place {
    uint32_t holder; /* struct holder; first, for a free place has no generation */
    uint32_t generation;
    h2o_req_t *req;
};

/* A principal with requests waiting. */
struct holder {
    uint32_t count;
    uint32_t key_len;
    char key[1 + DM_USER_ID_MAX]; /* its kind, then its id */
};

struct dm_pendings {
    struct dm_slab places, holders;
    struct dm_index index;
    uint64_t index_key[2];
    uint32_t most, next_generation;
    struct dm_metrics *metrics;
};

/* What h2o disposes with the request's pool: clears the place, wherever the request ends. */
struct reminder {
    struct dm_pendings *pendings;
    struct dm_handle handle;
};

struct dm_pendings *dm_pendings_create(uint32_t most, struct dm_metrics *metrics)
{
    struct dm_pendings *pendings = DM_NEW(struct dm_pendings);
    dm_slab_init(&pendings->places, sizeof(struct place));
    dm_slab_init(&pendings->holders, (sizeof(struct holder) + 3) / 4 * 4);
    dm_rand_kernel(pendings->index_key, sizeof pendings->index_key);
    pendings->most = most;
    pendings->metrics = metrics;
    return pendings;
}

void dm_pendings_destroy(struct dm_pendings **at)
{
    if (!*at)
        return;
    dm_slab_dispose(&(*at)->places);
    dm_slab_dispose(&(*at)->holders);
    dm_index_dispose(&(*at)->index);
    free(*at);
    *at = NULL;
}

static bool has_key(const void *context, uint32_t value, struct dm_slice key)
{
    const struct holder *holder = dm_slab_at(context, value);
    return dm_slice_eq(dm_slice(holder->key, holder->key_len), key);
}

static uint64_t hash_of(const struct dm_pendings *pendings, struct dm_slice key)
{
    return dm_hash(pendings->index_key, key.at, key.len);
}

static struct dm_slice key_of(const struct dm_principal *principal, char key[1 + DM_USER_ID_MAX])
{
    key[0] = principal ? (char)('1' + (int)principal->kind) : '0';
    size_t len = principal ? principal->id_len : 0;
    if (len)
        memcpy(key + 1, principal->id, len);
    return dm_slice(key, 1 + len);
}

static uint32_t holder_for(struct dm_pendings *pendings, struct dm_slice key)
{
    uint64_t hash = hash_of(pendings, key);
    uint32_t found = dm_index_find(&pendings->index, hash, has_key, &pendings->holders, key);
    if (found)
        return found;
    found = dm_slab_take(&pendings->holders);
    struct holder *holder = dm_slab_at(&pendings->holders, found);
    holder->key_len = (uint32_t)key.len;
    memcpy(holder->key, key.at, key.len);
    dm_index_put(&pendings->index, hash, found);
    return found;
}

static void leave(struct dm_pendings *pendings, uint32_t index)
{
    struct holder *holder = dm_slab_at(&pendings->holders, index);
    if (--holder->count)
        return;
    dm_index_remove(&pendings->index, hash_of(pendings, dm_slice(holder->key, holder->key_len)),
                    index);
    dm_slab_give(&pendings->holders, index);
}

static uint32_t most_for(const struct dm_pendings *pendings, const struct dm_principal *principal)
{
    uint32_t share = principal && principal->kind == DM_PRINCIPAL_KEY ? 2 : 16;
    return pendings->most / share ? pendings->most / share : 1;
}

static void forget(void *memory)
{
    struct reminder *reminder = memory;
    (void)dm_pending_answer(reminder->pendings, reminder->handle);
}

int dm_pending_take(struct dm_pendings *pendings, h2o_req_t *req,
                    const struct dm_principal *principal, struct dm_handle *out)
{
    char bytes[1 + DM_USER_ID_MAX];
    if (pendings->places.live >= pendings->most)
        return DM_ERR_OVERLOADED;
    uint32_t index = holder_for(pendings, key_of(principal, bytes));
    struct holder *holder = dm_slab_at(&pendings->holders, index);
    if (holder->count >= most_for(pendings, principal))
        return DM_ERR_TOO_MANY_REQUESTS;
    holder->count++;
    out->place = dm_slab_take(&pendings->places);
    out->generation =
        ++pendings->next_generation ? pendings->next_generation : ++pendings->next_generation;
    *(struct place *)dm_slab_at(&pendings->places, out->place) =
        (struct place){index, out->generation, req};
    struct reminder *reminder = h2o_mem_alloc_shared(&req->pool, sizeof *reminder, forget);
    *reminder = (struct reminder){pendings, *out};
    dm_metrics_set(pendings->metrics, DM_METRIC_HTTP_PENDING, pendings->places.live);
    return DM_OK;
}

h2o_req_t *dm_pending_answer(struct dm_pendings *pendings, struct dm_handle handle)
{
    struct place *place = dm_slab_peek(&pendings->places, handle.place);
    if (!place || place->generation != handle.generation)
        return NULL;
    h2o_req_t *req = place->req;
    leave(pendings, place->holder);
    dm_slab_give(&pendings->places, handle.place);
    dm_metrics_set(pendings->metrics, DM_METRIC_HTTP_PENDING, pendings->places.live);
    return req;
}
