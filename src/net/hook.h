/*
 * Calls of hooks: POSTs of JSON to the user's own backend, signed. They are
 * made by libcurl on a thread of its own, one for the server, so that no loop
 * waits for one; the call comes back by mail to the shard that made it. A call
 * has hook_timeout in all, its time in the queue included. Redirects are not
 * followed. Each hook has its own queue: one that hangs holds up no other.
 *
 * A call over a kept connection that turns out to be closed is made again on a
 * new one: the hook may see a request twice.
 */
#ifndef DM_NET_HOOK_H
#define DM_NET_HOOK_H

#include "base/buf.h"
#include "base/list.h"
#include "base/metrics.h"
#include "ports/mail.h"

enum dm_hook_id { DM_HOOK_AUTH, DM_HOOK_AUTHORIZE, DM_HOOK_COUNT };

enum {
    DM_HOOK_CALLS_MAX = 1024,            /* not answered yet, of all hooks */
    DM_HOOK_AT_ONCE = 64,                /* connections to one hook */
    DM_HOOK_ANSWER_MAX = 1024 * 1024,    /* bytes; a longer one is a failure */
    DM_HOOK_ANSWER_HEAD_MAX = 64 * 1024, /* the same of its head */
};

struct dm_hook_options {
    const char *urls[DM_HOOK_COUNT]; /* as dm_hook_url_read takes them; "" or NULL: no such hook */
    const char *secret;              /* that signs; copied */
    uint64_t timeout_ms;
    bool insecure;
};

struct dm_loop;
struct dm_hook_call;
typedef void dm_hook_done(struct dm_hook_call *call, struct dm_loop *loop);

struct dm_hook_call {
    struct dm_mail mail; /* `run` is the caller's, who owns the call again when it runs */
    uint32_t shard;
    dm_hook_done *done; /* the loop's, for its own calls: dm_loop_call_hook */
    enum dm_hook_id hook;
    struct dm_buf body;

    int status;           /* of the answer; 0: there is none */
    struct dm_buf answer; /* its body */

    struct { /* the thread's own */
        struct dm_list link;
        void *easy, *headers;
        uint64_t end_by;
        size_t head_bytes;
        bool too_large;
    } way;
};

void dm_hook_call_dispose(struct dm_hook_call *call); /* its buffers */

struct dm_hooks;

/* Starts the thread; NULL where no hook has a URL. The URLs must have been checked. */
struct dm_hooks *dm_hooks_create(const struct dm_hook_options *options, const struct dm_post *post,
                                 struct dm_metrics *metrics);
/* Gives up, and ends the thread. Nobody may await a call any more. */
void dm_hooks_destroy(struct dm_hooks **hooks);

/* The rest on any thread; `hooks` may be NULL. */

bool dm_hooks_has(const struct dm_hooks *hooks, enum dm_hook_id hook);

/* False: there are too many already, or it is the end, and no mail will come. */
bool dm_hooks_call(struct dm_hooks *hooks, struct dm_hook_call *call) DM_MUST_CHECK;

/* Logs that a hook does not do its part; once a second at most. */
void dm_hooks_complain(struct dm_hooks *hooks, enum dm_hook_id hook, const char *why);

/* A new secret, for calls from now on. */
void dm_hooks_set_secret(struct dm_hooks *hooks, const char *secret);

/* Answers all calls as failed, now, and takes none from here on. */
void dm_hooks_give_up(struct dm_hooks *hooks);

#endif
