/* Writing answers through h2o. */
#include "net/reply.h"

#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "net/origin.h"

static const char json_type[] = "application/json; charset=utf-8";

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < DM_COUNT(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* h2o looks known names up and keeps a pointer to others: both are static here. */
void dm_reply_header(h2o_req_t *req, const char *lower_name, struct dm_slice value)
{
    h2o_iovec_t copy = h2o_strdup(&req->pool, value.at, value.len);
    h2o_add_header_by_str(&req->pool, &req->res.headers, lower_name, strlen(lower_name), 1, NULL,
                          copy.base, copy.len);
}

void dm_reply_cors(h2o_req_t *req, const struct dm_server_options *options)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, H2O_STRLIT("origin"), -1);
    if (options->cors_origin_count) /* without an Origin too: a cache may keep the answer */
        dm_reply_header(req, "vary", DM_SLICE("Origin"));
    if (at >= 0 && options->cors_origin_count) {
        h2o_iovec_t origin = req->headers.entries[at].value;
        if (dm_origin_is_listed(options, dm_slice(origin.base, origin.len))) {
            dm_reply_header(req, "access-control-allow-origin", dm_slice(origin.base, origin.len));
            dm_reply_header(req, "access-control-allow-credentials", DM_SLICE("true"));
            return;
        }
    }
    dm_reply_header(req, "access-control-allow-origin", DM_SLICE("*"));
}

void dm_reply_raw(h2o_req_t *req, int status, const char *content_type, struct dm_slice body)
{
    req->res.status = status;
    req->res.reason = reason_of(status);
    if (content_type) {
        dm_reply_header(req, "content-type", dm_slice_of(content_type));
        req->res.content_length = body.len;
    } else if (status != 204) {
        req->res.content_length = 0;
    }
    h2o_send_inline(req, body.len ? body.at : "", body.len);
}

static void error_body(struct dm_buf *out, int err, struct dm_slice why)
{
    dm_buf_lit(out, "{\"error\":");
    dm_json_encode(out, why.at ? why : dm_slice_of(dm_err_text(err)));
    dm_buf_printf(out, ",\"code\":\"%s\"}", dm_err_code(err));
}

void dm_reply_raw_error(h2o_req_t *req, const struct dm_server_options *options, int err,
                        struct dm_slice why)
{
    struct dm_buf body = DM_BUF_INIT;
    error_body(&body, err, why);
    dm_reply_cors(req, options);
    if (err == DM_ERR_UPGRADE_REQUIRED) {
        dm_reply_header(req, "upgrade", DM_SLICE("websocket"));
        dm_reply_header(req, "sec-websocket-version", DM_SLICE("13"));
    }
    if (err == DM_ERR_UNAUTHORIZED)
        dm_reply_header(req, "www-authenticate", DM_SLICE("Bearer"));
    if (dm_err_status(err) == 429 || dm_err_status(err) == 503)
        dm_reply_header(req, "retry-after", DM_SLICE("1"));
    dm_reply_raw(req, dm_err_status(err), json_type, dm_buf_slice(&body));
    dm_buf_dispose(&body);
}

/* --- h2o's own errors --- */

struct own_errors {
    h2o_filter_t super;
    const struct dm_server_options *options;
    struct dm_metrics *metrics;
};

struct replacement {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static int error_of(int status)
{
    for (int err = 1; err < DM_ERR_COUNT; err++)
        if (dm_err_status(err) == status)
            return err;
    return DM_ERR_BAD_REQUEST;
}

static void send_replacement(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
                             h2o_send_state_t state)
{
    struct replacement *replacement = (struct replacement *)self;
    (void)bufs;
    h2o_ostream_send_next(self, req, &replacement->body, count && replacement->body.len ? 1 : 0,
                          state);
}

static void replace_error(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    const struct own_errors *own = (const struct own_errors *)self;
    struct dm_buf body = DM_BUF_INIT;
    int err = error_of(req->res.status);
    dm_metrics_refuse(own->metrics, err);
    error_body(&body, err, DM_NO_SLICE);
    req->res.headers = (h2o_headers_t){.size = 0};
    dm_reply_header(req, "content-type", dm_slice_of(json_type));
    dm_reply_cors(req, own->options);
    struct replacement *replacement =
        (struct replacement *)h2o_add_ostream(req, sizeof *replacement, slot);
    replacement->super.do_send = send_replacement;
    replacement->body = h2o_strdup(&req->pool, body.bytes, body.len);
    req->res.content_length = body.len;
    dm_buf_dispose(&body);
    h2o_setup_next_ostream(req, &replacement->super.next);
}

void dm_reply_own_errors(h2o_hostconf_t *host, const struct dm_server_options *options,
                         struct dm_metrics *metrics)
{
    struct own_errors *own =
        (struct own_errors *)h2o_create_filter(&host->fallback_path, sizeof *own);
    own->super.on_setup_ostream = replace_error;
    own->options = options;
    own->metrics = metrics;
}
