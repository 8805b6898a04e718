/*
 * How the hub has a token looked at that a client brings on its open socket.
 * Called on the shard's thread.
 */
#ifndef DM_PORTS_VERIFY_H
#define DM_PORTS_VERIFY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"

struct dm_verify {
    void *self;

    /* DM_OK where the token is good and the user's; `expires_ms` gets its end by the wall clock, 0
     * where it has none; `may_publish` whether it has the scope; to `claims` is appended the JSON
     * object of its claims (NULL: not wanted). `sock` is the sink's number of the
     * socket that it came on: tokens that are bad are counted for its peer, and after too many none
     * is looked at. */
    int (*token)(void *self, uint32_t sock, struct dm_slice token, struct dm_slice user_id,
                 uint64_t *expires_ms, bool *may_publish, struct dm_buf *claims) DM_MUST_CHECK;
};

#endif
