/*
 * Who makes a request: whose token or key it presents, or, where it presents
 * none, whom the auth hook says. Private to net/; one loop's thread.
 */
#ifndef DM_NET_IDENTIFY_H
#define DM_NET_IDENTIFY_H

#include "net/route.h"

/* What the auth hook is asked. `headers` as of dm_headers_json. */
void dm_identify_question(const struct dm_request *request, struct dm_slice headers,
                          struct dm_buf *out);

/* What comes of its answer: `status` 0 is none. DM_OK, the principal and the claims, which are out
 * of the body; DM_ERR_UNAUTHORIZED, or DM_ERR_HOOK_UNAVAILABLE. */
int dm_identify_judge(int status, struct dm_slice body, uint64_t now_wall_ms,
                      struct dm_principal *who, struct dm_slice *claims) DM_MUST_CHECK;

#endif
