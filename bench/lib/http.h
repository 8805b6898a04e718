/*
 * As much HTTP/1.1 as the benches need, on both sides: where a message ends
 * (Content-Length only), and a blocking GET on a connection of its own.
 */
#ifndef DM_BENCH_HTTP_H
#define DM_BENCH_HTTP_H

#include <sys/types.h>

#include "base/buf.h"

struct dm_http_message {
    struct dm_slice head, body; /* into the bytes that were read */
};

/* The length of the request or response that `bytes` begin with, 0 while it is not all there,
 * -1 when it is none that we can read. A 101 has no body. */
ssize_t dm_http_read(struct dm_slice bytes, struct dm_http_message *message) DM_MUST_CHECK;

int dm_http_status(const struct dm_http_message *response); /* 0: not a status line */

/* The status of a GET of `path`, its body in `body`; 0 when it could not be had. */
int dm_http_get(uint16_t port, const char *path, struct dm_buf *body);

#endif
