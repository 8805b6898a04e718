/* What a handler can see of its request, and the ways to answer it. */
#include <h2o.h>

#include "codec/json.h"
#include "net/loop.h"
#include "net/reply.h"
#include "net/route.h"

static const char json_type[] = "application/json; charset=utf-8";

static const struct dm_server_options *options_of(struct dm_loop *loop)
{
    return dm_server_options(dm_loop_server(loop));
}

struct dm_slice dm_request_header(const struct dm_request *request, struct dm_slice lower_name)
{
    const h2o_headers_t *headers = &request->h2o->headers;
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_header_t *header = &headers->entries[i];
        if (dm_slice_eq(dm_slice(header->name->base, header->name->len), lower_name))
            return dm_slice(header->value.len ? header->value.base : "", header->value.len);
    }
    return DM_NO_SLICE;
}

struct dm_slice dm_request_query(const struct dm_request *request, struct dm_slice name)
{
    struct dm_slice rest = request->query;
    while (rest.at) {
        struct dm_slice value = dm_slice_split(&rest, '&');
        struct dm_slice key = dm_slice_split(&value, '=');
        if (dm_slice_eq(key, name))
            return value.at ? value : DM_SLICE("");
    }
    return DM_NO_SLICE;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool dm_request_decode(struct dm_request *request, struct dm_slice raw, struct dm_slice *out)
{
    char *bytes = dm_request_alloc(request, raw.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.at[i];
        if (c == '%') {
            if (raw.len - i < 3 || hex(raw.at[i + 1]) < 0 || hex(raw.at[i + 2]) < 0)
                return false;
            c = (char)(hex(raw.at[i + 1]) << 4 | hex(raw.at[i + 2]));
            i += 2;
        }
        bytes[len++] = c;
    }
    *out = dm_slice(bytes, len);
    return true;
}

void *dm_request_alloc(struct dm_request *request, size_t size)
{
    return h2o_mem_alloc_pool(&request->h2o->pool, size);
}

int dm_request_keep(struct dm_request *request, enum dm_keep how, struct dm_handle *out)
{
    if (dm_server_draining(dm_loop_server(request->loop)))
        return DM_ERR_SHUTTING_DOWN;
    if (how == DM_KEEP_FOR_HOOK)
        return dm_kept_take_for_hook(dm_loop_kept(request->loop), request->h2o, out);
    const struct dm_principal *holder = how == DM_KEEP_LONG ? &request->principal : NULL;
    return dm_kept_take(dm_loop_kept(request->loop), request->h2o, holder, out);
}

void dm_reply_json(struct dm_request *request, int status, struct dm_slice body)
{
    dm_reply_text(request, status, json_type, body);
}

void dm_reply_text(struct dm_request *request, int status, const char *content_type,
                   struct dm_slice body)
{
    dm_reply_cors(request->h2o, options_of(request->loop));
    dm_reply_raw(request->h2o, status, content_type, body);
}

void dm_reply_error(struct dm_request *request, int err)
{
    dm_metrics_refuse(dm_loop_metrics(request->loop), err);
    dm_reply_raw_error(request->h2o, options_of(request->loop), err, request->why);
}

void dm_reply_later_json(struct dm_loop *loop, struct dm_handle handle, int status,
                         struct dm_slice body)
{
    h2o_req_t *req = dm_kept_answer(dm_loop_kept(loop), handle);
    if (!req)
        return;
    if (!dm_kept_may_answer(dm_loop_kept(loop), req, body.len)) {
        dm_metrics_refuse(dm_loop_metrics(loop), DM_ERR_OVERLOADED);
        dm_reply_raw_error(req, options_of(loop), DM_ERR_OVERLOADED, DM_NO_SLICE);
        return;
    }
    dm_reply_cors(req, options_of(loop));
    dm_reply_raw(req, status, json_type, body);
}

void dm_reply_later_empty(struct dm_loop *loop, struct dm_handle handle)
{
    h2o_req_t *req = dm_kept_answer(dm_loop_kept(loop), handle);
    if (!req)
        return;
    dm_reply_cors(req, options_of(loop));
    dm_reply_raw(req, 204, NULL, DM_NO_SLICE);
}

void dm_reply_later_error(struct dm_loop *loop, struct dm_handle handle, int err)
{
    h2o_req_t *req = dm_kept_answer(dm_loop_kept(loop), handle);
    if (!req)
        return;
    dm_metrics_refuse(dm_loop_metrics(loop), err);
    dm_reply_raw_error(req, options_of(loop), err, DM_NO_SLICE);
}
