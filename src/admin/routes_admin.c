/* What operators and their tools ask of a running server. */
#include "admin/routes_admin.h"

#include "admin/metrics_text.h"
#include "net/loop.h"

static int healthz(struct dm_request *request)
{
    dm_reply_json(request, 200, DM_SLICE("{\"status\":\"ok\"}"));
    return DM_OK;
}

static int readyz(struct dm_request *request)
{
    struct dm_server *server = dm_loop_server(request->loop);
    const struct dm_server_options *options = dm_server_options(server);
    if (dm_server_draining(server))
        return DM_ERR_SHUTTING_DOWN;
    if (!options->ready(options->ready_context))
        return DM_ERR_UNAVAILABLE;
    dm_reply_json(request, 200, DM_SLICE("{\"status\":\"ready\"}"));
    return DM_OK;
}

static int metrics(struct dm_request *request)
{
    const struct dm_metrics **all;
    size_t count = dm_server_metrics(dm_loop_server(request->loop), &all);
    struct dm_buf text = DM_BUF_INIT;
    dm_metrics_text(all, count, &text);
    dm_reply_text(request, 200, "text/plain; version=0.0.4; charset=utf-8", dm_buf_slice(&text));
    dm_buf_dispose(&text);
    return DM_OK;
}

const struct dm_route dm_admin_routes[] = {
    {"GET", "/healthz", DM_WHO_LOCAL, DM_BODY_NONE, healthz},
    {"GET", "/readyz", DM_WHO_LOCAL, DM_BODY_NONE, readyz},
    {"GET", "/metrics", DM_WHO_LOCAL, DM_BODY_NONE, metrics},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
