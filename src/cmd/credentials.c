/* From configuration to auth and TLS: reads the files of keys, and makes errors name file and line.
 */
#include "cmd/credentials.h"

#include <stdlib.h>

#include "auth/jwt.h"
#include "base/alloc.h"
#include "base/err.h"
#include "cmd/config_load.h"
#include "net/hook_url.h"
#include "net/tls.h"

/* The files of one key. Their texts live here until auth has made its own of them. */
struct files {
    struct dm_key_file *all;
    struct dm_buf *texts;
    size_t count;
};

static int read_file(const char *key, const char *path, struct dm_buf *text, struct dm_buf *wrong)
{
    struct dm_buf problem = DM_BUF_INIT;
    bool others_read; /* of a private key, loading the configuration has warned */
    bool ok = dm_config_read_file(path, text, &others_read, &problem);
    if (!ok) {
        dm_buf_printf(wrong, "%s: %s", key, dm_buf_text(&problem));
        dm_config_wipe(text);
    }
    dm_buf_dispose(&problem);
    return ok ? DM_OK : DM_ERR_INVALID_FIELD;
}

static int read_files(struct files *files, const char *key, const struct dm_strings *paths,
                      struct dm_buf *wrong)
{
    files->all = dm_calloc(paths->count, sizeof *files->all);
    files->texts = dm_calloc(paths->count, sizeof *files->texts);
    for (files->count = 0; files->count < paths->count; files->count++) {
        const char *path = paths->all[files->count];
        struct dm_buf *text = &files->texts[files->count];
        int err = read_file(key, path, text, wrong);
        if (err)
            return err;
        files->all[files->count] = (struct dm_key_file){path, dm_buf_slice(text)};
    }
    return DM_OK;
}

static void dispose(struct files *files)
{
    for (size_t i = 0; i < files->count; i++)
        dm_config_wipe(&files->texts[i]); /* a private key, given by mistake */
    free(files->texts);
    free(files->all);
}

static int make(const struct dm_config *config, const struct files *pem, const struct files *jwks,
                struct dm_auth **auth, struct dm_buf *wrong)
{
    struct dm_auth_options options = {
        .secrets = config->jwt_secret.all,
        .secret_count = config->jwt_secret.count,
        .api_keys = config->api_keys.all,
        .api_key_count = config->api_keys.count,
        .public_keys = pem->all,
        .public_key_count = pem->count,
        .jwks = jwks->all,
        .jwks_count = jwks->count,
        .issuers = config->jwt_issuer.all,
        .issuer_count = config->jwt_issuer.count,
        .audiences = config->jwt_audience.all,
        .audience_count = config->jwt_audience.count,
    };
    return dm_auth_create(&options, auth, wrong);
}

/* `wrong` begins with the name of a key: says where that was set. */
static void explain(const struct dm_config *config, struct dm_slice wrong, struct dm_buf *why)
{
    struct dm_slice rest = wrong;
    struct dm_config_name found = dm_config_find(dm_slice_split(&rest, ':'));
    const char *origin = found.key ? config->origin[found.key - dm_config_keys] : NULL;
    if (origin)
        dm_buf_printf(why, "%s: ", origin);
    dm_buf_add_slice(why, wrong);
}

int dm_credentials_make(const struct dm_config *config, struct dm_auth **auth, struct dm_buf *why)
{
    struct files pem = {0}, jwks = {0};
    struct dm_buf wrong = DM_BUF_INIT;
    *auth = NULL;
    int err = read_files(&pem, "jwt_public_key", &config->jwt_public_key, &wrong);
    if (!err)
        err = read_files(&jwks, "jwks", &config->jwks, &wrong);
    if (!err)
        err = make(config, &pem, &jwks, auth, &wrong);
    if (err)
        explain(config, dm_buf_slice(&wrong), why);
    dispose(&pem);
    dispose(&jwks);
    dm_buf_dispose(&wrong);
    return err;
}

static int make_tls(const struct dm_config *config, struct ssl_ctx_st **tls, struct dm_buf *wrong)
{
    struct dm_buf certificate = DM_BUF_INIT, key = DM_BUF_INIT;
    int err = read_file("tls_cert", config->tls_cert, &certificate, wrong);
    if (!err)
        err = read_file("tls_key", config->tls_key, &key, wrong);
    if (!err)
        err = dm_tls_create(dm_buf_slice(&certificate), dm_buf_slice(&key), tls, wrong);
    dm_config_wipe(&certificate); /* a private key may stand in the same file */
    dm_config_wipe(&key);
    return err;
}

int dm_credentials_make_tls(const struct dm_config *config, struct ssl_ctx_st **tls,
                            struct dm_buf *why)
{
    struct dm_buf wrong = DM_BUF_INIT;
    int err = DM_OK;
    *tls = NULL;
    if (*config->tls_cert && *config->tls_key) {
        err = make_tls(config, tls, &wrong);
    } else if (*config->tls_cert || *config->tls_key) {
        const char *given = *config->tls_cert ? "tls_cert" : "tls_key";
        const char *missing = *config->tls_cert ? "tls_key" : "tls_cert";
        dm_buf_printf(&wrong, "%s: needs %s beside it", given, missing);
        err = DM_ERR_INVALID_FIELD;
    }
    if (err)
        explain(config, dm_buf_slice(&wrong), why);
    dm_buf_dispose(&wrong);
    return err;
}

/* --- hooks --- */

static int check_url(const char *key, const char *text, bool insecure, struct dm_buf *wrong)
{
    struct dm_hook_url url = {NULL, NULL};
    const char *problem = *text ? dm_hook_url_read(text, insecure, &url) : NULL;
    if (problem)
        dm_buf_printf(wrong, "%s: %s", key, problem);
    dm_hook_url_dispose(&url);
    return problem ? DM_ERR_INVALID_FIELD : DM_OK;
}

static int check_hook_secrets(const struct dm_config *config, struct dm_buf *wrong)
{
    const char *given = *config->auth_url ? "auth_url" : "authorize_url";
    if (!config->hook_secret.count && (*config->auth_url || *config->authorize_url)) {
        dm_buf_printf(wrong, "%s: needs hook_secret beside it, to sign what is sent there", given);
        return DM_ERR_INVALID_FIELD;
    }
    for (size_t i = 0; i < config->hook_secret.count; i++) {
        if (strlen(config->hook_secret.all[i]) >= DM_SECRET_MIN)
            continue;
        dm_buf_printf(wrong, "hook_secret: entry %zu is shorter than %d bytes", i + 1,
                      DM_SECRET_MIN);
        return DM_ERR_INVALID_FIELD;
    }
    return DM_OK;
}

int dm_credentials_hooks(const struct dm_config *config, struct dm_hook_options *options,
                         struct dm_buf *why)
{
    struct dm_buf wrong = DM_BUF_INIT;
    int err = check_url("auth_url", config->auth_url, config->hook_insecure, &wrong);
    if (!err)
        err = check_url("authorize_url", config->authorize_url, config->hook_insecure, &wrong);
    if (!err)
        err = check_hook_secrets(config, &wrong);
    *options = (struct dm_hook_options){
        .urls = {[DM_HOOK_AUTH] = config->auth_url, [DM_HOOK_AUTHORIZE] = config->authorize_url},
        .secret = config->hook_secret.count ? config->hook_secret.all[0] : NULL,
        .timeout_ms = config->hook_timeout,
        .insecure = config->hook_insecure,
    };
    if (err)
        explain(config, dm_buf_slice(&wrong), why);
    dm_buf_dispose(&wrong);
    return err;
}
