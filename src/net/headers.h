/*
 * A request's headers as JSON, for hooks. Private to net/.
 */
#ifndef DM_NET_HEADERS_H
#define DM_NET_HEADERS_H

#include "base/buf.h"
#include "net/route.h"

/* Appends an object of lower-case names, `but` left out. What comes several times is joined by ", "
 * (cookies, which may hold commas, by "; "). */
void dm_headers_json(const struct dm_request *request, struct dm_slice but, struct dm_buf *out);

/* Appends any bytes as a string: UTF-8, or what is none of it as Latin-1. */
void dm_headers_text(struct dm_slice text, struct dm_buf *out);

#endif
