/* `dormouse inspect`: what the database holds, and what a server that has it open says of itself.
 */
#include "store/inspect.h"

#include "auth/auth.h"
#include "base/err.h"
#include "cmd/command.h"
#include "cmd/config_key.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "net/client.h"

enum { ANSWER_MS = 5000 };

struct options {
    const char *key, *token, *url;
    bool json;
};

struct server {
    bool answers;
    uint64_t sessions, awake, asleep;
    struct dm_buf url, why; /* why it does not answer */
};

/* --- the running server --- */

/* A key, a token minted here, or none: on the machine itself /metrics may be open. */
static int choose_credential(const struct options *options, const struct dm_config *config,
                             struct dm_buf *credential)
{
    return dm_command_credential(config, options->token, options->key, "dormouse-inspect",
                                 DM_SCOPE_ADMIN, credential);
}

/* The number of the sample of that name and labels; false if it is not there. */
static bool find_sample(struct dm_slice text, const char *name, uint64_t *number)
{
    while (text.at) {
        struct dm_slice value = dm_slice_split(&text, '\n');
        struct dm_slice its_name = dm_slice_split(&value, ' ');
        if (value.at && dm_slice_eq(its_name, dm_slice_of(name)))
            return dm_count_read(value, number);
    }
    return false;
}

static bool read_metrics(struct server *server, struct dm_slice text)
{
    return find_sample(text, "dormouse_sessions", &server->sessions) &&
           find_sample(text, "dormouse_objects{kind=\"user\",state=\"awake\"}", &server->awake) &&
           find_sample(text, "dormouse_objects{kind=\"user\",state=\"asleep\"}", &server->asleep);
}

static void ask(struct server *server, struct dm_slice credential)
{
    struct dm_client_answer answer;
    struct dm_client *client =
        dm_client_connect(dm_buf_text(&server->url), "/metrics", ANSWER_MS, &server->why);
    if (!client || !dm_client_get(client, credential, &answer, &server->why))
        ;
    else if (answer.status != 200)
        dm_buf_printf(&server->why, "refused: %d", answer.status);
    else if (!read_metrics(server, answer.body))
        dm_buf_lit(&server->why, "its answer is not dormouse's metrics");
    else
        server->answers = true;
    dm_client_destroy(&client);
}

static int look_for(struct server *server, const struct options *options,
                    const struct dm_config *config)
{
    struct dm_buf credential = DM_BUF_INIT;
    int code = choose_credential(options, config, &credential);
    if (options->url)
        dm_buf_add_slice(&server->url, dm_slice_of(options->url));
    else
        dm_command_url(config, &server->url);
    if (code == DM_EXIT_OK && !dm_utf8_valid(dm_buf_slice(&server->url)))
        code = dm_command_fail(DM_EXIT_USAGE, "--url: must be UTF-8");
    if (code == DM_EXIT_OK)
        ask(server, dm_buf_slice(&credential));
    if (credential.bytes)
        explicit_bzero(credential.bytes, credential.capacity);
    dm_buf_dispose(&credential);
    return code;
}

/* --- what is printed --- */

struct number {
    const char *name; /* in JSON */
    const char *label;
    uint64_t value;
};

static void add_line(struct dm_buf *out, const char *label, uint64_t value)
{
    dm_buf_printf(out, "  %-14s ", label);
    dm_buf_add_number(out, value);
    dm_buf_add_byte(out, '\n');
}

static void add_members(struct dm_buf *out, const struct number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dm_buf_printf(out, ",\"%s\":", numbers[i].name);
        dm_buf_add_number(out, numbers[i].value);
    }
    dm_buf_add_byte(out, '}');
}

static void write_people(const char *path, const struct number *numbers, size_t count,
                         struct server *server, const struct number *live, size_t live_count,
                         struct dm_buf *out)
{
    dm_buf_printf(out, "database %s\n", path);
    for (size_t i = 0; i < count; i++)
        add_line(out, numbers[i].label, numbers[i].value);
    dm_buf_printf(out, "server %s\n", dm_buf_text(&server->url));
    if (!server->answers) {
        dm_buf_printf(out, "  no answer: %s\n", dm_buf_text(&server->why));
        return;
    }
    for (size_t i = 0; i < live_count; i++)
        add_line(out, live[i].label, live[i].value);
}

static void write_json(const char *path, const struct number *numbers, size_t count,
                       struct server *server, const struct number *live, size_t live_count,
                       struct dm_buf *out)
{
    dm_buf_lit(out, "{\"database\":{\"path\":");
    if (dm_utf8_valid(dm_slice_of(path)))
        dm_json_encode(out, dm_slice_of(path));
    else /* a file's name may be any bytes, JSON not */
        dm_buf_lit(out, "null");
    add_members(out, numbers, count);
    dm_buf_lit(out, ",\"server\":{\"url\":");
    dm_json_encode(out, dm_slice_of(dm_buf_text(&server->url)));
    dm_buf_printf(out, ",\"answers\":%s", server->answers ? "true" : "false");
    if (!server->answers) {
        dm_buf_lit(out, ",\"why\":");
        dm_json_encode(out, dm_slice_of(dm_buf_text(&server->why)));
    }
    add_members(out, live, server->answers ? live_count : 0);
    dm_buf_lit(out, "}\n");
}

static int print(const char *path, const struct dm_inspection *found, struct server *server,
                 bool json)
{
    const struct number numbers[] = {
        {"version", "version", found->version},
        {"users", "users", found->users},
        {"sessions", "sessions", found->sessions},
        {"pendingAcks", "pending acks", found->pending_acks},
        {"publishes", "publishes", found->publishes},
        {"owed", "envelopes owed", found->owed},
        {"channels", "channels", found->channels},
        {"members", "members", found->members},
        {"bytes", "bytes", found->bytes},
        {"freeBytes", "of them free", found->free_bytes},
        {"logBytes", "bytes of log", found->log_bytes},
    };
    const struct number live[] = {
        {"sessions", "open sessions", server->sessions},
        {"awake", "users awake", server->awake},
        {"asleep", "users asleep", server->asleep},
    };
    struct dm_buf out = DM_BUF_INIT;
    (json ? write_json : write_people)(path, numbers, DM_COUNT(numbers), server, live,
                                       DM_COUNT(live), &out);
    bool printed = dm_command_print(dm_buf_slice(&out));
    dm_buf_dispose(&out);
    return printed ? DM_EXIT_OK : dm_command_fail(DM_EXIT_FAILED, "cannot write to stdout");
}

static int inspect(const struct options *options, const struct dm_config *config)
{
    struct dm_inspection found;
    struct server server = {0};
    struct dm_buf why = DM_BUF_INIT;
    int code = DM_EXIT_OK;
    if (dm_inspect(config->database, &found, &why) != DM_OK)
        code = dm_command_fail(DM_EXIT_FAILED, "%s", dm_buf_text(&why));
    else
        code = look_for(&server, options, config);
    if (code == DM_EXIT_OK)
        code = print(config->database, &found, &server, options->json);
    dm_buf_dispose(&server.url);
    dm_buf_dispose(&server.why);
    dm_buf_dispose(&why);
    return code;
}

int dm_command_inspect(int argc, char **argv, char **env)
{
    struct options given = {0};
    const struct dm_option options[] = {
        {"--json", DM_OPTION_SET, &given.json},
        {"--key", DM_OPTION_TEXT, &given.key},
        {"--token", DM_OPTION_TEXT, &given.token},
        {"--url", DM_OPTION_TEXT, &given.url},
    };
    struct dm_config config;
    int code = dm_command_begin(argc, argv, env, options, DM_COUNT(options), &config);
    if (code == DM_EXIT_OK)
        code = inspect(&given, &config);
    dm_config_dispose(&config);
    return code;
}
