/*
 * How every answer is written: status, body, CORS headers. Private to net/.
 */
#ifndef DM_NET_REPLY_H
#define DM_NET_REPLY_H

#include <h2o.h>

#include "base/metrics.h"
#include "base/slice.h"
#include "net/server.h"

void dm_reply_header(h2o_req_t *req, const char *lower_name, struct dm_slice value);
void dm_reply_cors(h2o_req_t *req, const struct dm_server_options *options);

/* `content_type` NULL: no body, and no header that speaks of one. Copies the body. */
void dm_reply_raw(h2o_req_t *req, int status, const char *content_type, struct dm_slice body);

/* {"error","code"}, with CORS, Allow and the like set by the caller before. */
void dm_reply_raw_error(h2o_req_t *req, const struct dm_server_options *options, int err,
                        struct dm_slice why);

/* Turns the plain-text errors that h2o makes by itself (413, 417, broken bodies) into ours, and
 * counts them. */
void dm_reply_own_errors(h2o_hostconf_t *host, const struct dm_server_options *options,
                         struct dm_metrics *metrics);

#endif
