/* The hooks' thread: what waits, what is on its way, and the end of both. */
#include "net/hook.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/hook_priv.h"

struct hook {
    bool there;
    struct dm_hook_url url;
    struct dm_list waiting; /* the thread's: calls in order, for a place among those on their way */
    uint32_t on_way;
    uint64_t said_at; /* of complaints: when the last was logged, and how many were not since */
    uint64_t unsaid;
};

struct dm_hooks {
    struct hook hooks[DM_HOOK_COUNT];
    struct dm_post post;
    struct dm_metrics *metrics;
    uint64_t timeout_ms;
    pthread_t thread;
    CURLM *multi;
    struct dm_list on_way;  /* the thread's */
    struct dm_hmac_key key; /* the thread's */

    pthread_mutex_t lock; /* of the rest, and of complaints */
    struct dm_list asked;
    uint32_t open;
    bool ended;
    char *fresh_secret; /* to be taken over */
};

static const char *const names[] = {[DM_HOOK_AUTH] = "auth", [DM_HOOK_AUTHORIZE] = "authorize"};

static void wipe(char **secret)
{
    if (*secret)
        explicit_bzero(*secret, strlen(*secret));
    free(*secret);
    *secret = NULL;
}

/* --- what any thread may do --- */

bool dm_hooks_has(const struct dm_hooks *hooks, enum dm_hook_id hook)
{
    return hooks && hooks->hooks[hook].there;
}

static bool take_in(struct dm_hooks *hooks, struct dm_hook_call *call)
{
    if (hooks->ended || hooks->open >= DM_HOOK_CALLS_MAX)
        return false;
    dm_list_push(&hooks->asked, &call->way.link);
    dm_metrics_set(hooks->metrics, DM_METRIC_HOOK_CALLS_OPEN, ++hooks->open);
    return true;
}

bool dm_hooks_call(struct dm_hooks *hooks, struct dm_hook_call *call)
{
    if (!dm_hooks_has(hooks, call->hook))
        return false;
    call->way.end_by = dm_clock_mono_ms() + hooks->timeout_ms;
    pthread_mutex_lock(&hooks->lock);
    bool taken = take_in(hooks, call);
    pthread_mutex_unlock(&hooks->lock);
    if (taken)
        curl_multi_wakeup(hooks->multi);
    else
        dm_hooks_complain(hooks, call->hook, "too many calls are open");
    return taken;
}

/* Is it time for another line? Then `unsaid` gets how many there were since the last. */
static bool may_say(struct dm_hooks *hooks, struct hook *hook, uint64_t *unsaid)
{
    uint64_t now = dm_clock_mono_ms();
    pthread_mutex_lock(&hooks->lock);
    bool say = !hook->said_at || now - hook->said_at >= 1000;
    *unsaid = hook->unsaid;
    hook->unsaid = say ? 0 : hook->unsaid + 1;
    if (say)
        hook->said_at = now;
    pthread_mutex_unlock(&hooks->lock);
    return say;
}

void dm_hooks_complain(struct dm_hooks *hooks, enum dm_hook_id id, const char *why)
{
    uint64_t unsaid;
    if (!may_say(hooks, &hooks->hooks[id], &unsaid))
        return;
    struct dm_buf more = DM_BUF_INIT;
    dm_buf_add_number(&more, unsaid);
    dm_log(DM_LOG_WARN, "hook_failed", "hook", names[id], "why", why, "unsaid", dm_buf_text(&more),
           NULL);
    dm_buf_dispose(&more);
}

void dm_hooks_set_secret(struct dm_hooks *hooks, const char *secret)
{
    if (!hooks)
        return;
    pthread_mutex_lock(&hooks->lock);
    wipe(&hooks->fresh_secret);
    hooks->fresh_secret = dm_strndup(secret, strlen(secret));
    pthread_mutex_unlock(&hooks->lock);
}

void dm_hooks_give_up(struct dm_hooks *hooks)
{
    if (!hooks)
        return;
    pthread_mutex_lock(&hooks->lock);
    hooks->ended = true;
    pthread_mutex_unlock(&hooks->lock);
    curl_multi_wakeup(hooks->multi);
}

/* --- the thread --- */

/* Gives a call back to its caller. */
static void give_back(struct dm_hooks *hooks, struct dm_hook_call *call)
{
    dm_list_unlink(&call->way.link);
    pthread_mutex_lock(&hooks->lock);
    dm_metrics_set(hooks->metrics, DM_METRIC_HOOK_CALLS_OPEN, --hooks->open);
    pthread_mutex_unlock(&hooks->lock);
    hooks->post.send(hooks->post.self, call->shard, &call->mail);
}

static void end_unstarted(struct dm_hooks *hooks, struct dm_hook_call *call, enum dm_metric counted,
                          const char *why)
{
    dm_metrics_add(hooks->metrics, counted, 1);
    dm_hooks_complain(hooks, call->hook, why);
    give_back(hooks, call);
}

static void end_transfer(struct dm_hooks *hooks, struct dm_hook_call *call, CURLcode code)
{
    DM_CHECK(curl_multi_remove_handle(hooks->multi, call->way.easy) == CURLM_OK);
    hooks->hooks[call->hook].on_way--;
    const char *why = dm_hook_transfer_end(call, code);
    if (why)
        dm_hooks_complain(hooks, call->hook, why);
    dm_metrics_add(hooks->metrics,
                   code == CURLE_OPERATION_TIMEDOUT ? DM_METRIC_HOOK_CALLS_TIMEOUT
                   : why                            ? DM_METRIC_HOOK_CALLS_FAILED
                   : call->status == 200            ? DM_METRIC_HOOK_CALLS_ANSWERED
                                                    : DM_METRIC_HOOK_CALLS_REFUSED,
                   1);
    give_back(hooks, call);
}

/* What was asked goes to its hook's queue, in order. True: it is the end. */
static bool take_asked(struct dm_hooks *hooks)
{
    struct dm_list *link;
    pthread_mutex_lock(&hooks->lock);
    while ((link = dm_list_shift(&hooks->asked)) != NULL) {
        struct dm_hook_call *call = DM_CONTAINER(link, struct dm_hook_call, way.link);
        dm_list_push(&hooks->hooks[call->hook].waiting, link);
    }
    if (hooks->fresh_secret) {
        if (hooks->key.ready)
            dm_hmac_key_dispose(&hooks->key);
        dm_hmac_key_init(&hooks->key, dm_slice_of(hooks->fresh_secret));
        wipe(&hooks->fresh_secret);
    }
    bool ended = hooks->ended;
    pthread_mutex_unlock(&hooks->lock);
    return ended;
}

/* Starts what has a place and ends what is late; when the next one will be late. All of a queue
 * have the same time, so that the first is the first to be late. */
static uint64_t run_queue(struct dm_hooks *hooks, struct hook *hook, uint64_t now)
{
    while (!dm_list_empty(&hook->waiting)) {
        struct dm_hook_call *call = DM_CONTAINER(hook->waiting.next, struct dm_hook_call, way.link);
        if (now >= call->way.end_by) {
            end_unstarted(hooks, call, DM_METRIC_HOOK_CALLS_TIMEOUT,
                          "it is too slow for what is asked of it");
            continue;
        }
        if (hook->on_way >= DM_HOOK_AT_ONCE)
            return call->way.end_by;
        dm_hook_transfer_start(call, &hook->url, &hooks->key, call->way.end_by - now);
        DM_CHECK(curl_multi_add_handle(hooks->multi, call->way.easy) == CURLM_OK);
        dm_list_unlink(&call->way.link);
        dm_list_push(&hooks->on_way, &call->way.link);
        hook->on_way++;
    }
    return UINT64_MAX;
}

static bool end_what_is_done(struct dm_hooks *hooks)
{
    CURLMsg *message;
    int left;
    bool any = false;
    while ((message = curl_multi_info_read(hooks->multi, &left)) != NULL) {
        struct dm_hook_call *call = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        end_transfer(hooks, call, code);
        any = true;
    }
    return any;
}

static void end_all(struct dm_hooks *hooks)
{
    struct dm_list *first;
    while ((first = hooks->on_way.next) != &hooks->on_way)
        end_transfer(hooks, DM_CONTAINER(first, struct dm_hook_call, way.link),
                     CURLE_ABORTED_BY_CALLBACK);
    for (size_t i = 0; i < DM_HOOK_COUNT; i++)
        while ((first = hooks->hooks[i].waiting.next) != &hooks->hooks[i].waiting)
            end_unstarted(hooks, DM_CONTAINER(first, struct dm_hook_call, way.link),
                          DM_METRIC_HOOK_CALLS_FAILED, "the server is ending");
}

static void *run(void *argument)
{
    struct dm_hooks *hooks = argument;
    const uint64_t longest = 60000;
    int running;
    while (!take_asked(hooks)) {
        uint64_t now = dm_clock_mono_ms(), next = now + longest;
        for (size_t i = 0; i < DM_HOOK_COUNT; i++)
            next = dm_clock_earlier(next, run_queue(hooks, &hooks->hooks[i], now));
        DM_CHECK(curl_multi_perform(hooks->multi, &running) == CURLM_OK);
        bool freed_places = end_what_is_done(hooks);
        if (!freed_places)
            curl_multi_poll(hooks->multi, NULL, 0, (int)(next - now), NULL);
    }
    end_all(hooks);
    return NULL;
}

/* --- from start to end --- */

static void read_urls(struct dm_hooks *hooks, const struct dm_hook_options *options)
{
    for (size_t i = 0; i < DM_HOOK_COUNT; i++) {
        struct hook *hook = &hooks->hooks[i];
        dm_list_init(&hook->waiting);
        hook->there = options->urls[i] && *options->urls[i];
        if (hook->there)
            DM_CHECK(!dm_hook_url_read(options->urls[i], options->insecure, &hook->url));
    }
}

struct dm_hooks *dm_hooks_create(const struct dm_hook_options *options, const struct dm_post *post,
                                 struct dm_metrics *metrics)
{
    bool any = false;
    for (size_t i = 0; i < DM_HOOK_COUNT; i++)
        any = any || (options->urls[i] && *options->urls[i]);
    if (!any)
        return NULL;
    DM_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    struct dm_hooks *hooks = DM_NEW(struct dm_hooks);
    read_urls(hooks, options);
    hooks->post = *post;
    hooks->metrics = metrics;
    hooks->timeout_ms = options->timeout_ms;
    dm_list_init(&hooks->asked);
    dm_list_init(&hooks->on_way);
    hooks->multi = curl_multi_init();
    DM_CHECK(hooks->multi && pthread_mutex_init(&hooks->lock, NULL) == 0);
    /* Kept connections: as many as there can be, or each answer would close one. */
    curl_multi_setopt(hooks->multi, CURLMOPT_MAXCONNECTS, (long)DM_HOOK_COUNT * DM_HOOK_AT_ONCE);
    dm_hooks_set_secret(hooks, options->secret);
    DM_CHECK(pthread_create(&hooks->thread, NULL, run, hooks) == 0);
    pthread_setname_np(hooks->thread, "hooks");
    return hooks;
}

void dm_hooks_destroy(struct dm_hooks **at)
{
    struct dm_hooks *hooks = *at;
    if (!hooks)
        return;
    dm_hooks_give_up(hooks);
    pthread_join(hooks->thread, NULL);
    DM_CHECK(hooks->open == 0);
    curl_multi_cleanup(hooks->multi);
    curl_global_cleanup();
    for (size_t i = 0; i < DM_HOOK_COUNT; i++)
        dm_hook_url_dispose(&hooks->hooks[i].url);
    if (hooks->key.ready)
        dm_hmac_key_dispose(&hooks->key);
    wipe(&hooks->fresh_secret);
    pthread_mutex_destroy(&hooks->lock);
    free(hooks);
    *at = NULL;
}
