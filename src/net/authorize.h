/*
 * May a user enter a channel: ports/authorize.h, by the claims and the
 * authorize hook. Private to net/; one loop's thread.
 */
#ifndef DM_NET_AUTHORIZE_H
#define DM_NET_AUTHORIZE_H

#include "ports/authorize.h"

struct dm_loop;

struct dm_authorize dm_loop_authorize(struct dm_loop *loop);

/* Are a session's claims of use later: do they grant something, or is the hook told of them? */
bool dm_loop_keeps_claims(struct dm_loop *loop, struct dm_slice claims);

/* What comes of the hook's answer; `status` 0 is none. */
int dm_authorize_judge(int status, struct dm_slice body);

#endif
