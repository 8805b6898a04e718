/* Starting and ending the loops, and what they share. */
#include "net/server.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "net/guard.h"
#include "net/loop.h"
#include "net/tls.h"

enum { ADDED_METRICS_MAX = 8 };

struct worker {
    struct dm_server *server;
    struct dm_loop *loop;
    struct dm_metrics metrics;
    pthread_t thread;
    int listen_fd;
};

struct dm_server {
    struct dm_server_options options;
    struct dm_guard *guard;
    struct dm_hooks *hooks;
    struct dm_metrics hook_metrics; /* counted by the hooks' thread */
    struct worker *workers;
    struct dm_store store;
    pthread_barrier_t set_up; /* the loops and the main thread */
    const struct dm_metrics **metrics;
    size_t metrics_count;
    _Atomic uint32_t connections;           /* WebSockets of all shards, and those on their way */
    _Atomic uint32_t steps[DM_DRAIN_STEPS]; /* how many loops have made each */
    _Atomic bool draining;
};

struct dm_server *dm_server_create(const struct dm_server_options *options, struct dm_auth *auth,
                                   struct ssl_ctx_st *tls)
{
    struct dm_server *server = DM_NEW(struct dm_server);
    DM_CHECK(options->shards >= 1 && options->shards <= DM_SHARDS_MAX);
    server->options = *options;
    server->guard = dm_guard_create(options);
    server->workers = dm_calloc(options->shards, sizeof *server->workers);
    server->metrics =
        dm_calloc(options->shards + ADDED_METRICS_MAX, sizeof(const struct dm_metrics *));
    for (uint32_t i = 0; i < options->shards; i++) {
        struct worker *worker = &server->workers[i];
        worker->server = server;
        worker->loop = dm_loop_create(server, i, &worker->metrics);
        dm_loop_set_auth(worker->loop, dm_auth_retain(auth));
        dm_loop_set_tls(worker->loop, dm_tls_retain(tls));
        server->metrics[server->metrics_count++] = &worker->metrics;
    }
    dm_server_add_metrics(server, &server->hook_metrics);
    return server;
}

void dm_server_destroy(struct dm_server **at)
{
    struct dm_server *server = *at;
    if (!server)
        return;
    for (uint32_t i = 0; i < server->options.shards; i++)
        dm_loop_destroy(&server->workers[i].loop);
    dm_guard_destroy(&server->guard);
    free(server->workers);
    free(server->metrics);
    free(server);
    *at = NULL;
}

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    struct dm_server *server = self;
    DM_CHECK(shard < server->options.shards);
    dm_loop_post(server->workers[shard].loop, &mail, 1);
}

static void post_all(void *self, uint32_t shard, struct dm_mail *const *mails, size_t count)
{
    struct dm_server *server = self;
    DM_CHECK(shard < server->options.shards);
    dm_loop_post(server->workers[shard].loop, mails, count);
}

struct dm_post dm_server_post(struct dm_server *server)
{
    return (struct dm_post){server, post, post_all};
}

static void wait_for_all(void *context)
{
    pthread_barrier_wait(&((struct dm_server *)context)->set_up);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    dm_loop_run(worker->loop, &worker->server->store, worker->listen_fd, wait_for_all,
                worker->server);
    return NULL;
}

void dm_server_start(struct dm_server *server, const struct dm_store *store, int listen_fd)
{
    struct dm_post to_shards = dm_server_post(server);
    server->store = *store;
    server->hooks = dm_hooks_create(&server->options.hooks, &to_shards, &server->hook_metrics);
    DM_CHECK(pthread_barrier_init(&server->set_up, NULL, server->options.shards + 1) == 0);
    for (uint32_t i = 0; i < server->options.shards; i++) {
        struct worker *worker = &server->workers[i];
        worker->listen_fd = i == 0 ? listen_fd : dup(listen_fd);
        DM_CHECK(worker->listen_fd >= 0);
        DM_CHECK(pthread_create(&worker->thread, NULL, run, worker) == 0);
    }
    pthread_barrier_wait(&server->set_up); /* destroyed later: the loops may still be leaving it */
}

/* --- orders to every loop --- */

struct order {
    struct dm_mail mail;
    struct dm_auth *auth;
    struct ssl_ctx_st *tls;
    uint64_t deadline;
};

/* What is ordered with is the caller's still. */
static void order_all(struct dm_server *server, dm_mail_run run_order, struct order with)
{
    for (uint32_t i = 0; i < server->options.shards; i++) {
        struct order *order = DM_NEW(struct order);
        order->mail.run = run_order;
        order->auth = with.auth ? dm_auth_retain(with.auth) : NULL;
        order->tls = dm_tls_retain(with.tls);
        order->deadline = with.deadline;
        post(server, i, &order->mail);
    }
}

static void take_auth(struct dm_mail *mail, struct dm_shard *here)
{
    struct order *order = DM_CONTAINER(mail, struct order, mail);
    dm_loop_set_auth(dm_loop_of_shard(here), order->auth);
    free(order);
}

static void take_tls(struct dm_mail *mail, struct dm_shard *here)
{
    struct order *order = DM_CONTAINER(mail, struct order, mail);
    dm_loop_set_tls(dm_loop_of_shard(here), order->tls);
    free(order);
}

static void end(struct dm_mail *mail, struct dm_shard *here)
{
    struct order *order = DM_CONTAINER(mail, struct order, mail);
    dm_loop_stop_accepting(dm_loop_of_shard(here));
    dm_loop_end(dm_loop_of_shard(here), order->deadline);
    free(order);
}

void dm_server_set_auth(struct dm_server *server, struct dm_auth *auth)
{
    order_all(server, take_auth, (struct order){.auth = auth});
}

void dm_server_set_hook_secret(struct dm_server *server, const char *secret)
{
    dm_hooks_set_secret(server->hooks, secret);
}

void dm_server_set_tls(struct dm_server *server, struct ssl_ctx_st *tls)
{
    order_all(server, take_tls, (struct order){.tls = tls});
}

void dm_server_drain(struct dm_server *server)
{
    atomic_store(&server->draining, true);
    uint64_t deadline = dm_clock_mono_ms() + server->options.drain_timeout_ms;
    order_all(server, end, (struct order){.deadline = deadline});
    for (uint32_t i = 0; i < server->options.shards; i++)
        pthread_join(server->workers[i].thread, NULL);
    dm_hooks_destroy(&server->hooks);
    pthread_barrier_destroy(&server->set_up);
}

/* --- what is shared --- */

const struct dm_server_options *dm_server_options(const struct dm_server *server)
{
    return &server->options;
}

void dm_server_add_metrics(struct dm_server *server, const struct dm_metrics *metrics)
{
    DM_CHECK(server->metrics_count < server->options.shards + ADDED_METRICS_MAX);
    server->metrics[server->metrics_count++] = metrics;
}

size_t dm_server_metrics(const struct dm_server *server, const struct dm_metrics ***all)
{
    *all = server->metrics;
    return server->metrics_count;
}

bool dm_server_take_connection(struct dm_server *server)
{
    if (atomic_fetch_add(&server->connections, 1) < server->options.limits.max_connections)
        return true;
    atomic_fetch_sub(&server->connections, 1);
    return false;
}

void dm_server_give_connection(struct dm_server *server)
{
    atomic_fetch_sub(&server->connections, 1);
}

struct dm_guard *dm_server_guard(const struct dm_server *server)
{
    return server->guard;
}

struct dm_hooks *dm_server_hooks(const struct dm_server *server)
{
    return server->hooks;
}

bool dm_server_draining(const struct dm_server *server)
{
    return atomic_load(&server->draining);
}

uint32_t dm_server_connections(const struct dm_server *server)
{
    return atomic_load(&server->connections);
}

void dm_server_step_done(struct dm_server *server, enum dm_drain_step step)
{
    atomic_fetch_add(&server->steps[step], 1);
}

bool dm_server_all_have(const struct dm_server *server, enum dm_drain_step step)
{
    return atomic_load(&server->steps[step]) == server->options.shards;
}
