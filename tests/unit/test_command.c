/* The command line as its user sees it: what is printed, and exit codes. Its servers are scripted
 * peers; stdout and stderr go through files. */
#include "lib/peer.h"
#include "lib/store_rig.h"

#include <fcntl.h>

#include "auth/auth.h"
#include "base/clock.h"
#include "base/err.h"
#include "cmd/command.h"
#include "cmd/serve.h"
#include "ports/store_channel.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define API_KEY "api-key-0123456789"

static unsigned served_shards;

int dm_serve(const struct dm_config *config) /* in the real one's place */
{
    served_shards = config->shards;
    return 7;
}

struct outcome {
    int code;
    struct dm_buf out, err;
};

static int redirect(int fd, int *saved)
{
    char path[] = "/tmp/dormouse-command-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    unlink(path);
    *saved = dup(fd);
    dup2(file, fd);
    return file;
}

static void restore(int fd, int saved, int file, struct dm_buf *text)
{
    dup2(saved, fd);
    close(saved);
    lseek(file, 0, SEEK_SET);
    while (true) {
        ssize_t n = read(file, dm_buf_reserve(text, 4096), 4096);
        if (n <= 0)
            break;
        text->len += (size_t)n;
    }
    close(file);
}

static struct outcome run_with(char **env, int argc, char **argv)
{
    struct outcome outcome = {0};
    int saved_out, saved_err;
    fflush(stdout);
    int out = redirect(1, &saved_out), err = redirect(2, &saved_err);
    outcome.code = dm_command_run(argc, argv, env);
    fflush(stdout);
    restore(1, saved_out, out, &outcome.out);
    restore(2, saved_err, err, &outcome.err);
    dm_buf_text(&outcome.out);
    dm_buf_text(&outcome.err);
    return outcome;
}

static char *full_env[] = {"DORMOUSE_JWT_SECRET=" SECRET,
                           "DORMOUSE_API_KEYS=one=" API_KEY ",two=" API_KEY "-2", NULL};
static char *secret_env[] = {"DORMOUSE_JWT_SECRET=" SECRET, NULL};
static char *empty_env[] = {NULL};

#define RUN(env, ...)                                                                              \
    run_with(env, (int)DM_COUNT(((char *[]){"dormouse", __VA_ARGS__})),                            \
             (char *[]){"dormouse", __VA_ARGS__, NULL})

static void expect(struct outcome outcome, int code, const char *out, const char *err)
{
    if (outcome.code != code || (out && !strstr(outcome.out.bytes, out)) ||
        (err && !strstr(outcome.err.bytes, err)))
        fail_msg("exit %d\nstdout: %s\nstderr: %s\n", outcome.code, outcome.out.bytes,
                 outcome.err.bytes);
    assert_null(strstr(outcome.out.bytes, SECRET));
    assert_null(strstr(outcome.err.bytes, SECRET));
    if (!out)
        assert_int_equal(outcome.out.len, 0);
    if (!err)
        assert_string_equal(outcome.err.bytes, "");
    dm_buf_dispose(&outcome.out);
    dm_buf_dispose(&outcome.err);
}

static void it_explains_itself(void **state)
{
    (void)state;
    expect(RUN(empty_env, "--version"), 0, "dormouse " DM_VERSION "\n", NULL);
    expect(RUN(empty_env, "--help"), 0, "check-config", NULL);
    expect(run_with(empty_env, 1, (char *[]){"dormouse", NULL}), 2, NULL, "usage: dormouse");
    expect(RUN(empty_env, "dance"), 2, NULL, "dormouse: no such command: dance");
    expect(RUN(empty_env, "serve", "--help"), 0, "--hibernate-after TIME", NULL);
    expect(RUN(empty_env, "token", "--user", "--help"), 0, "usage: dormouse token", NULL);
    expect(RUN(empty_env, "connect", "-h"), 0, "--filter type=order", NULL);
    expect(RUN(empty_env, "publish", "--help"), 0, "--payload JSON", NULL);
    expect(RUN(empty_env, "backup", "--help"), 0, "--max-log SIZE", NULL);
    expect(RUN(empty_env, "check", "--help"), 0, "usage: dormouse check", NULL);
    expect(RUN(empty_env, "inspect", "--help"), 0, "--json", NULL);
    char *speak_tls[] = {"connect", "publish", "inspect"};
    for (size_t i = 0; i < DM_COUNT(speak_tls); i++)
        expect(RUN(empty_env, speak_tls[i], "--help"), 0, "SSL_CERT_FILE", NULL);
    expect(RUN(empty_env, "inspect", "--help"), 0, "https://", NULL);
}

static void serve_gets_the_configuration(void **state)
{
    (void)state;
    expect(RUN(empty_env, "serve", "--shards", "3"), 7, NULL, NULL);
    assert_int_equal(served_shards, 3);
    expect(RUN(empty_env, "serve", "--shard", "3"), 2, NULL, "dormouse: --shard: no such");
    expect(RUN(empty_env, "serve", "--config=/nonexistent"), 1, NULL,
           "dormouse: cannot open /nonexistent: No such file or directory");
}

static void check_config_shows_all_but_secrets(void **state)
{
    (void)state;
    expect(RUN(full_env, "check-config"), 0, "jwt_secret: (set) ", NULL);
    expect(RUN(empty_env, "check-config"), 0, "api_keys: (not set) ", "nobody can connect");
    expect(RUN(empty_env, "check-config", "--markdown"), 0, "| `listen` |", NULL);
    char *weak[] = {"DORMOUSE_JWT_SECRET=weak-weak-weak-weak-weak-weak-w", NULL};
    expect(RUN(weak, "check-config"), 1, NULL,
           "dormouse: DORMOUSE_JWT_SECRET: jwt_secret: entry 1 is shorter than 32 bytes\n");
    expect(RUN(weak, "token", "--user", "a"), 1, NULL,
           "dormouse: jwt_secret: entry 1 is shorter than 32 bytes\n");
}

static int check_token(struct dm_slice token, struct dm_principal *who)
{
    char *secrets[] = {SECRET};
    struct dm_auth_options options = {.secrets = secrets, .secret_count = 1};
    struct dm_auth *auth;
    struct dm_buf why = DM_BUF_INIT;
    assert_int_equal(dm_auth_create(&options, &auth, &why), DM_OK);
    int err = dm_auth_check(auth, token, false, dm_clock_wall_ms(), who, NULL);
    dm_auth_destroy(&auth);
    return err;
}

static void token_mints_what_auth_takes(void **state)
{
    (void)state;
    struct dm_principal who;
    struct outcome outcome =
        RUN(full_env, "token", "--user", " alice ", "--scope=publish,admin", "--ttl", "2m");
    assert_int_equal(outcome.code, 0);
    assert_int_equal(outcome.out.bytes[outcome.out.len - 1], '\n');
    assert_int_equal(check_token(dm_slice(outcome.out.bytes, outcome.out.len - 1), &who), DM_OK);
    assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("alice")));
    assert_int_equal(who.scopes, DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN);
    uint64_t now = dm_clock_wall_ms();
    assert_true(who.expires_ms > now + 100000 && who.expires_ms <= now + 120000);
    expect(outcome, 0, ".", NULL);
    expect(RUN(full_env, "token"), 2, NULL, "--user is needed");
    expect(RUN(full_env, "token", "--user"), 2, NULL, "dormouse: --user: needs a value\n");
    expect(RUN(full_env, "token", "--user", "a", "--user=b"), 2, NULL, "--user: is given twice");
    expect(RUN(full_env, "token", "--user", ""), 2, NULL, "not a valid userId");
    expect(RUN(full_env, "token", "--user", "guest:a"), 2, NULL, "not a valid userId");
    expect(RUN(full_env, "token", "--user", "\xff"), 2, NULL, "not a valid userId");
    expect(RUN(full_env, "token", "--user", "a", "--scope", "root"), 2, NULL, "--scope: must be");
    expect(RUN(full_env, "token", "--user", "a", "--ttl", "1"), 2, NULL, "--ttl: must be");
    expect(RUN(empty_env, "token", "--user", "a"), 1, NULL, "there is no jwt_secret");
}

/* What the peer was sent behind its handshake, unmasked, a frame a line. */
static void read_frames(struct dm_buf *got, struct dm_buf *lines)
{
    struct dm_frame_head head;
    char *end = strstr(dm_buf_text(got), "\r\n\r\n");
    assert_non_null(end);
    size_t at = (size_t)(end - got->bytes) + 4;
    while (at < got->len &&
           dm_frame_read(got->bytes + at, got->len - at, true, &head) == DM_FRAME_WHOLE) {
        dm_buf_add(lines, got->bytes + at + head.size, head.payload);
        dm_buf_add_byte(lines, '\n');
        at += head.size + head.payload;
    }
    assert_int_equal(at, got->len);
}

#define ENVELOPE_1 "{\"envelopeId\":\"e1\",\"type\":\"message\"}"
#define ENVELOPE_2 "{\"envelopeId\":\"e2\",\"type\":\"message\"}"

static void connect_prints_and_acknowledges(void **state)
{
    (void)state;
    struct dm_buf lines = DM_BUF_INIT;
    struct peer peer = {.hold = true,
                        .answer = DM_SLICE(PEER_SWITCH "\x81\x04pong\x81\x24" ENVELOPE_1
                                                       "\x81\x02hi\x81\x24" ENVELOPE_2)};
    peer_start(&peer);
    struct outcome outcome =
        RUN(full_env, "connect", "--user", "alice", "--url", peer.url, "--filter",
            "type=order,shop=\"7\"", "--filter=type=x", "--ack", "{\"ok\":1}", "--count=3");
    assert_string_equal(outcome.out.bytes, ENVELOPE_1 "\nhi\n" ENVELOPE_2 "\n");
    expect(outcome, 0, "", "dormouse: connected to http://");
    peer_join(&peer);
    const char *bearer = strstr(dm_buf_text(&peer.got), "Authorization: Bearer ");
    struct dm_principal who;
    assert_non_null(bearer);
    struct dm_slice token = dm_slice_of(bearer + 22);
    token = dm_slice_split(&token, '\r');
    assert_int_equal(check_token(token, &who), DM_OK);
    assert_true(dm_slice_eq(dm_principal_id(&who), DM_SLICE("alice")));
    assert_int_equal(who.scopes, 0);
    read_frames(&peer.got, &lines);
    assert_string_equal(dm_buf_text(&lines),
                        "{\"type\":\"subscribe\",\"filters\":[{\"type\":\"order\",\"shop\":"
                        "\"\\\"7\\\"\"},{\"type\":\"x\"}]}\nping\n"
                        "{\"type\":\"ack\",\"envelopeId\":\"e1\",\"result\":{\"ok\":1}}\n"
                        "{\"type\":\"ack\",\"envelopeId\":\"e2\",\"result\":{\"ok\":1}}\n"
                        "\x03\xe8\n");
    dm_buf_dispose(&lines);
    peer_dispose(&peer);
}

static void connect_says_why_it_ended(void **state)
{
    (void)state;
    const struct {
        struct dm_slice answer;
        int code;
        const char *err;
    } cases[] = {
        {DM_SLICE("HTTP/1.1 401 x\r\nContent-Length: 13\r\n\r\n{\"error\":\"x\"}"), 1,
         "dormouse: refused: 401 {\"error\":\"x\"}\n"},
        {DM_SLICE(PEER_SWITCH "\x88\x05\x03\xf4"
                              "bye"),
         1, "dormouse: closed by the server: 1012 bye\n"},
        {DM_SLICE(PEER_SWITCH "\x88\x02\x03\xe8"), 0, "dormouse: closed by the server: 1000 \n"},
        {DM_SLICE(PEER_SWITCH), 1, "dormouse: the connection ended"},
        {DM_SLICE(PEER_SWITCH "\xff\xff"), 1, "dormouse: the server broke the protocol (1002)\n"},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct peer peer = {.answer = cases[i].answer};
        peer_start(&peer);
        expect(RUN(empty_env, "connect", "--token", "t", "--url", peer.url), cases[i].code, NULL,
               cases[i].err);
        peer_join(&peer);
        assert_non_null(strstr(dm_buf_text(&peer.got), "\r\nAuthorization: Bearer t\r\n"));
        peer_dispose(&peer);
    }
    expect(RUN(empty_env, "connect"), 2, NULL, "--user or --token is needed");
    expect(RUN(empty_env, "connect", "--user", "a"), 1, NULL, "there is no jwt_secret");
    expect(RUN(full_env, "connect", "--user", "a", "--ack", "{"), 2, NULL, "--ack: must be JSON");
    expect(RUN(full_env, "connect", "--user", "a", "--count", "x"), 2, NULL, "--count: must be");
    const char *filters[] = {"", "type", "shop=7", "type=", "type=a,", "=a", "type=\xff"};
    for (size_t i = 0; i < DM_COUNT(filters); i++)
        expect(RUN(full_env, "connect", "--user", "a", "--filter", (char *)(uintptr_t)filters[i]),
               2, NULL, "--filter: must be");
}

/* Publishes to a peer with that answer; `sent` must be in the request. */
static void expect_publish(char **env, int argc, char **argv, struct dm_slice answer, int code,
                           const char *sent)
{
    char *all[16] = {"dormouse", "publish", "--url"};
    struct peer peer = {.answer = answer};
    peer_start(&peer);
    all[3] = peer.url;
    memcpy(all + 4, argv, (size_t)argc * sizeof *argv);
    expect(run_with(env, argc + 4, all), code, "{\"a\":1}\n", code ? "refused: 403\n" : NULL);
    peer_join(&peer);
    assert_non_null(strstr(dm_buf_text(&peer.got), "POST /publish HTTP/1.1\r\n"));
    if (!strstr(peer.got.bytes, sent))
        fail_msg("sent: %s", peer.got.bytes);
    peer_dispose(&peer);
}

#define PUBLISH(env, answer, code, sent, ...)                                                      \
    expect_publish(env, (int)DM_COUNT(((char *[]){__VA_ARGS__})), (char *[]){__VA_ARGS__}, answer, \
                   code, sent)

static void publish_posts_and_prints(void **state)
{
    (void)state;
    const struct dm_slice good = DM_SLICE("HTTP/1.1 202 x\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    const struct dm_slice bad = DM_SLICE("HTTP/1.1 403 x\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    PUBLISH(full_env, good, 0,
            "\r\n\r\n{\"userId\":\"zo\\\"e\",\"type\":\"message\",\"timeoutMs\":5000}", "--user",
            "zo\"e");
    PUBLISH(full_env, good, 0, ",\"type\":\"t\",\"payload\": [1] ,\"timeoutMs\":250}", "--user",
            "a", "--type", "t", "--payload", " [1] ", "--timeout=250ms");
    PUBLISH(full_env, good, 0, "Bearer " API_KEY "\r\n", "--user", "a");
    PUBLISH(full_env, good, 0, "Bearer " API_KEY "-2\r\n", "--user", "a", "--key", "two");
    PUBLISH(full_env, good, 0, "Bearer tok\r\n", "--user", "a", "--token", "tok");
    PUBLISH(secret_env, good, 0, "Bearer eyJ", "--user", "a");
    PUBLISH(full_env, bad, 1, "", "--user", "a");
    expect(RUN(full_env, "publish"), 2, NULL, "--user is needed");
    expect(RUN(empty_env, "publish", "--user", "a"), 1, NULL, "there is no API key");
    expect(RUN(full_env, "publish", "--user", "a", "--key", "three"), 1, NULL,
           "no key of that name");
    expect(RUN(full_env, "publish", "--user", "a", "--payload", "{"), 2, NULL, "must be JSON");
    expect(RUN(full_env, "publish", "--user", "a", "--timeout", "61s"), 2, NULL, "from 0 to 1m");
    expect(RUN(full_env, "publish", "--user", "\xff"), 2, NULL, "--user: must be UTF-8");
    expect(RUN(full_env, "publish", "--user", "a", "--listen", "127.0.0.1:1"), 1, NULL,
           "dormouse: 127.0.0.1:1: Connection refused\n");
    expect(RUN(full_env, "publish", "--user", "a", "--listen", "0.0.0.0:1"), 1, NULL,
           "dormouse: 127.0.0.1:1: Connection refused\n");
    expect(RUN(full_env, "publish", "--user", "a", "--listen", "unix:/nonexistent/s"), 1, NULL,
           "dormouse: /nonexistent/s: No such file or directory\n");
}

/* The commands that look at a database: one, closed again, with a session and what it owes,
 * and a user in two channels. */
static void make_database(struct store_rig *rig)
{
    struct dm_uuid session = store_rig_id(1), envelope = store_rig_id(9);
    struct dm_store_op *op = store_rig_save("ann", 1, "[]");
    store_rig_init(rig);
    assert_int_equal(store_rig_open(rig), DM_OK);
    dm_store_op_add_pending(op, &envelope, &session);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
    for (const char *channels = "cd"; *channels; channels++) {
        op = dm_store_op_create(DM_STORE_JOIN_CHANNEL, 0, NULL);
        op->user_id = dm_store_op_add_text(op, DM_SLICE("ann"));
        dm_store_op_channel(op)->name = dm_store_op_add_text(op, dm_slice(channels, 1));
        assert_int_equal(store_rig_finish(rig, op), DM_OK);
    }
    dm_database_close(&rig->database);
}

static void backup_copies_and_check_is_content(void **state)
{
    (void)state;
    struct store_rig rig;
    char copy[128], again[160];
    make_database(&rig);
    snprintf(copy, sizeof copy, "%s/copy.db", rig.folder);
    snprintf(again, sizeof again, "dormouse: %s: is there already", copy);
    expect(RUN(empty_env, "backup", copy, "--database", rig.path), 0, "copy.db: 90112 bytes", NULL);
    expect(RUN(empty_env, "backup", "--database", rig.path, copy), 1, NULL, again);
    expect(RUN(empty_env, "check", "--database", copy), 0, "copy.db: sound\n", NULL);
    assert_int_equal(unlink(copy), 0);
    char *env[] = {(char[160]){0}, NULL};
    snprintf(env[0], 160, "DORMOUSE_DATABASE=%s", rig.path);
    expect(RUN(env, "backup", "--max-log=1MiB", copy), 0, "copy.db: ", NULL);

    expect(RUN(env, "backup"), 2, NULL, "dormouse: a FILE to back up to is needed");
    expect(RUN(env, "backup", ""), 2, NULL, "a FILE to back up to is needed");
    expect(RUN(env, "backup", "--database", rig.path), 2, NULL, "a FILE to back up to is needed");
    expect(RUN(env, "backup", copy, "--max-log", "much"), 2, NULL, "--max-log: must be a size");
    expect(RUN(env, "backup", copy, "--maxlog=1"), 2, NULL, "dormouse: --maxlog");
    expect(RUN(env, "backup", copy, "more"), 2, NULL, "is not expected");
    expect(RUN(env, "backup", "x", "--database=/nowhere.db"), 1, NULL,
           "dormouse: /nowhere.db: there is no such database; name it with --database\n");
    store_rig_dispose(&rig);
}

static void check_says_what_is_wrong(void **state)
{
    (void)state;
    struct store_rig rig;
    struct dm_uuid session = store_rig_id(7), envelope = store_rig_id(8);
    make_database(&rig);
    struct dm_store_op *op = dm_store_op_create(DM_STORE_SAVE_USER, 0, NULL);
    dm_store_op_add_pending(op, &envelope, &session);
    assert_int_equal(store_rig_open(&rig), DM_OK);
    assert_int_equal(store_rig_finish(&rig, op), DM_OK);
    expect(RUN(empty_env, "check", "--database", rig.path), 1,
           "pending_ack_session: pending_ack of envelope 01000000-0000-0000-0000-000000000008 by",
           ": 1 thing is wrong\n");
    expect(RUN(empty_env, "check", "--database=/nowhere.db"), 1, NULL, "there is no such database");
    expect(RUN(empty_env, "check", "surprise"), 2, NULL, "is not expected");
    store_rig_dispose(&rig);
}

#define METRICS                                                                                    \
    "# TYPE dormouse_sessions gauge\ndormouse_sessions 12\n"                                       \
    "dormouse_objects{kind=\"user\",state=\"awake\"} 3\n"                                          \
    "dormouse_objects{kind=\"user\",state=\"asleep\"} 4\n"
#define LIVE "\"answers\":true,\"sessions\":12,\"awake\":3,\"asleep\":4}}\n"

/* Inspects with a server that gives that answer. */
static void expect_inspect(char **env, const char *database, struct dm_slice answer,
                           const char *out, const char *sent)
{
    struct peer peer = {.answer = answer};
    peer_start(&peer);
    expect(
        RUN(env, "inspect", "--json", "--url", peer.url, "--database", (char *)(uintptr_t)database),
        0, out, NULL);
    peer_join(&peer);
    if (!strstr(dm_buf_text(&peer.got), "GET /metrics HTTP/1.1\r\n") ||
        !strstr(peer.got.bytes, sent))
        fail_msg("sent: %s", peer.got.bytes);
    peer_dispose(&peer);
}

static void inspect_counts_and_asks_the_server(void **state)
{
    (void)state;
    struct store_rig rig;
    make_database(&rig);
    const struct dm_slice good = DM_SLICE("HTTP/1.1 200 x\r\n\r\n" METRICS);
    expect_inspect(full_env, rig.path, good, "\"users\":1,\"sessions\":1,\"pendingAcks\":1,",
                   "Bearer " API_KEY "\r\n");
    expect_inspect(full_env, rig.path, good, "\"owed\":0,\"channels\":2,\"members\":2,", "");
    expect_inspect(full_env, rig.path, good, LIVE, "Bearer " API_KEY "\r\n");
    expect_inspect(secret_env, rig.path, good, LIVE, "Bearer eyJ");
    expect_inspect(empty_env, rig.path, good, LIVE, "\r\n\r\n");
    expect_inspect(full_env, rig.path, DM_SLICE("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n"),
                   "\"answers\":false,\"why\":\"refused: 403\"}}\n", "");
    expect_inspect(full_env, rig.path, DM_SLICE("HTTP/1.1 200 x\r\n\r\ndormouse_sessions 12\n"),
                   "\"answers\":false,\"why\":\"its answer is not dormouse's metrics\"}}\n", "");
    expect(RUN(full_env, "inspect", "--database", rig.path, "--listen", "127.0.0.1:1"), 0,
           "server http://127.0.0.1:1\n  no answer: 127.0.0.1:1: Connection refused\n", NULL);
    expect(RUN(full_env, "inspect", "--database", rig.path, "--listen", "127.0.0.1:1"), 0,
           "  pending acks   1\n", NULL);
    expect(RUN(full_env, "inspect", "--database", rig.path, "--listen", "127.0.0.1:1"), 0,
           "  channels       2\n  members        2\n", NULL);
    expect(RUN(full_env, "inspect", "--database", rig.path, "--key", "three"), 1, NULL,
           "no key of that name");
    expect(RUN(full_env, "inspect", "--database=/nowhere.db"), 1, NULL,
           "there is no such database");
    store_rig_dispose(&rig);
}

DM_UNIT_MAIN(cmocka_unit_test(it_explains_itself), cmocka_unit_test(serve_gets_the_configuration),
             cmocka_unit_test(check_config_shows_all_but_secrets),
             cmocka_unit_test(token_mints_what_auth_takes),
             cmocka_unit_test(connect_prints_and_acknowledges),
             cmocka_unit_test(connect_says_why_it_ended),
             cmocka_unit_test(publish_posts_and_prints),
             cmocka_unit_test(backup_copies_and_check_is_content),
             cmocka_unit_test(check_says_what_is_wrong),
             cmocka_unit_test(inspect_counts_and_asks_the_server))
