/*
 * POST /publish (seed: HopeFlow Realtime), and what has become of a publish.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "net/fields.h"
#include "net/publishing.h"
#include "net/routes.h"

/* --- POST /publish --- */

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    struct dm_publishing *publishing = dm_publishing_of(publish);
    struct dm_loop *loop = dm_loop_of_shard(here);
    struct dm_buf body = DM_BUF_INIT;
    if (publish->err) {
        dm_reply_later_error(loop, publishing->handle, publish->err);
    } else {
        dm_buf_add_byte(&body, '{');
        dm_publish_describe(publish, &body);
        dm_buf_add_byte(&body, '}');
        dm_reply_later_json(loop, publishing->handle, publish->owed ? 202 : 200,
                            dm_buf_slice(&body));
    }
    dm_buf_dispose(&body);
    dm_publishing_destroy(publishing);
}

static int read(struct dm_request *request, struct dm_publication *from)
{
    uint32_t most = dm_server_options(dm_loop_server(request->loop))->limits.max_targets;
    int err = dm_publication_read(from, request->body, most, &request->why);
    if (err || dm_principal_may_publish(&request->principal))
        return err;
    if (from->durable || from->channel.at) { /* open_publish does not let it */
        request->why = from->durable ? DM_SLICE("A durable publish needs the scope publish")
                                     : DM_SLICE("A publish to a channel needs the scope publish");
        err = DM_ERR_FORBIDDEN;
    }
    return err;
}

static int publish(struct dm_request *request)
{
    struct dm_publishing *publishing = dm_publishing_create();
    int err = read(request, &publishing->from);
    if (err) {
        dm_publishing_destroy(publishing);
        return err;
    }
    dm_principal_write(&request->principal, &publishing->principal);
    dm_publish_prepare(dm_loop_shard(request->loop), &publishing->publish, &publishing->from,
                       dm_buf_slice(&publishing->principal));
    publishing->publish.done = published;
    return dm_publishing_start(request, publishing);
}

/* --- GET /publish/{envelopeId} --- */

struct looking {
    struct dm_publish_look look;
    struct dm_handle handle;
    struct dm_buf principal;
};

static void describe(const struct dm_publish_look *look, struct dm_buf *out)
{
    const struct dm_store_publish *found = look->found;
    dm_buf_lit(out, "{\"envelopeId\":");
    dm_json_add_uuid(out, &look->envelope_id);
    dm_buf_printf(out, ",\"state\":\"%s\"", found->found == DM_RECORDED_OPEN ? "open" : "done");
    dm_buf_printf(out, ",\"clientCount\":%u,\"delivered\":%u,\"owed\":%u,\"results\":[",
                  found->client_count, found->delivered, found->owed);
    dm_buf_add_slice(out, dm_buf_slice(&found->results));
    dm_buf_lit(out, "]}");
}

static void looked(struct dm_publish_look *look, struct dm_shard *here)
{
    struct looking *looking = DM_CONTAINER(look, struct looking, look);
    struct dm_loop *loop = dm_loop_of_shard(here);
    struct dm_buf body = DM_BUF_INIT;
    if (look->err) {
        dm_reply_later_error(loop, looking->handle, look->err);
    } else {
        describe(look, &body);
        dm_reply_later_json(loop, looking->handle, 200, dm_buf_slice(&body));
    }
    dm_buf_dispose(&body);
    dm_buf_dispose(&looking->principal);
    free(looking);
}

/* Another's publish is as if it were not there. */
static int look_up(struct dm_request *request)
{
    struct dm_uuid id;
    struct dm_handle handle;
    if (!dm_uuid_parse(request->args[0], &id))
        return DM_ERR_NOT_FOUND;
    int err = dm_request_keep(request, DM_KEEP_SHORT, &handle);
    if (err)
        return err;
    struct looking *looking = DM_NEW(struct looking);
    looking->handle = handle;
    looking->look.envelope_id = id;
    looking->look.done = looked;
    dm_principal_write(&request->principal, &looking->principal);
    if (!(request->principal.scopes & DM_SCOPE_ADMIN))
        looking->look.principal = dm_buf_slice(&looking->principal);
    dm_publish_look_up(dm_loop_shard(request->loop), &looking->look);
    return DM_OK;
}

const struct dm_route dm_publish_routes[] = {
    {"POST", "/publish", DM_WHO_OPEN_PUBLISH, DM_BODY_JSON, publish},
    {"GET", "/publish/*", DM_WHO_OPEN_PUBLISH, DM_BODY_NONE, look_up},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
