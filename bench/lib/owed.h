/*
 * What resumed sessions are owed: every envelope of dm_rows_fill must come
 * marked as redelivered, once, in order, behind the welcome, and to a session
 * of the user it is owed to.
 */
#ifndef DM_BENCH_OWED_H
#define DM_BENCH_OWED_H

#include "lib/rows.h"
#include "lib/session.h"

struct dm_owed {
    const struct dm_rows *rows;
    uint32_t *least;  /* of each user: the smallest number that may still come */
    uint32_t came;    /* of rows->owed */
    uint64_t last_us; /* when the last of them did; monotonic */
};

/* `rows` stay the caller's, for as long. */
void dm_owed_init(struct dm_owed *owed, const struct dm_rows *rows);
void dm_owed_dispose(struct dm_owed *owed);

/* Whether `text` is a redelivered envelope; if it is, it is counted in load->owed, or was wrong and
 * the load has failed. */
bool dm_owed_take(struct dm_load *load, const struct dm_session *session, struct dm_slice text);

/* Until all have come. 0, or -1 with the reason in load->failure. */
int dm_owed_wait(struct dm_load *load) DM_MUST_CHECK;

#endif
