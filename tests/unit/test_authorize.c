/*
 * May a request's user enter a channel? A real server whose one route asks
 * that, and a hook on a thread of this test that answers by the channel's name.
 */
#include "lib/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/hmac.h"
#include "base/clock.h"
#include "cmd/config.h"
#include "codec/base64url.h"
#include "net/client.h"
#include "net/listener.h"
#include "net/route.h"
#include "net/server.h"
#include "store/database.h"

#define SECRET "0123456789abcdef0123456789abcdef"

/* What h2o keeps of its loops until the process ends (tests/lsan.supp). */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libh2o-evloop";
}

static char dir[] = "/tmp/dormouse-authorize-XXXXXX";

/* --- the hook --- */

struct backend {
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    unsigned calls;
    char last[8192]; /* the last call, head and body */
};

static const struct {
    const char *channel, *answer; /* NULL: none at all */
} answers[] = {
    {"private-yes", "200 OK\r\nContent-Length: 14\r\n\r\n{\"allow\":true}"},
    {"presence-yes", "200 OK\r\nContent-Length: 14\r\n\r\n{\"allow\":true}"},
    {"private-no", "200 OK\r\nContent-Length: 15\r\n\r\n{\"allow\":false}"},
    {"private-one", "200 OK\r\nContent-Length: 11\r\n\r\n{\"allow\":1}"},
    {"private-junk", "200 OK\r\nContent-Length: 5\r\n\r\nallow"},
    {"private-created", "201 Created\r\nContent-Length: 14\r\n\r\n{\"allow\":true}"},
    {"private-404", "404 Not Found\r\nContent-Length: 14\r\n\r\n{\"allow\":true}"},
    {"private-moved", "302 Found\r\nLocation: /x\r\nContent-Length: 14\r\n\r\n{\"allow\":true}"},
    {"private-500", "500 No\r\nContent-Length: 14\r\n\r\n{\"allow\":true}"},
    {"private-cut", "200 OK\r\nContent-Length: 15\r\n\r\n{\"allow\":true}"},
    {"private-hang", NULL},
};

/* The whole request is there when its body's braces are closed: it ends with the headers' object.
 */
static bool is_whole(const char *text)
{
    const char *body = strstr(text, "\r\n\r\n{");
    size_t len = strlen(text);
    return body && len > 2 && strcmp(text + len - 2, "}}") == 0;
}

static void answer(struct backend *backend, int fd)
{
    char text[8192] = "";
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && !is_whole(text) && len < sizeof text - 1) {
        got = recv(fd, text + len, sizeof text - 1 - len, 0);
        len += got > 0 ? (size_t)got : 0;
        text[len] = 0;
    }
    pthread_mutex_lock(&backend->lock);
    backend->calls++;
    memcpy(backend->last, text, sizeof text);
    pthread_mutex_unlock(&backend->lock);
    for (size_t i = 0; i < DM_COUNT(answers); i++) {
        char channel[80];
        snprintf(channel, sizeof channel, "\"channel\":\"%s\"", answers[i].channel);
        if (!strstr(text, channel))
            continue;
        if (!answers[i].answer)
            usleep(700 * 1000);
        else
            dprintf(fd, "HTTP/1.1 %s", answers[i].answer);
    }
    close(fd);
}

static void *run_backend(void *self)
{
    struct backend *backend = self;
    int fd;
    while ((fd = accept(backend->fd, NULL, NULL)) >= 0)
        answer(backend, fd);
    return NULL;
}

static void start_backend(struct backend *backend, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    backend->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(backend->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(backend->fd, 16), 0);
    assert_int_equal(pthread_mutex_init(&backend->lock, NULL), 0);
    assert_int_equal(pthread_create(&backend->thread, NULL, run_backend, backend), 0);
}

static void stop_backend(struct backend *backend)
{
    shutdown(backend->fd, SHUT_RDWR);
    pthread_join(backend->thread, NULL);
    close(backend->fd);
    pthread_mutex_destroy(&backend->lock);
}

/* --- the server --- */

static int entered(struct dm_request *request)
{
    dm_reply_json(request, 200, request->args[0]); /* its arguments are still there */
    return DM_OK;
}

static int enter(struct dm_request *request)
{
    return dm_request_authorize_channel(request, request->args[0], entered);
}

static const struct dm_route routes[] = {
    {"POST", "/enter/*", DM_WHO_PUBLISH, DM_BODY_JSON, enter},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
static const struct dm_route *const tables[] = {routes};

struct rig {
    struct backend backend;
    struct dm_database *database;
    struct dm_server *server;
    struct dm_config config;
    struct dm_metrics writer, reader;
    char hook_url[80], listen[80], database_path[80];
};

static struct dm_server *create_server(const struct rig *rig, bool hook)
{
    char *secrets[] = {SECRET}, *keys[] = {"ci=api-key-0123456789"};
    const struct dm_auth_options auth_options = {
        .secrets = secrets, .secret_count = 1, .api_keys = keys, .api_key_count = 1};
    struct dm_server_options options = {
        .shards = 2,
        .limits = dm_config_limits(&rig->config),
        .max_pending_requests = 64,
        .hibernate_after_ms = 1000,
        .drain_timeout_ms = 1000,
        .handshake_timeout_ms = 5000,
        .request_timeout_ms = 5000,
        .write_timeout_ms = 5000,
        .keepalive_ms = 5000,
        .hooks = {.urls = {[DM_HOOK_AUTHORIZE] = hook ? rig->hook_url : ""},
                  .secret = SECRET,
                  .timeout_ms = 300},
        .routes = tables,
        .route_tables = 1,
    };
    struct dm_auth *auth;
    struct dm_buf why = DM_BUF_INIT;
    options.limits.max_connections = 100;
    assert_int_equal(dm_auth_create(&auth_options, &auth, &why), DM_OK);
    struct dm_server *server = dm_server_create(&options, auth, NULL);
    dm_auth_release(auth);
    dm_buf_dispose(&why);
    return server;
}

static void start(struct rig *rig, bool hook)
{
    static char *env[] = {NULL};
    struct dm_buf shown = DM_BUF_INIT, why = DM_BUF_INIT;
    *rig = (struct rig){0};
    snprintf(rig->hook_url, sizeof rig->hook_url, "unix:%s/hook.sock", dir);
    snprintf(rig->listen, sizeof rig->listen, "unix:%s/server.sock", dir);
    snprintf(rig->database_path, sizeof rig->database_path, "%s/test.db", dir);
    start_backend(&rig->backend, rig->hook_url + strlen("unix:"));
    assert_int_equal(dm_config_load(&rig->config, 0, NULL, env, &why), DM_OK);
    rig->server = create_server(rig, hook);
    struct dm_post post = dm_server_post(rig->server);
    const struct dm_database_options database = {.path = rig->database_path};
    assert_int_equal(
        dm_database_open(&database, &post, &rig->writer, &rig->reader, &rig->database, &why),
        DM_OK);
    int fd = dm_listen(rig->listen, &shown, &why);
    assert_true(fd >= 0);
    struct dm_store store = dm_database_store(rig->database);
    dm_server_start(rig->server, &store, fd);
    dm_buf_dispose(&shown);
    dm_buf_dispose(&why);
}

static void stop(struct rig *rig)
{
    dm_server_drain(rig->server);
    dm_database_close(&rig->database);
    dm_server_destroy(&rig->server);
    stop_backend(&rig->backend);
    dm_config_dispose(&rig->config);
    unlink(rig->hook_url + strlen("unix:"));
    unlink(rig->listen + strlen("unix:"));
    unlink(rig->database_path);
    char beside[100];
    snprintf(beside, sizeof beside, "%s.lock", rig->database_path);
    unlink(beside);
}

/* --- asking --- */

static void sign(const char *claims, struct dm_buf *token)
{
    struct dm_hmac_key key;
    uint8_t mac[DM_HMAC_LEN];
    const struct dm_slice header = DM_SLICE("{\"alg\":\"HS256\"}");
    dm_base64url_encode(token, header.at, header.len);
    dm_buf_add_byte(token, '.');
    dm_base64url_encode(token, claims, strlen(claims));
    dm_hmac_key_init(&key, DM_SLICE(SECRET));
    dm_hmac(&key, dm_buf_slice(token), mac);
    dm_hmac_key_dispose(&key);
    dm_buf_add_byte(token, '.');
    dm_base64url_encode(token, mac, sizeof mac);
}

#define CLAIMS "{\"userId\":\"zoe\",\"scope\":\"publish\",\"channels\":[\"private-mine-*\"]}"

/* The status; the answer's body must hold `says`. */
static int ask(const struct rig *rig, const char *channel, bool by_key, const char *says)
{
    struct dm_buf why = DM_BUF_INIT, token = DM_BUF_INIT;
    struct dm_client_answer answer;
    char path[200];
    snprintf(path, sizeof path, "/enter/%s", channel);
    if (by_key)
        dm_buf_lit(&token, "api-key-0123456789");
    else
        sign(CLAIMS, &token);
    struct dm_client *client = dm_client_connect(rig->listen, path, 5000, &why);
    assert_non_null(client);
    assert_true(dm_client_post(client, dm_buf_slice(&token), DM_SLICE("{}"), &answer, &why));
    if (!memmem(answer.body.at, answer.body.len, says, strlen(says)))
        fail_msg("%s: %d %.*s", channel, answer.status, (int)answer.body.len, answer.body.at);
    int status = answer.status;
    dm_client_destroy(&client);
    dm_buf_dispose(&why);
    dm_buf_dispose(&token);
    return status;
}

static unsigned calls(struct rig *rig)
{
    pthread_mutex_lock(&rig->backend.lock);
    unsigned count = rig->backend.calls;
    pthread_mutex_unlock(&rig->backend.lock);
    return count;
}

static void names_and_grants_come_before_the_hook(void **state)
{
    struct rig *rig = *state;
    start(rig, true);
    assert_int_equal(ask(rig, "orders", false, "orders"), 200);
    assert_int_equal(ask(rig, "private-mine-7", false, "private-mine-7"), 200);
    assert_int_equal(ask(rig, "private-no", true, "private-no"), 200);
    assert_int_equal(calls(rig), 0);
    stop(rig);
}

static void without_a_hook_there_is_no_way_in(void **state)
{
    struct rig *rig = *state;
    start(rig, false);
    assert_int_equal(ask(rig, "orders", false, "orders"), 200);
    assert_int_equal(ask(rig, "private-mine-7", false, "private-mine-7"), 200);
    assert_int_equal(ask(rig, "private-yes", false, "\"forbidden\""), 403);
    assert_int_equal(ask(rig, "Private-mine-7", false, "\"forbidden\""), 403);
    stop(rig);
}

static void the_hook_decides(void **state)
{
    struct rig *rig = *state;
    start(rig, true);
    const struct {
        const char *channel, *says;
        int status;
    } cases[] = {
        {"private-yes", "private-yes", 200},
        {"presence-yes", "presence-yes", 200},
        {"private-no", "\"forbidden\"", 403},
        {"private-one", "\"forbidden\"", 403},
        {"private-created", "\"forbidden\"", 403},
        {"private-404", "\"forbidden\"", 403},
        {"private-moved", "\"forbidden\"", 403},
        {"private-junk", "\"hook_unavailable\"", 503},
        {"private-500", "\"hook_unavailable\"", 503},
        {"private-cut", "\"hook_unavailable\"", 503},
        {"private-hang", "\"hook_unavailable\"", 503},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++)
        if (ask(rig, cases[i].channel, false, cases[i].says) != cases[i].status)
            fail_msg("%s", cases[i].channel);
    assert_int_equal(calls(rig), DM_COUNT(cases));
    stop(rig);
}

static void the_hook_is_told_who_asks(void **state)
{
    struct rig *rig = *state;
    start(rig, true);
    assert_int_equal(ask(rig, "private-yes", false, "private-yes"), 200);
    assert_int_equal(calls(rig), 1); /* and `last` is written */
    const char *text = rig->backend.last, *body = strstr(text, "\r\n\r\n") + 4;
    const char *expected = "{\"userId\":\"zoe\",\"channel\":\"private-yes\",\"claims\":" CLAIMS
                           ",\"headers\":{\"host\":";
    assert_int_equal(strncmp(body, expected, strlen(expected)), 0);
    assert_non_null(strstr(body, "\"content-type\":\"application/json\""));
    assert_null(strstr(body, "authorization"));
    assert_non_null(strstr(text, "\r\nDormouse-Signature: t="));
    assert_int_equal(strncmp(text, "POST / HTTP/1.1\r\n", 17), 0);
    stop(rig);
}

/* The server ends while a call is away, and a client waits; another has left. */
static void an_end_meanwhile_harms_nothing(void **state)
{
    struct rig *rig = *state;
    struct dm_buf why = DM_BUF_INIT, token = DM_BUF_INIT;
    start(rig, true);
    sign(CLAIMS, &token);
    for (int i = 0; i < 3; i++) {
        struct dm_client_answer answer;
        struct dm_client *client = dm_client_connect(rig->listen, "/enter/private-hang", 50, &why);
        assert_non_null(client);
        assert_false(dm_client_post(client, dm_buf_slice(&token), DM_SLICE("{}"), &answer, &why));
        dm_client_destroy(&client);
    }
    stop(rig);
    dm_buf_dispose(&why);
    dm_buf_dispose(&token);
}

static int enter_directory(void **state)
{
    static struct rig rig;
    *state = &rig;
    signal(SIGPIPE, SIG_IGN); /* as the server's main does */
    return mkdtemp(dir) ? 0 : -1;
}

static int leave_directory(void **state)
{
    (void)state;
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_grants_come_before_the_hook),
        cmocka_unit_test(without_a_hook_there_is_no_way_in),
        cmocka_unit_test(the_hook_decides),
        cmocka_unit_test(the_hook_is_told_who_asks),
        cmocka_unit_test(an_end_meanwhile_harms_nothing),
    };
    return cmocka_run_group_tests(tests, enter_directory, leave_directory) == 0 ? 0 : 1;
}
