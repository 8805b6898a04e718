/*
 * A request that stops on its way until a hook has answered, and then goes on
 * with another function. Its client may leave meanwhile. Private to net/; one
 * loop's thread.
 */
#ifndef DM_NET_PAUSE_H
#define DM_NET_PAUSE_H

#include "net/route.h"

struct dm_pause {
    struct dm_loop *loop;
    struct dm_handle handle;
    struct dm_request *request; /* a copy in the request's own memory */
    dm_request_then *then;
};

/* DM_OK: the request waits. From then on the caller's is a copy that nobody looks at. */
int dm_pause_begin(struct dm_request *request, dm_request_then *then,
                   struct dm_pause *out) DM_MUST_CHECK;

/* The request, to go on with it; NULL: it is gone. */
struct dm_request *dm_pause_end(const struct dm_pause *pause);

/* `err` is answered, or else the request goes on with `then`. It is no longer the caller's. */
void dm_request_go_on(struct dm_request *request, int err, dm_request_then *then);

#endif
