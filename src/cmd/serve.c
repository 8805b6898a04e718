/* Wires the layers into a server, and waits for signals. */
#include "cmd/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/routes_admin.h"
#include "base/alloc.h"
#include "cmd/credentials.h"
#include "net/listener.h"
#include "net/routes.h"
#include "net/server.h"
#include "net/tls.h"
#include "store/database.h"

/* Descriptors kept for HTTP, hooks, the database and the loops themselves. */
enum { SPARE_DESCRIPTORS = 256 + DM_HOOK_COUNT * DM_HOOK_AT_ONCE };

static const struct dm_route *const route_tables[] = {
    dm_publish_routes, dm_send_routes, dm_channel_routes, dm_channel_send_routes,
    dm_socket_routes,  dm_user_routes, dm_admin_routes,
};

struct serving {
    struct dm_server *server;
    struct dm_database *database;
    struct dm_metrics writer, reader; /* counted by the store's threads */
    bool secure;                      /* TLS is what is spoken at the listener */
    struct dm_buf why;
};

static uint32_t default_shards(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 2)
        return 1;
    return cores / 2 > DM_SHARDS_MAX ? DM_SHARDS_MAX : (uint32_t)cores / 2;
}

/* As many descriptors as the system lets us have; what is left after our own is for sockets. */
static uint32_t socket_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > UINT32_MAX)
        return UINT32_MAX;
    uint32_t all = (uint32_t)limit.rlim_cur;
    return all > 2 * SPARE_DESCRIPTORS ? all - SPARE_DESCRIPTORS : all / 2;
}

static bool is_ready(void *context)
{
    const struct serving *serving = context;
    return dm_database_ready(serving->database);
}

static struct dm_server_options options_from(const struct dm_config *config,
                                             struct serving *serving)
{
    struct dm_server_options options = {
        .shards = config->shards ? config->shards : default_shards(),
        .limits = dm_config_limits(config),
        .max_pending_requests = config->max_pending_requests,
        .hibernate_after_ms = config->hibernate_after,
        .resume_window_ms = config->resume_window,
        .result_retention_ms = config->result_retention,
        .ping_interval_ms = config->ping_interval,
        .drain_timeout_ms = config->drain_timeout,
        .handshake_timeout_ms = config->handshake_timeout,
        .request_timeout_ms = config->request_timeout,
        .write_timeout_ms = config->write_timeout,
        .keepalive_ms = config->keepalive,
        .open_publish = config->open_publish,
        .guests = config->guests,
        .auth_cache_ms = config->auth_cache,
        .expire_sessions = config->expire_sessions,
        .metrics_public = config->metrics == DM_METRICS_PUBLIC,
        .cors_origins = config->cors_origins.all,
        .cors_origin_count = config->cors_origins.count,
        .trusted_proxies = config->trusted_proxies.all,
        .trusted_proxy_count = config->trusted_proxies.count,
        .routes = route_tables,
        .route_tables = DM_COUNT(route_tables),
        .ready = is_ready,
        .ready_context = serving,
    };
    uint32_t most = socket_limit();
    if (options.limits.max_connections == 0 || options.limits.max_connections > most)
        options.limits.max_connections = most;
    return options;
}

static int open_database(const struct dm_config *config, struct serving *serving)
{
    struct dm_database_options options = {
        .path = config->database,
        .sync_full = config->durability == DM_DURABILITY_FULL,
        .readers = 1,
    };
    struct dm_post post = dm_server_post(serving->server);
    dm_server_add_metrics(serving->server, &serving->writer);
    dm_server_add_metrics(serving->server, &serving->reader);
    return dm_database_open(&options, &post, &serving->writer, &serving->reader, &serving->database,
                            &serving->why);
}

/* --- signals --- */

/* Blocked before any thread starts, so that only the main thread takes them. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* A second SIGTERM or SIGINT, in the drain, ends the process at once. */
static void heed_signals(const sigset_t *signals)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

struct credentials {
    struct dm_auth *auth;
    struct ssl_ctx_st *tls;
    struct dm_hook_options hooks;
};

static int make_credentials(const struct dm_config *config, struct credentials *made,
                            struct dm_buf *why)
{
    *made = (struct credentials){.auth = NULL};
    int err = dm_credentials_make(config, &made->auth, why);
    if (!err)
        err = dm_credentials_make_tls(config, &made->tls, why);
    return err ? err : dm_credentials_hooks(config, &made->hooks, why);
}

static void release_credentials(struct credentials *made)
{
    dm_auth_release(made->auth);
    dm_tls_release(made->tls);
}

/* A listener that changed over would cut off those who know it as it was. */
static int check_secure(const struct serving *serving, const struct ssl_ctx_st *tls,
                        struct dm_buf *why)
{
    if (serving->secure == (tls != NULL))
        return DM_OK;
    dm_buf_lit(why, "tls_cert: turning TLS on or off needs a restart");
    return DM_ERR_INVALID_FIELD;
}

/* New secrets, keys and certificates; everything else needs a restart. A broken file changes
 * nothing. */
static void reload(struct serving *serving, const struct dm_config *config)
{
    struct dm_config fresh;
    struct credentials made = {.auth = NULL};
    struct dm_buf why = DM_BUF_INIT;
    int err = dm_config_load(&fresh, config->argc, config->argv, config->env, &why);
    if (!err)
        err = make_credentials(&fresh, &made, &why);
    if (!err)
        err = check_secure(serving, made.tls, &why);
    if (err) {
        dm_log(DM_LOG_ERROR, "reload_failed", "why", dm_buf_text(&why), NULL);
    } else {
        dm_server_set_auth(serving->server, made.auth);
        if (made.tls)
            dm_server_set_tls(serving->server, made.tls);
        if (made.hooks.secret)
            dm_server_set_hook_secret(serving->server, made.hooks.secret);
        dm_log(DM_LOG_INFO, "reloaded", "what",
               made.tls ? "secrets, keys, certificate" : "secrets, keys", NULL);
    }
    release_credentials(&made);
    dm_config_dispose(&fresh);
    dm_buf_dispose(&why);
}

static void serve_until_told(struct serving *serving, const struct dm_config *config,
                             const sigset_t *signals)
{
    for (;;) {
        int signal_number = sigwaitinfo(signals, NULL);
        if (signal_number == SIGHUP) {
            reload(serving, config);
        } else if (signal_number > 0) {
            dm_log(DM_LOG_INFO, "draining", "signal", strsignal(signal_number), NULL);
            return;
        }
    }
}

/* --- from start to end --- */

static int fail(struct serving *serving, const char *what)
{
    dm_log(DM_LOG_ERROR, what, "why", dm_buf_text(&serving->why), NULL);
    return 1;
}

static int run(struct serving *serving, const struct dm_config *config)
{
    sigset_t signals;
    struct dm_buf shown = DM_BUF_INIT;
    block_signals(&signals);
    if (open_database(config, serving) != DM_OK)
        return fail(serving, "database_refused");
    int fd = dm_listen(config->listen, &shown, &serving->why);
    if (fd < 0) {
        dm_database_close(&serving->database);
        return fail(serving, "listen_failed");
    }
    if (config->durability == DM_DURABILITY_PROCESS)
        dm_log(DM_LOG_WARN, "durability_relaxed", "survives", "a crash of the process", "not",
               "a power cut", NULL);
    struct dm_store store = dm_database_store(serving->database);
    dm_server_start(serving->server, &store, fd);
    dm_log(DM_LOG_INFO, "listening", "address", dm_buf_text(&shown), "tls",
           serving->secure ? "on" : "off", "version", DM_VERSION, NULL);
    dm_buf_dispose(&shown);
    serve_until_told(serving, config, &signals);
    heed_signals(&signals);
    dm_server_drain(serving->server);
    dm_database_close(&serving->database);
    dm_log(DM_LOG_INFO, "stopped", NULL);
    return 0;
}

int dm_serve(const struct dm_config *config)
{
    struct serving *serving = DM_NEW(struct serving);
    struct credentials made;
    int code = 1;
    dm_log_setup((enum dm_log_level)config->log_level, (enum dm_log_format)config->log_format);
    if (make_credentials(config, &made, &serving->why) == DM_OK) {
        struct dm_server_options options = options_from(config, serving);
        options.hooks = made.hooks;
        serving->secure = made.tls != NULL;
        serving->server = dm_server_create(&options, made.auth, made.tls);
        code = run(serving, config);
        dm_server_destroy(&serving->server);
    } else {
        fail(serving, "configuration_refused");
    }
    release_credentials(&made);
    dm_buf_dispose(&serving->why);
    free(serving);
    return code;
}
