/*
 * HTTP requests that wait for a late answer. In h2o 2.2.5 such a request stays
 * until it is answered even if its client has left; its memory may also go
 * earlier. So it is reached by a handle with a generation, never by pointer,
 * and there is a bound on how many wait: in all (503) and for one principal
 * (429), so that one caller cannot take every place. One loop's thread.
 */
#ifndef DM_NET_PENDING_H
#define DM_NET_PENDING_H

#include <stdint.h>

#include "auth/auth.h"
#include "base/metrics.h"

struct dm_pendings;
struct st_h2o_req_t;

struct dm_handle {
    uint32_t place, generation;
};

struct dm_pendings *dm_pendings_create(uint32_t most, struct dm_metrics *metrics);
void dm_pendings_destroy(struct dm_pendings **pendings);

/* DM_OK, DM_ERR_OVERLOADED or DM_ERR_TOO_MANY_REQUESTS. An API key may hold half of all places, a
 * user (or nobody: NULL) a sixteenth. */
int dm_pending_take(struct dm_pendings *pendings, struct st_h2o_req_t *req,
                    const struct dm_principal *principal, struct dm_handle *out) DM_MUST_CHECK;

/* The request, its place given back: answer it now. NULL: it is gone. */
struct st_h2o_req_t *dm_pending_answer(struct dm_pendings *pendings, struct dm_handle handle);

#endif
