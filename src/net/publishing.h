/*
 * A publish with the request that asked for it, alive until the answer.
 * One loop's thread. Private to net/.
 */
#ifndef DM_NET_PUBLISHING_H
#define DM_NET_PUBLISHING_H

#include "hub/publish.h"
#include "net/loop.h"
#include "net/route.h"

struct dm_publishing {
    struct dm_publish publish;
    struct dm_handle handle;
    struct dm_publication from;
    struct dm_buf principal;
};

struct dm_publishing *dm_publishing_create(void);
void dm_publishing_destroy(struct dm_publishing *publishing);
static inline struct dm_publishing *dm_publishing_of(struct dm_publish *publish)
{
    return DM_CONTAINER(publish, struct dm_publishing, publish);
}

/* Keeps the request and starts; on an error it is destroyed. */
int dm_publishing_start(struct dm_request *request, struct dm_publishing *publishing) DM_MUST_CHECK;

#endif
