/*
 * How many WebSockets each address has open, exactly, for
 * max_connections_per_address. Shared by all loops behind a lock, which is held
 * for a look-up and only when a socket opens or ends. Private to net/; any thread.
 */
#ifndef DM_NET_CROWD_H
#define DM_NET_CROWD_H

#include "base/address.h"

struct dm_crowd;

struct dm_crowd *dm_crowd_create(uint32_t most); /* of one address */
void dm_crowd_destroy(struct dm_crowd **crowd);

/* One more of this address: its number for dm_crowd_leave, 0 where there are `most` already. */
uint32_t dm_crowd_enter(struct dm_crowd *crowd, const struct dm_address *address);
void dm_crowd_leave(struct dm_crowd *crowd, uint32_t number);

#endif
