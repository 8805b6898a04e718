/*
 * HTTP requests that wait for a late answer. In h2o 2.2.5 such a request stays
 * until it is answered even if its client has left; its memory may also go
 * earlier. So it is reached by a handle with a generation, never by pointer,
 * and there is a bound on how many wait: in all (503) and for one principal
 * (429), so that one caller cannot take every place. One loop's thread.
 */
#ifndef DM_NET_KEPT_H
#define DM_NET_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/auth.h"
#include "base/metrics.h"

struct dm_kept;
struct st_h2o_req_t;

struct dm_handle {
    uint32_t place, generation;
};

/* `most` requests wait at once; `most_bytes` of large answers are on their way to clients. */
struct dm_kept *dm_kept_create(uint32_t most, uint64_t most_bytes, struct dm_metrics *metrics);
void dm_kept_destroy(struct dm_kept **kept);

/* DM_OK, DM_ERR_OVERLOADED or DM_ERR_TOO_MANY_REQUESTS. A principal may hold half of all places;
 * without one (NULL: a request that is answered soon) only the whole is bounded. */
int dm_kept_take(struct dm_kept *kept, struct st_h2o_req_t *req,
                 const struct dm_principal *principal, struct dm_handle *out) DM_MUST_CHECK;

/* The same of a request that waits for a hook: of all places half are for these at most, for a hook
 * that hangs must not take them all. DM_OK or DM_ERR_OVERLOADED. */
int dm_kept_take_for_hook(struct dm_kept *kept, struct st_h2o_req_t *req,
                          struct dm_handle *out) DM_MUST_CHECK;

/* The request, its place given back: answer it now. NULL: it is gone. */
struct st_h2o_req_t *dm_kept_answer(struct dm_kept *kept, struct dm_handle handle);
/* May it be answered with so many bytes? They count until the client has taken them. */
bool dm_kept_may_answer(struct dm_kept *kept, struct st_h2o_req_t *req,
                        uint64_t bytes) DM_MUST_CHECK;
/* How many have been answered so far. */
uint64_t dm_kept_answered(const struct dm_kept *kept);

/* Three quarters of all places are taken by requests that are answered soon: new work had better
 * wait for that. */
bool dm_kept_is_nearly_full(const struct dm_kept *kept);

/* How many wait. */
uint32_t dm_kept_count(const struct dm_kept *kept);

#endif
