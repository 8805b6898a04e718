/* Places of waiting requests, found by handle, counted by principal. */
#include "net/kept.h"

#include <stdlib.h>

#include <h2o.h>

#include "base/alloc.h"
#include "base/index.h"
#include "base/rand.h"
#include "base/slab.h"

struct place {
    uint32_t holder; /* struct holder, or 0; first, for a free place has no generation */
    uint32_t generation;
    h2o_req_t *req;
    bool for_hook;
};

/* A principal with requests waiting. */
struct holder {
    uint32_t count;
    uint32_t key_len;
    char key[1 + DM_USER_ID_MAX]; /* its kind, then its id */
};

struct dm_kept {
    struct dm_slab places, holders;
    struct dm_index index;
    uint64_t index_key[2];
    uint32_t most, next_generation;
    uint32_t long_count; /* places with a holder */
    uint32_t hook_count;
    uint64_t answered;
    uint64_t bytes, most_bytes; /* of large answers that are not taken yet */
    struct dm_metrics *metrics;
};

enum { LARGE_ANSWER = 64 * 1024 };

/* What h2o disposes with the request's pool: clears the place, wherever the request ends. */
struct reminder {
    struct dm_kept *kept;
    struct dm_handle handle;
};

struct dm_kept *dm_kept_create(uint32_t most, uint64_t most_bytes, struct dm_metrics *metrics)
{
    struct dm_kept *kept = DM_NEW(struct dm_kept);
    dm_slab_init(&kept->places, sizeof(struct place));
    dm_slab_init(&kept->holders, (sizeof(struct holder) + 3) / 4 * 4);
    dm_rand_kernel(kept->index_key, sizeof kept->index_key);
    kept->most = most;
    kept->most_bytes = most_bytes;
    kept->metrics = metrics;
    return kept;
}

void dm_kept_destroy(struct dm_kept **at)
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

static uint64_t hash_of(const struct dm_kept *kept, struct dm_slice key)
{
    return dm_hash(kept->index_key, key.at, key.len);
}

static struct dm_slice key_of(const struct dm_principal *principal, char key[1 + DM_USER_ID_MAX])
{
    key[0] = (char)('0' + (int)principal->kind);
    memcpy(key + 1, principal->id, principal->id_len);
    return dm_slice(key, 1u + principal->id_len);
}

static uint32_t holder_for(struct dm_kept *kept, struct dm_slice key)
{
    uint64_t hash = hash_of(kept, key);
    uint32_t found = dm_index_find(&kept->index, hash, has_key, &kept->holders, key);
    if (found)
        return found;
    found = dm_slab_take(&kept->holders);
    struct holder *holder = dm_slab_at(&kept->holders, found);
    holder->key_len = (uint32_t)key.len;
    memcpy(holder->key, key.at, key.len);
    dm_index_put(&kept->index, hash, found);
    return found;
}

static void leave(struct dm_kept *kept, uint32_t index)
{
    struct holder *holder = dm_slab_at(&kept->holders, index);
    kept->long_count--;
    if (--holder->count)
        return;
    dm_index_remove(&kept->index, hash_of(kept, dm_slice(holder->key, holder->key_len)), index);
    dm_slab_give(&kept->holders, index);
}

static int take_share(struct dm_kept *kept, const struct dm_principal *principal,
                      uint32_t *holder_index)
{
    char bytes[1 + DM_USER_ID_MAX];
    *holder_index = holder_for(kept, key_of(principal, bytes));
    struct holder *holder = dm_slab_at(&kept->holders, *holder_index);
    if (holder->count && holder->count >= kept->most / 2)
        return DM_ERR_TOO_MANY_REQUESTS;
    holder->count++;
    kept->long_count++;
    return DM_OK;
}

static void forget(void *memory)
{
    struct reminder *reminder = memory;
    (void)dm_kept_answer(reminder->kept, reminder->handle);
}

static void take_place(struct dm_kept *kept, struct place place, struct dm_handle *out)
{
    h2o_req_t *req = place.req;
    out->place = dm_slab_take(&kept->places);
    out->generation = ++kept->next_generation ? kept->next_generation : ++kept->next_generation;
    place.generation = out->generation;
    *(struct place *)dm_slab_at(&kept->places, out->place) = place;
    struct reminder *reminder = h2o_mem_alloc_shared(&req->pool, sizeof *reminder, forget);
    *reminder = (struct reminder){kept, *out};
    dm_metrics_set(kept->metrics, DM_METRIC_HTTP_PENDING, kept->places.live);
}

int dm_kept_take(struct dm_kept *kept, h2o_req_t *req, const struct dm_principal *principal,
                 struct dm_handle *out)
{
    uint32_t index = 0;
    if (kept->places.live >= kept->most)
        return DM_ERR_OVERLOADED;
    if (principal && take_share(kept, principal, &index) != DM_OK)
        return DM_ERR_TOO_MANY_REQUESTS;
    take_place(kept, (struct place){.holder = index, .req = req}, out);
    return DM_OK;
}

int dm_kept_take_for_hook(struct dm_kept *kept, h2o_req_t *req, struct dm_handle *out)
{
    bool too_many = kept->hook_count && kept->hook_count >= kept->most / 2;
    if (kept->places.live >= kept->most || too_many)
        return DM_ERR_OVERLOADED;
    kept->hook_count++;
    take_place(kept, (struct place){.req = req, .for_hook = true}, out);
    return DM_OK;
}

h2o_req_t *dm_kept_answer(struct dm_kept *kept, struct dm_handle handle)
{
    struct place *place = dm_slab_peek(&kept->places, handle.place);
    if (!place || place->generation != handle.generation)
        return NULL;
    h2o_req_t *req = place->req;
    kept->answered++;
    if (place->holder)
        leave(kept, place->holder);
    kept->hook_count -= place->for_hook;
    dm_slab_give(&kept->places, handle.place);
    dm_metrics_set(kept->metrics, DM_METRIC_HTTP_PENDING, kept->places.live);
    return req;
}

/* As h2o disposes of it, with the request's pool. */
struct answer_bytes {
    struct dm_kept *kept;
    uint64_t bytes;
};

static void forget_bytes(void *self)
{
    const struct answer_bytes *answer = self;
    answer->kept->bytes -= answer->bytes;
}

bool dm_kept_may_answer(struct dm_kept *kept, h2o_req_t *req, uint64_t bytes)
{
    if (bytes < LARGE_ANSWER)
        return true;
    if (kept->bytes + bytes > kept->most_bytes)
        return false;
    struct answer_bytes *answer = h2o_mem_alloc_shared(&req->pool, sizeof *answer, forget_bytes);
    *answer = (struct answer_bytes){kept, bytes};
    kept->bytes += bytes;
    return true;
}

bool dm_kept_is_nearly_full(const struct dm_kept *kept)
{
    return kept->places.live - kept->long_count - kept->hook_count >= kept->most - kept->most / 4;
}

uint32_t dm_kept_count(const struct dm_kept *kept)
{
    return kept->places.live;
}

uint64_t dm_kept_answered(const struct dm_kept *kept)
{
    return kept->answered;
}
