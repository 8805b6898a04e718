/*
 * An event as the sends take it, {type,data?,id?,ts?} (seed: durable-notifier):
 * read, and told of in their answers. One loop's thread. Private to net/.
 */
#ifndef DM_NET_EVENT_H
#define DM_NET_EVENT_H

#include "hub/publish.h"
#include "net/route.h"

/* The id is a label only. `channel`: absent where it is for users. */
int dm_event_read(struct dm_request *request, struct dm_slice event, struct dm_slice channel,
                  struct dm_envelope **envelope) DM_MUST_CHECK;

/* The `done` of a struct dm_publishing: answers {id,ts,members?,delivered}. */
void dm_event_sent(struct dm_publish *publish, struct dm_shard *here);

#endif
