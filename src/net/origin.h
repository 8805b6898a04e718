/*
 * Where a page that makes a request is from, as its browser says (Origin). Any
 * thread.
 */
#ifndef DM_NET_ORIGIN_H
#define DM_NET_ORIGIN_H

#include "base/slice.h"
#include "net/server.h"

/* Is it in cors_origins? */
bool dm_origin_is_listed(const struct dm_server_options *options, struct dm_slice origin);

/* Is it this server's own, as the request's Host names it? The scheme does not matter, for TLS may
 * end at a proxy; a port that is the origin's standard one may be left out of either. */
bool dm_origin_is_own(struct dm_slice origin, struct dm_slice host);

#endif
