/* `dormouse publish`: one envelope to one user, and the acks' results. */
#include "auth/auth.h"
#include "cmd/command.h"
#include "cmd/config_key.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "net/client.h"

enum { ANSWER_MS = 10000 };

struct options {
    const char *user, *type, *payload, *timeout, *key, *token, *url;
};

static void write_body(const struct options *options, uint64_t timeout_ms, struct dm_buf *body)
{
    dm_buf_lit(body, "{\"userId\":");
    dm_json_encode(body, dm_slice_of(options->user));
    dm_buf_lit(body, ",\"type\":");
    dm_json_encode(body, dm_slice_of(options->type ? options->type : "message"));
    if (options->payload) {
        dm_buf_lit(body, ",\"payload\":");
        dm_buf_add_slice(body, dm_slice_of(options->payload));
    }
    dm_buf_lit(body, ",\"timeoutMs\":");
    dm_buf_add_number(body, timeout_ms);
    dm_buf_add_byte(body, '}');
}

static int choose_credential(const struct options *options, const struct dm_config *config,
                             struct dm_buf *credential)
{
    int code = dm_command_credential(config, options->token, options->key, "dormouse-publish",
                                     DM_SCOPE_PUBLISH, credential);
    if (code == DM_EXIT_OK && !credential->len)
        code = dm_command_fail(DM_EXIT_FAILED,
                               "there is no API key to publish with: set api_keys in the file, "
                               "DORMOUSE_API_KEYS or api_keys_file, or bring a --token");
    return code;
}

static int post(const char *url, struct dm_slice credential, struct dm_slice body,
                uint64_t timeout_ms)
{
    struct dm_buf why = DM_BUF_INIT, out = DM_BUF_INIT;
    struct dm_client_answer answer;
    int code = DM_EXIT_OK;
    struct dm_client *client =
        dm_client_connect(url, "/publish", (uint32_t)timeout_ms + ANSWER_MS, &why);
    if (!client || !dm_client_post(client, credential, body, &answer, &why)) {
        code = dm_command_fail(DM_EXIT_FAILED, "%s", dm_buf_text(&why));
    } else {
        dm_buf_add_slice(&out, answer.body);
        dm_buf_add_byte(&out, '\n');
        if (!dm_command_print(dm_buf_slice(&out)))
            code = dm_command_fail(DM_EXIT_FAILED, "cannot write to stdout");
        else if (answer.status < 200 || answer.status > 299)
            code = dm_command_fail(DM_EXIT_FAILED, "refused: %d", answer.status);
    }
    dm_client_destroy(&client);
    dm_buf_dispose(&why);
    dm_buf_dispose(&out);
    return code;
}

static int run(const struct options *options, const struct dm_config *config, uint64_t timeout_ms)
{
    struct dm_buf credential = DM_BUF_INIT, url = DM_BUF_INIT, body = DM_BUF_INIT;
    int code = choose_credential(options, config, &credential);
    if (options->url)
        dm_buf_add_slice(&url, dm_slice_of(options->url));
    else
        dm_command_url(config, &url);
    write_body(options, timeout_ms, &body);
    if (code == DM_EXIT_OK)
        code = post(dm_buf_text(&url), dm_buf_slice(&credential), dm_buf_slice(&body), timeout_ms);
    if (credential.bytes)
        explicit_bzero(credential.bytes, credential.capacity);
    dm_buf_dispose(&credential);
    dm_buf_dispose(&url);
    dm_buf_dispose(&body);
    return code;
}

/* What is wrong with the options; NULL if nothing. */
static const char *check(const struct options *options, uint64_t *timeout_ms)
{
    const char *timeout = options->timeout ? options->timeout : "5s";
    if (!options->user)
        return "--user is needed; see dormouse publish --help";
    if (!dm_utf8_valid(dm_slice_of(options->user)))
        return "--user: must be UTF-8";
    if (!dm_utf8_valid(dm_slice_of(options->type)))
        return "--type: must be UTF-8";
    if (options->payload && !dm_json_valid(dm_slice_of(options->payload)))
        return "--payload: must be JSON";
    if (!dm_duration_read(dm_slice_of(timeout), timeout_ms) || *timeout_ms > DM_TIMEOUT_MS_MAX)
        return "--timeout: must be a duration from 0 to 1m";
    return NULL;
}

int dm_command_publish(int argc, char **argv, char **env)
{
    struct options given = {0};
    const struct dm_option options[] = {
        {"--user", DM_OPTION_TEXT, &given.user},
        {"--type", DM_OPTION_TEXT, &given.type},
        {"--payload", DM_OPTION_TEXT, &given.payload},
        {"--timeout", DM_OPTION_TEXT, &given.timeout},
        {"--key", DM_OPTION_TEXT, &given.key},
        {"--token", DM_OPTION_TEXT, &given.token},
        {"--url", DM_OPTION_TEXT, &given.url},
    };
    struct dm_config config;
    uint64_t timeout_ms = 0;
    int code = dm_command_begin(argc, argv, env, options, DM_COUNT(options), &config);
    const char *wrong = code == DM_EXIT_OK ? check(&given, &timeout_ms) : NULL;
    if (wrong)
        code = dm_command_fail(DM_EXIT_USAGE, "%s", wrong);
    else if (code == DM_EXIT_OK)
        code = run(&given, &config, timeout_ms);
    dm_config_dispose(&config);
    return code;
}
