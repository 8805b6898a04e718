/* The life of a publish that came over HTTP. */
#include "net/publishing.h"

#include <stdlib.h>

#include "base/alloc.h"

struct dm_publishing *dm_publishing_create(void)
{
    return DM_NEW(struct dm_publishing);
}

void dm_publishing_destroy(struct dm_publishing *publishing)
{
    dm_publish_dispose(&publishing->publish);
    dm_publication_dispose(&publishing->from);
    dm_buf_dispose(&publishing->principal);
    free(publishing);
}

int dm_publishing_start(struct dm_request *request, struct dm_publishing *publishing)
{
    enum dm_keep how = publishing->publish.timeout_ms ? DM_KEEP_LONG : DM_KEEP_SHORT;
    int err = dm_request_keep(request, how, &publishing->handle);
    if (err) {
        dm_publishing_destroy(publishing);
        return err;
    }
    dm_publish(dm_loop_shard(request->loop), &publishing->publish);
    return DM_OK;
}
