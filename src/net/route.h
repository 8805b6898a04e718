/*
 * HTTP routes. A route is a method, a pattern and who may call it; tables of
 * them are joined by the command and matched here against the raw path, split
 * at "/" and each segment decoded once. A handler gets a request that has been
 * authorised and whose body, where the route has one, is a JSON object.
 *
 * A handler answers now (dm_reply_…) and returns DM_OK, or keeps the request
 * (dm_request_keep) and answers later, or returns an error, which is answered
 * for it. One loop's thread.
 */
#ifndef DM_NET_ROUTE_H
#define DM_NET_ROUTE_H

#include "auth/auth.h"
#include "base/buf.h"
#include "net/kept.h"

struct dm_loop;
struct dm_request;
struct st_h2o_req_t;

enum dm_who {
    DM_WHO_ANYONE,
    DM_WHO_PUBLISH,
    DM_WHO_OPEN_PUBLISH, /* publish scope; any user where open_publish is set */
    DM_WHO_ADMIN,
    DM_WHO_USER,   /* a user, of any scope */
    DM_WHO_KNOWN,  /* anybody who is somebody: the handler looks further */
    DM_WHO_LOCAL,  /* loopback (not through a proxy), or admin, or everyone if metrics = public */
    DM_WHO_SOCKET, /* an upgrade: the handler identifies, after it has checked the handshake */
};

enum dm_body {
    DM_BODY_NONE,     /* what comes is not looked at */
    DM_BODY_JSON,     /* a JSON object must come */
    DM_BODY_OPTIONAL, /* one may come; nothing at all is {} */
};

struct dm_route {
    const char *method;  /* "GET" takes HEAD too */
    const char *pattern; /* "/users/ * /send" (no blanks): each star is one decoded segment */
    enum dm_who who;
    enum dm_body body;
    int (*handle)(struct dm_request *request);
};

enum { DM_ARGS_MAX = 4 };

struct dm_request {
    struct st_h2o_req_t *h2o;
    struct dm_loop *loop;
    const struct dm_route *route;
    struct dm_slice path, query; /* raw; the query without its "?" */
    struct dm_slice args[DM_ARGS_MAX];
    size_t arg_count;
    bool known; /* is there a principal? */
    struct dm_principal principal;
    struct dm_slice claims; /* the user's, a JSON object; absent for API keys */
    struct dm_slice body;   /* a valid JSON object */
    struct dm_slice why; /* a handler may set what an error says, in place of its standing text */
    void *state;         /* a handler's own, in the request's memory, for when it goes on */
};

/* How a request goes on after what may have taken time: as a handler does. It may be another copy
 * of the request than before, but is the same one, and so is its memory. */
typedef int dm_request_then(struct dm_request *request);

/* Finds the route and carries it out. Always answers, now or later. */
void dm_route(struct dm_loop *loop, struct st_h2o_req_t *req);

/* Finds out who asks, then goes on with `then`, now or later: by the token presented
 * (Authorization first, then ?token=), or where there is none by the auth hook.
 * DM_ERR_UNAUTHORIZED, DM_ERR_BAD_ORIGIN, DM_ERR_HOOK_UNAVAILABLE; DM_ERR_TOO_MANY_FAILURES unseen;
 * DM_ERR_RATE_LIMITED for a principal that asks too often. Returns as a handler does. */
int dm_request_identify(struct dm_request *request, dm_request_then *then) DM_MUST_CHECK;

/* Goes on, now or later, where the principal may enter the channel: DM_ERR_FORBIDDEN,
 * DM_ERR_HOOK_UNAVAILABLE. An API key may. */
int dm_request_authorize_channel(struct dm_request *request, struct dm_slice channel,
                                 dm_request_then *then) DM_MUST_CHECK;

/* The same for a socket that may be a guest's: who presents nothing is `guest:` and its ?userId=,
 * where `guests` is on. */
int dm_request_identify_guest(struct dm_request *request, dm_request_then *then) DM_MUST_CHECK;

struct dm_slice dm_request_header(const struct dm_request *request, struct dm_slice lower_name);
struct dm_slice dm_request_query(const struct dm_request *request, struct dm_slice name); /* raw */

/* Percent-decodes into the request's memory; false where an escape is broken. */
bool dm_request_decode(struct dm_request *request, struct dm_slice raw,
                       struct dm_slice *out) DM_MUST_CHECK;

/* Memory that lives as long as the request. */
void *dm_request_alloc(struct dm_request *request, size_t size);

/* Keeps the request for a late answer: of one that may wait long for others, each principal may
 * have a share only, and so may those that wait for hooks. */
enum dm_keep { DM_KEEP_SHORT, DM_KEEP_LONG, DM_KEEP_FOR_HOOK };
int dm_request_keep(struct dm_request *request, enum dm_keep how,
                    struct dm_handle *out) DM_MUST_CHECK;

/* Answers. After any of these the request is no longer the caller's. */
void dm_reply_json(struct dm_request *request, int status, struct dm_slice body);
void dm_reply_text(struct dm_request *request, int status, const char *content_type,
                   struct dm_slice body);
void dm_reply_error(struct dm_request *request, int err);

/* The same for a request that was kept; nothing happens if it is gone. */
void dm_reply_later_json(struct dm_loop *loop, struct dm_handle handle, int status,
                         struct dm_slice body);
void dm_reply_later_empty(struct dm_loop *loop, struct dm_handle handle); /* 204 */
void dm_reply_later_error(struct dm_loop *loop, struct dm_handle handle, int err);

#endif
