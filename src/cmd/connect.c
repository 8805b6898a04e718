/* `dormouse connect`: a user's socket on the terminal. */
#include "base/clock.h"
#include "cmd/command.h"
#include "cmd/config_key.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "net/client.h"

enum { ANSWER_MS = 10000, PING_EVERY_MS = 30000, TOKEN_TTL_MS = 3600 * 1000 };

struct options {
    const char *user, *token, *url, *ack, *count;
    struct dm_strings filters;
};

struct connection {
    struct dm_client *client;
    struct dm_slice ack;
    uint64_t left; /* envelopes to print before it ends; UINT64_MAX: no end */
    struct dm_buf out, why;
};

/* "type=order,shop=7" as {"type":"order","shop":"7"}. */
static bool write_filter(struct dm_slice rest, struct dm_buf *out)
{
    bool typed = false;
    char separator = '{';
    if (!dm_utf8_valid(rest))
        return false;
    while (rest.at) {
        struct dm_slice value = dm_slice_split(&rest, ',');
        struct dm_slice key = dm_slice_split(&value, '=');
        if (!value.at || !key.len)
            return false;
        typed = typed || (dm_slice_eq(key, DM_SLICE("type")) && value.len);
        dm_buf_add_byte(out, separator);
        dm_json_encode(out, key);
        dm_buf_add_byte(out, ':');
        dm_json_encode(out, value);
        separator = ',';
    }
    dm_buf_add_byte(out, '}');
    return typed;
}

static bool write_subscribe(const struct dm_strings *filters, struct dm_buf *out)
{
    dm_buf_lit(out, "{\"type\":\"subscribe\",\"filters\":[");
    for (size_t i = 0; i < filters->count; i++) {
        if (i)
            dm_buf_add_byte(out, ',');
        if (!write_filter(dm_slice_of(filters->all[i]), out))
            return false;
    }
    if (!filters->count)
        dm_buf_lit(out, "{\"type\":\"message\"}");
    dm_buf_lit(out, "]}");
    return true;
}

static int fail(struct connection *connection)
{
    return dm_command_fail(DM_EXIT_FAILED, "%s", dm_buf_text(&connection->why));
}

/* Acknowledges an envelope; what has no envelopeId is only printed. */
static bool acknowledge(struct connection *connection, struct dm_slice message)
{
    struct dm_slice id = DM_NO_SLICE;
    if (!dm_json_valid(message))
        return true;
    struct dm_slice object = dm_json_value(message);
    if (dm_json_kind(object) == DM_JSON_OBJECT)
        id = dm_json_get(object, DM_SLICE("envelopeId"));
    if (dm_json_kind(id) != DM_JSON_STRING)
        return true;
    dm_buf_clear(&connection->out);
    dm_buf_lit(&connection->out, "{\"type\":\"ack\",\"envelopeId\":");
    dm_buf_add_slice(&connection->out, id);
    dm_buf_lit(&connection->out, ",\"result\":");
    dm_buf_add_slice(&connection->out, connection->ack);
    dm_buf_add_byte(&connection->out, '}');
    return dm_client_send(connection->client, DM_OP_TEXT, dm_buf_slice(&connection->out),
                          &connection->why);
}

static int take_message(struct connection *connection, struct dm_slice message)
{
    if (dm_slice_eq(message, DM_SLICE("pong")))
        return DM_EXIT_OK;
    dm_buf_clear(&connection->out);
    dm_buf_add_slice(&connection->out, message);
    dm_buf_add_byte(&connection->out, '\n');
    if (!dm_command_print(dm_buf_slice(&connection->out)))
        return dm_command_fail(DM_EXIT_FAILED, "cannot write to stdout");
    if (!acknowledge(connection, message))
        return fail(connection);
    if (connection->left != UINT64_MAX)
        connection->left--;
    return DM_EXIT_OK;
}

static int closed(const struct dm_client_frame *frame)
{
    int reason = frame->text.len < 124 ? (int)frame->text.len : 0;
    return dm_command_fail(frame->code == 1000 ? DM_EXIT_OK : DM_EXIT_FAILED,
                           "closed by the server: %u %.*s", frame->code, reason,
                           reason ? frame->text.at : "");
}

static int follow(struct connection *connection)
{
    uint64_t next_ping = 0; /* at once: its pong shows that the subscription was taken */
    struct dm_client_frame frame;
    int code = DM_EXIT_OK;
    while (code == DM_EXIT_OK && connection->left) {
        uint64_t now = dm_clock_mono_ms();
        if (now >= next_ping) {
            if (!dm_client_send(connection->client, DM_OP_TEXT, DM_SLICE("ping"), &connection->why))
                return fail(connection);
            next_ping = now + PING_EVERY_MS;
        }
        switch (dm_client_next(connection->client, (uint32_t)(next_ping - now), &frame,
                               &connection->why)) {
        case DM_CLIENT_MESSAGE:
            code = take_message(connection, frame.text);
            break;
        case DM_CLIENT_QUIET:
            break;
        case DM_CLIENT_CLOSED:
            return closed(&frame);
        case DM_CLIENT_FAILED:
            return fail(connection);
        }
    }
    if (code == DM_EXIT_OK)
        dm_client_close(connection->client);
    return code;
}

static int open_and_follow(struct connection *connection, const char *url, struct dm_slice token,
                           struct dm_slice subscribe)
{
    struct dm_client_answer answer;
    connection->client = dm_client_connect(url, "/", ANSWER_MS, &connection->why);
    if (!connection->client ||
        !dm_client_upgrade(connection->client, token, &answer, &connection->why))
        return fail(connection);
    if (answer.status != 101) {
        int len = answer.body.len < 4096 ? (int)answer.body.len : 4096;
        return dm_command_fail(DM_EXIT_FAILED, "refused: %d %.*s", answer.status, len,
                               len ? answer.body.at : "");
    }
    if (!dm_client_send(connection->client, DM_OP_TEXT, subscribe, &connection->why))
        return fail(connection);
    dm_command_fail(DM_EXIT_OK, "connected to %s", url);
    return follow(connection);
}

static int run(const struct options *options, const struct dm_config *config,
               struct connection *connection)
{
    struct dm_buf token = DM_BUF_INIT, url = DM_BUF_INIT, subscribe = DM_BUF_INIT;
    int code = DM_EXIT_OK;
    if (options->token)
        dm_buf_add_slice(&token, dm_slice_of(options->token));
    else
        code = dm_command_mint(config, options->user, 0, TOKEN_TTL_MS, &token);
    if (options->url)
        dm_buf_add_slice(&url, dm_slice_of(options->url));
    else
        dm_command_url(config, &url);
    if (code == DM_EXIT_OK && !write_subscribe(&options->filters, &subscribe))
        code = dm_command_fail(DM_EXIT_USAGE, "--filter: must be type=T or type=T,key=value");
    if (code == DM_EXIT_OK)
        code = open_and_follow(connection, dm_buf_text(&url), dm_buf_slice(&token),
                               dm_buf_slice(&subscribe));
    dm_client_destroy(&connection->client);
    dm_buf_dispose(&connection->out);
    dm_buf_dispose(&connection->why);
    dm_buf_dispose(&token);
    dm_buf_dispose(&url);
    dm_buf_dispose(&subscribe);
    return code;
}

int dm_command_connect(int argc, char **argv, char **env)
{
    struct options given = {0};
    const struct dm_option options[] = {
        {"--user", DM_OPTION_TEXT, &given.user}, {"--token", DM_OPTION_TEXT, &given.token},
        {"--url", DM_OPTION_TEXT, &given.url},   {"--filter", DM_OPTION_MANY, &given.filters},
        {"--ack", DM_OPTION_TEXT, &given.ack},   {"--count", DM_OPTION_TEXT, &given.count},
    };
    struct dm_config config;
    struct connection connection = {.ack = DM_SLICE("null"), .left = UINT64_MAX};
    int code = dm_command_begin(argc, argv, env, options, DM_COUNT(options), &config);
    if (given.ack)
        connection.ack = dm_slice_of(given.ack);
    if (code != DM_EXIT_OK)
        ;
    else if (!given.user && !given.token)
        code = dm_command_fail(DM_EXIT_USAGE,
                               "--user or --token is needed; see dormouse connect --help");
    else if (!dm_json_valid(connection.ack))
        code = dm_command_fail(DM_EXIT_USAGE, "--ack: must be JSON");
    else if (given.count && !dm_count_read(dm_slice_of(given.count), &connection.left))
        code = dm_command_fail(DM_EXIT_USAGE, "--count: must be a whole number");
    else
        code = run(&given, &config, &connection);
    dm_strings_wipe(&given.filters);
    dm_config_dispose(&config);
    return code;
}
