/*
 * What a database holds, read beside the server that serves it or without one.
 * Hides SQLite; changes nothing.
 */
#ifndef DM_STORE_INSPECT_H
#define DM_STORE_INSPECT_H

#include <stdint.h>

#include "base/buf.h"

struct dm_inspection {
    uint64_t version;
    uint64_t users; /* with anything to remember: users without rows are not here */
    uint64_t sessions, pending_acks; /* rows */
    uint64_t publishes, owed; /* recorded; and pairs of an envelope and a user that it is owed to */
    uint64_t channels, members; /* channels that have members; pairs of a channel and a member */
    uint64_t bytes, free_bytes; /* of the file as the last commit has it, free pages included */
    uint64_t log_bytes;         /* of the write-ahead log */
};

/* All counts are of one moment. DM_OK, or DM_ERR_UNAVAILABLE and a sentence. */
int dm_inspect(const char *path, struct dm_inspection *out, struct dm_buf *why) DM_MUST_CHECK;

#endif
