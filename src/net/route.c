/* Matching, authorising and carrying out requests. */
#include "net/route.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <h2o.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "net/framing.h"
#include "net/later.h"
#include "net/loop.h"
#include "net/reply.h"

enum { SEGMENTS_MAX = 8 };

static const struct dm_server_options *options_of(const struct dm_request *request)
{
    return dm_server_options(dm_loop_server(request->loop));
}

/* --- matching --- */

/* The raw path's segments; SIZE_MAX where it does not begin with "/" or has too many. */
static size_t split_path(struct dm_slice path, struct dm_slice segments[SEGMENTS_MAX])
{
    size_t count = 0;
    if (!path.len || path.at[0] != '/')
        return SIZE_MAX;
    struct dm_slice rest = dm_slice_from(path, 1);
    while (rest.at) {
        if (count == SEGMENTS_MAX)
            return SIZE_MAX;
        segments[count++] = dm_slice_split(&rest, '/');
    }
    return count;
}

/* Raw segments against a pattern; what its stars stand for goes to `args`, still raw. */
static bool matches(const char *pattern, const struct dm_slice *segments, size_t count,
                    struct dm_slice args[DM_ARGS_MAX], size_t *arg_count)
{
    struct dm_slice parts[SEGMENTS_MAX];
    if (split_path(dm_slice_of(pattern), parts) != count)
        return false;
    *arg_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (dm_slice_eq(parts[i], DM_SLICE("*")))
            args[(*arg_count)++] = segments[i];
        else if (!dm_slice_eq(parts[i], segments[i]))
            return false;
    }
    return true;
}

struct match {
    const struct dm_route *route; /* for this method; NULL: none */
    struct dm_slice args[DM_ARGS_MAX];
    size_t arg_count;
    char allow[64]; /* the methods that the path has, "" when there is no such path */
};

static bool takes_method(const struct dm_route *route, struct dm_slice method)
{
    return dm_slice_eq(dm_slice_of(route->method), method) ||
           (strcmp(route->method, "GET") == 0 && dm_slice_eq(method, DM_SLICE("HEAD")));
}

static void allow(struct match *match, const char *method)
{
    size_t used = strlen(match->allow);
    snprintf(match->allow + used, sizeof match->allow - used, "%s%s", used ? ", " : "", method);
}

static void find(const struct dm_server_options *options, struct dm_slice path,
                 struct dm_slice method, struct match *match)
{
    struct dm_slice segments[SEGMENTS_MAX], args[DM_ARGS_MAX];
    size_t count = split_path(path, segments), arg_count;
    *match = (struct match){0};
    if (count == SIZE_MAX)
        return;
    for (size_t table = 0; table < options->route_tables; table++) {
        for (const struct dm_route *route = options->routes[table]; route->pattern; route++) {
            if (!matches(route->pattern, segments, count, args, &arg_count))
                continue;
            allow(match, strcmp(route->method, "GET") == 0 ? "GET, HEAD" : route->method);
            if (match->route || !takes_method(route, method))
                continue;
            match->route = route;
            match->arg_count = arg_count;
            memcpy(match->args, args, sizeof args);
        }
    }
}

/* --- authorising --- */

static bool is_local(const struct dm_request *request)
{
    struct sockaddr_storage at;
    h2o_conn_t *conn = request->h2o->conn;
    if (dm_request_header(request, DM_SLICE("x-forwarded-for")).at ||
        dm_request_header(request, DM_SLICE("forwarded")).at)
        return false; /* came through a proxy, whose address says nothing */
    if (conn->callbacks->get_peername(conn, (struct sockaddr *)&at) == 0)
        return false;
    if (at.ss_family == AF_UNIX)
        return true;
    if (at.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&at)->sin6_addr);
    return at.ss_family == AF_INET &&
           ntohl(((struct sockaddr_in *)&at)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* May this principal? Only asked where not everybody may. */
static int check_scope(const struct dm_request *request)
{
    bool admin = request->principal.scopes & DM_SCOPE_ADMIN;
    switch (request->route->who) {
    case DM_WHO_PUBLISH:
        return dm_principal_may_publish(&request->principal) ? DM_OK : DM_ERR_FORBIDDEN;
    case DM_WHO_OPEN_PUBLISH:
        return dm_principal_may_publish(&request->principal) || options_of(request)->open_publish
                   ? DM_OK
                   : DM_ERR_FORBIDDEN;
    case DM_WHO_USER:
        return request->principal.kind == DM_PRINCIPAL_USER ? DM_OK : DM_ERR_UNAUTHORIZED;
    case DM_WHO_KNOWN:
        return DM_OK;
    case DM_WHO_ADMIN:
    case DM_WHO_LOCAL:
        return admin ? DM_OK : DM_ERR_FORBIDDEN;
    case DM_WHO_ANYONE:
    case DM_WHO_SOCKET:
        break;
    }
    return DM_OK;
}

/* Need nobody know who it is, at least for now? */
static bool is_open(const struct dm_request *request)
{
    enum dm_who who = request->route->who;
    return who == DM_WHO_ANYONE || who == DM_WHO_SOCKET ||
           (who == DM_WHO_LOCAL && (options_of(request)->metrics_public || is_local(request)));
}

/* --- bodies --- */

static bool is_json_type(struct dm_slice type)
{
    struct dm_slice media = dm_slice_trim(dm_slice_split(&type, ';'));
    return dm_slice_eq_nocase(media, DM_SLICE("application/json"));
}

static int read_body(struct dm_request *request, enum dm_body body)
{
    h2o_iovec_t entity = request->h2o->entity;
    struct dm_slice text = dm_slice(entity.base, entity.len);
    struct dm_slice type = dm_request_header(request, DM_SLICE("content-type"));
    if (dm_slice_starts(text, DM_SLICE("\xEF\xBB\xBF"))) /* as the Fetch standard reads JSON */
        text = dm_slice_from(text, 3);
    if (body == DM_BODY_OPTIONAL && !text.len) {
        request->body = DM_SLICE("{}");
        return DM_OK;
    }
    if (!is_json_type(type))
        return DM_ERR_UNSUPPORTED_MEDIA_TYPE;
    if (!dm_json_valid(text))
        return DM_ERR_INVALID_JSON;
    request->body = dm_json_value(text);
    return dm_json_kind(request->body) == DM_JSON_OBJECT ? DM_OK : DM_ERR_INVALID_JSON;
}

/* --- carrying out --- */

static void answer_preflight(struct dm_request *request, const struct match *match)
{
    h2o_req_t *req = request->h2o;
    struct dm_slice asked = dm_request_header(request, DM_SLICE("access-control-request-headers"));
    dm_reply_cors(req, options_of(request));
    dm_reply_header(req, "access-control-allow-methods", dm_slice_of(match->allow));
    dm_reply_header(req, "access-control-allow-headers",
                    asked.at ? asked : DM_SLICE("authorization, content-type"));
    dm_reply_header(req, "access-control-max-age", DM_SLICE("86400"));
    dm_reply_raw(req, 204, NULL, DM_NO_SLICE);
}

static int decode_args(struct dm_request *request)
{
    for (size_t i = 0; i < request->arg_count; i++)
        if (!dm_request_decode(request, request->args[i], &request->args[i]))
            return DM_ERR_INVALID_NAME;
        else
            request->args[i] = dm_utf8_trim(request->args[i]);
    return DM_OK;
}

static int handle(struct dm_request *request)
{
    int err = DM_OK;
    if (request->route->body != DM_BODY_NONE)
        err = read_body(request, request->route->body);
    if (!err)
        err = decode_args(request);
    return err ? err : request->route->handle(request);
}

static int handle_known(struct dm_request *request)
{
    int err = check_scope(request);
    return err ? err : handle(request);
}

static int carry_out(struct dm_request *request)
{
    struct dm_slice method =
        dm_slice(request->h2o->input.method.base, request->h2o->input.method.len);
    struct match match;
    find(options_of(request), request->path, method, &match);
    if (!match.allow[0]) {
        request->why = dm_later_path(request->path);
        return DM_ERR_NOT_FOUND;
    }
    if (dm_slice_eq(method, DM_SLICE("OPTIONS"))) {
        allow(&match, "OPTIONS");
        answer_preflight(request, &match);
        return DM_OK;
    }
    if (!match.route) {
        allow(&match, "OPTIONS");
        dm_reply_header(request->h2o, "allow", dm_slice_of(match.allow));
        return DM_ERR_METHOD_NOT_ALLOWED;
    }
    request->route = match.route;
    request->arg_count = match.arg_count;
    memcpy(request->args, match.args, sizeof match.args);
    return is_open(request) ? handle(request) : dm_request_identify(request, handle_known);
}

/* The head as it came still stands at the start of the socket's input. */
static int check_head(struct dm_request *request)
{
    h2o_req_t *req = request->h2o;
    h2o_socket_t *sock = req->conn->callbacks->get_socket(req->conn);
    struct dm_head_facts facts;
    dm_head_scan(dm_slice(sock->input->bytes, sock->input->size), &facts);
    const char *wrong = dm_head_ambiguity(&facts, req->version >= 0x101);
    if (wrong) {
        req->http1_is_persistent = 0;
        request->why = dm_slice_of(wrong);
        return DM_ERR_BAD_FRAMING;
    }
    /* h2o reads "0x10" as a chunk of no bytes: what follows may have been meant otherwise. */
    if (facts.encodings)
        req->http1_is_persistent = 0;
    return facts.size > options_of(request)->limits.max_header ? DM_ERR_HEADERS_TOO_LARGE : DM_OK;
}

/* "http://host/path" is what a proxy may be sent, and a server must take (RFC 9112 section 3.2.2).
 */
static struct dm_slice origin_form(struct dm_slice target)
{
    if (!dm_slice_starts(target, DM_SLICE("http://")) &&
        !dm_slice_starts(target, DM_SLICE("https://")))
        return target;
    struct dm_slice rest = dm_slice_from(target, sizeof "https://" - 1);
    const char *path = memchr(rest.at, '/', rest.len);
    return path ? dm_slice_from(rest, (size_t)(path - rest.at)) : DM_SLICE("/");
}

void dm_route(struct dm_loop *loop, h2o_req_t *req)
{
    struct dm_request request = {.h2o = req, .loop = loop};
    struct dm_slice target = origin_form(dm_slice(req->input.path.base, req->input.path.len));
    request.path = dm_slice_split(&target, '?');
    request.query = target;
    dm_metrics_add(dm_loop_metrics(loop), DM_METRIC_HTTP_REQUESTS, 1);
    int err = check_head(&request);
    if (!err)
        err = carry_out(&request);
    if (err)
        dm_reply_error(&request, err);
}
