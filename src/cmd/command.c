/* The table of subcommands, and the small things that they share. */
#include "cmd/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/jwt.h"
#include "auth/token.h"
#include "base/clock.h"
#include "base/err.h"
#include "cmd/help.h"
#include "codec/utf8.h"
#include "model/name.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv, char **env);
    const char *help;
    bool shows_keys; /* its help goes on with all configuration flags */
} commands[] = {
    {"serve", dm_command_serve, dm_help_serve, true},
    {"check-config", dm_command_check_config, dm_help_check_config, false},
    {"token", dm_command_token, dm_help_token, false},
    {"connect", dm_command_connect, dm_help_connect, false},
    {"publish", dm_command_publish, dm_help_publish, false},
    {"backup", dm_command_backup, dm_help_backup, false},
    {"check", dm_command_check, dm_help_check, false},
    {"inspect", dm_command_inspect, dm_help_inspect, false},
};

int dm_command_fail(int code, const char *format, ...)
{
    va_list args;
    fputs("dormouse: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

bool dm_command_print(struct dm_slice text)
{
    return (!text.len || fwrite(text.at, text.len, 1, stdout) == 1) && fflush(stdout) == 0;
}

static int print_help(const struct command *command)
{
    struct dm_buf out = DM_BUF_INIT;
    dm_buf_add_slice(&out, dm_slice_of(command->help));
    if (command->shows_keys)
        dm_config_help(&out);
    bool printed = dm_command_print(dm_buf_slice(&out));
    dm_buf_dispose(&out);
    return printed ? DM_EXIT_OK : DM_EXIT_FAILED;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

int dm_command_run(int argc, char **argv, char **env)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < DM_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (asks_for_help(argc - 2, argv + 2))
            return print_help(&commands[i]);
        return commands[i].run(argc - 2, argv + 2, env);
    }
    if (strcmp(name, "--version") == 0)
        return dm_command_print(DM_SLICE("dormouse " DM_VERSION "\n")) ? DM_EXIT_OK
                                                                       : DM_EXIT_FAILED;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return dm_command_print(dm_slice_of(dm_help_main)) ? DM_EXIT_OK : DM_EXIT_FAILED;
    if (argc < 2) {
        fputs(dm_help_main, stderr);
        return DM_EXIT_USAGE;
    }
    return dm_command_fail(DM_EXIT_USAGE, "no such command: %s; see dormouse --help", name);
}

int dm_command_begin(int argc, char **argv, char **env, const struct dm_option *options,
                     size_t count, struct dm_config *config)
{
    struct dm_buf why = DM_BUF_INIT;
    int code = DM_EXIT_OK;
    *config = (struct dm_config){0};
    if (!dm_options_take(&argc, argv, options, count, &why)) {
        code = dm_command_fail(DM_EXIT_USAGE, "%s", dm_buf_text(&why));
    } else {
        int err = dm_config_load(config, argc, argv, env, &why);
        if (err)
            code = dm_command_fail(err == DM_ERR_BAD_REQUEST ? DM_EXIT_USAGE : DM_EXIT_FAILED, "%s",
                                   dm_buf_text(&why));
    }
    if (config->warnings.len)
        fprintf(stderr, "dormouse: warning: %s", dm_buf_text(&config->warnings));
    dm_buf_dispose(&why);
    return code;
}

static struct dm_slice first(const struct dm_strings *strings)
{
    return strings->count ? dm_slice_of(strings->all[0]) : DM_NO_SLICE;
}

int dm_command_mint(const struct dm_config *config, const char *user, unsigned scopes,
                    uint64_t ttl_ms, struct dm_buf *token)
{
    struct dm_slice id =
        dm_utf8_valid(dm_slice_of(user)) ? dm_utf8_trim(dm_slice_of(user)) : DM_NO_SLICE;
    if (!dm_user_id_valid(id) || dm_slice_starts(id, DM_SLICE("guest:")))
        return dm_command_fail(DM_EXIT_USAGE, "--user: not a valid userId");
    if (!config->jwt_secret.count)
        return dm_command_fail(DM_EXIT_FAILED,
                               "there is no jwt_secret to sign a token with: set it in the file, "
                               "DORMOUSE_JWT_SECRET or jwt_secret_file");
    struct dm_slice secret = dm_slice_of(config->jwt_secret.all[0]);
    if (secret.len < DM_SECRET_MIN)
        return dm_command_fail(DM_EXIT_FAILED, "jwt_secret: entry 1 is shorter than %d bytes",
                               DM_SECRET_MIN);
    uint64_t now = dm_clock_wall_ms();
    struct dm_token claims = {.user_id = id,
                              .scopes = scopes,
                              .issued_ms = now,
                              .expires_ms = ttl_ms ? now + ttl_ms : 0,
                              .issuer = first(&config->jwt_issuer),
                              .audience = first(&config->jwt_audience)};
    dm_token_sign(token, secret, &claims);
    return DM_EXIT_OK;
}

void dm_command_url(const struct dm_config *config, struct dm_buf *url)
{
    struct dm_slice listen = dm_slice_of(config->listen);
    if (dm_slice_starts(listen, DM_SLICE("unix:"))) {
        dm_buf_add_slice(url, listen);
        return;
    }
    dm_buf_add_slice(url, dm_slice_of(*config->tls_cert ? "https://" : "http://"));
    if (dm_slice_starts(listen, DM_SLICE("0.0.0.0:"))) { /* every address: so this machine's own */
        dm_buf_lit(url, "127.0.0.1");
        listen = dm_slice_from(listen, 7);
    } else if (dm_slice_starts(listen, DM_SLICE("[::]:"))) {
        dm_buf_lit(url, "[::1]");
        listen = dm_slice_from(listen, 4);
    }
    dm_buf_add_slice(url, listen);
}

struct dm_slice dm_command_api_key(const struct dm_config *config, const char *name)
{
    for (size_t i = 0; i < config->api_keys.count; i++) {
        struct dm_slice secret = dm_slice_of(config->api_keys.all[i]);
        struct dm_slice its_name = dm_slice_split(&secret, '=');
        if (secret.at && (!name || dm_slice_eq(its_name, dm_slice_of(name))))
            return secret;
    }
    return DM_NO_SLICE;
}

enum { CREDENTIAL_TTL_MS = 60 * 1000 };

int dm_command_credential(const struct dm_config *config, const char *token, const char *key_name,
                          const char *user, unsigned scopes, struct dm_buf *credential)
{
    struct dm_slice key = dm_command_api_key(config, key_name);
    if (token)
        dm_buf_add_slice(credential, dm_slice_of(token));
    else if (key.at)
        dm_buf_add_slice(credential, key);
    else if (key_name)
        return dm_command_fail(DM_EXIT_FAILED, "--key: api_keys has no key of that name");
    else if (config->jwt_secret.count)
        return dm_command_mint(config, user, scopes, CREDENTIAL_TTL_MS, credential);
    return DM_EXIT_OK;
}
