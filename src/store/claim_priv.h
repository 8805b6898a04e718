/*
 * The claim on a database file: that it is there, and that this process alone
 * serves it. SQLite's own locks cannot say the second, for every connection of
 * this process takes them too.
 */
#ifndef DM_STORE_CLAIM_PRIV_H
#define DM_STORE_CLAIM_PRIV_H

#include "base/buf.h"

struct dm_claim {
    char *path; /* absolute, without symbolic links */
    int lock;   /* the descriptor that holds the lock on "<path>.lock" */
};

/* DM_OK, or DM_ERR_UNAVAILABLE (DM_ERR_CONFLICT: another process serves it) and a sentence. */
int dm_claim_take(struct dm_claim *claim, const char *path, struct dm_buf *why) DM_MUST_CHECK;
void dm_claim_drop(struct dm_claim *claim);

#endif
