/* The subcommands that talk to no server: serve, check-config and token. */
#include "auth/auth.h"
#include "base/err.h"
#include "cmd/command.h"
#include "cmd/config_key.h"
#include "cmd/credentials.h"
#include "cmd/serve.h"
#include "net/tls.h"

int dm_command_serve(int argc, char **argv, char **env)
{
    struct dm_config config;
    int code = dm_command_begin(argc, argv, env, NULL, 0, &config);
    if (code == DM_EXIT_OK)
        code = dm_serve(&config);
    dm_config_dispose(&config);
    return code;
}

/* What serve would only find out later: secrets that are too weak, files that hold no key. */
static int check_secrets(const struct dm_config *config)
{
    struct dm_auth *auth = NULL;
    struct ssl_ctx_st *tls = NULL;
    struct dm_hook_options hooks;
    struct dm_buf why = DM_BUF_INIT;
    int code = DM_EXIT_OK;
    if (dm_credentials_make(config, &auth, &why) != DM_OK ||
        dm_credentials_make_tls(config, &tls, &why) != DM_OK ||
        dm_credentials_hooks(config, &hooks, &why) != DM_OK)
        code = dm_command_fail(DM_EXIT_FAILED, "%s", dm_buf_text(&why));
    else if (!config->jwt_secret.count && !config->api_keys.count &&
             !config->jwt_public_key.count && !config->jwks.count && !*config->auth_url)
        dm_command_fail(DM_EXIT_OK, "warning: no secret and no key is set: nobody can connect or "
                                    "publish");
    dm_auth_destroy(&auth);
    dm_tls_release(tls);
    dm_buf_dispose(&why);
    return code;
}

static int print_and_dispose(struct dm_buf *out)
{
    bool printed = dm_command_print(dm_buf_slice(out));
    dm_buf_dispose(out);
    return printed ? DM_EXIT_OK : dm_command_fail(DM_EXIT_FAILED, "cannot write to stdout");
}

int dm_command_check_config(int argc, char **argv, char **env)
{
    bool markdown = false;
    const struct dm_option options[] = {{"--markdown", DM_OPTION_SET, &markdown}};
    struct dm_config config;
    struct dm_buf out = DM_BUF_INIT;
    int code = dm_command_begin(argc, argv, env, options, DM_COUNT(options), &config);
    if (code == DM_EXIT_OK && !markdown)
        code = check_secrets(&config);
    if (code == DM_EXIT_OK) {
        if (markdown)
            dm_config_markdown(&out);
        else
            dm_config_print(&config, &out);
        code = print_and_dispose(&out);
    }
    dm_config_dispose(&config);
    return code;
}

/* "publish admin", with blanks or commas between. */
static bool read_scopes(struct dm_slice rest, unsigned *scopes)
{
    while (rest.at) {
        struct dm_slice words = dm_slice_split(&rest, ',');
        while (words.at) {
            struct dm_slice word = dm_slice_split(&words, ' ');
            if (dm_slice_eq(word, DM_SLICE("publish")))
                *scopes |= DM_SCOPE_PUBLISH;
            else if (dm_slice_eq(word, DM_SLICE("admin")))
                *scopes |= DM_SCOPE_ADMIN;
            else if (word.len)
                return false;
        }
    }
    return true;
}

int dm_command_token(int argc, char **argv, char **env)
{
    const char *user = NULL, *scope = NULL, *ttl = NULL;
    const struct dm_option options[] = {
        {"--user", DM_OPTION_TEXT, &user},
        {"--scope", DM_OPTION_TEXT, &scope},
        {"--ttl", DM_OPTION_TEXT, &ttl},
    };
    const uint64_t longest = (uint64_t)100 * 365 * 24 * 3600 * 1000;
    struct dm_config config;
    struct dm_buf out = DM_BUF_INIT;
    unsigned scopes = 0;
    uint64_t ttl_ms = 0;
    int code = dm_command_begin(argc, argv, env, options, DM_COUNT(options), &config);
    if (code != DM_EXIT_OK)
        ;
    else if (!user)
        code = dm_command_fail(DM_EXIT_USAGE, "--user is needed; see dormouse token --help");
    else if (!read_scopes(dm_slice_of(scope), &scopes))
        code = dm_command_fail(DM_EXIT_USAGE, "--scope: must be of the words publish and admin");
    else if (!dm_duration_read(dm_slice_of(ttl ? ttl : "1h"), &ttl_ms) || ttl_ms > longest)
        code = dm_command_fail(DM_EXIT_USAGE, "--ttl: must be a duration (500ms, 10s, 2m, 1h)");
    else
        code = dm_command_mint(&config, user, scopes, ttl_ms, &out);
    if (code == DM_EXIT_OK) {
        dm_buf_add_byte(&out, '\n');
        code = print_and_dispose(&out);
    }
    dm_buf_dispose(&out);
    dm_config_dispose(&config);
    return code;
}
