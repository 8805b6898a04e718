/* Joins API keys and user tokens behind one question; hides the order in which they are tried. */
#include "auth/auth.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "auth/apikey.h"
#include "auth/claims.h"
#include "auth/jwks.h"
#include "auth/jwt.h"
#include "auth/pem.h"
#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"

struct dm_auth {
    atomic_uint refs;
    struct dm_api_keys api_keys;
    struct dm_claims_rule rule;
    struct dm_keyring public_keys;
    size_t secret_count;
    struct dm_hmac_key secrets[];
};

static int add_secrets(struct dm_auth *auth, const struct dm_auth_options *options,
                       struct dm_buf *why)
{
    for (size_t i = 0; i < options->secret_count; i++) {
        struct dm_slice secret = dm_slice_of(options->secrets[i]);
        if (secret.len < DM_SECRET_MIN) {
            dm_buf_printf(why, "jwt_secret: entry %zu is shorter than %d bytes", i + 1,
                          DM_SECRET_MIN);
            return DM_ERR_INVALID_FIELD;
        }
        /* HS256 with a key that everybody may have: the one confusion left to configuration. */
        if (dm_slice_starts(secret, DM_SLICE("-----BEGIN "))) {
            dm_buf_printf(why, "jwt_secret: entry %zu is a PEM block, not a secret", i + 1);
            return DM_ERR_INVALID_FIELD;
        }
        dm_hmac_key_init(&auth->secrets[auth->secret_count++], secret);
    }
    return DM_OK;
}

static int add_public(struct dm_auth *auth, const char *key,
                      int (*read)(struct dm_keyring *, struct dm_slice, struct dm_buf *),
                      const struct dm_key_file *files, size_t count, struct dm_buf *why)
{
    int err = DM_OK;
    for (size_t i = 0; !err && i < count; i++) {
        struct dm_buf wrong = DM_BUF_INIT;
        err = read(&auth->public_keys, files[i].text, &wrong);
        if (err)
            dm_buf_printf(why, "%s: %s: %s", key, files[i].name, dm_buf_text(&wrong));
        dm_buf_dispose(&wrong);
    }
    return err;
}

static char **copy_texts(char *const *texts, size_t count)
{
    char **copies = dm_calloc(count, sizeof *copies);
    for (size_t i = 0; i < count; i++)
        copies[i] = dm_strndup(texts[i], strlen(texts[i]));
    return copies;
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static void set_rule(struct dm_claims_rule *rule, const struct dm_auth_options *options)
{
    rule->issuer_count = options->issuer_count;
    rule->issuers = copy_texts(options->issuers, options->issuer_count);
    rule->audience_count = options->audience_count;
    rule->audiences = copy_texts(options->audiences, options->audience_count);
}

int dm_auth_create(const struct dm_auth_options *options, struct dm_auth **out, struct dm_buf *why)
{
    struct dm_auth *auth =
        dm_calloc(1, sizeof *auth + options->secret_count * sizeof *auth->secrets);
    atomic_init(&auth->refs, 1);
    set_rule(&auth->rule, options);
    int err = add_secrets(auth, options, why);
    if (!err)
        err = add_public(auth, "jwt_public_key", dm_pem_read, options->public_keys,
                         options->public_key_count, why);
    if (!err)
        err = add_public(auth, "jwks", dm_jwks_read, options->jwks, options->jwks_count, why);
    if (!err)
        err = dm_api_keys_init(&auth->api_keys, options->api_keys, options->api_key_count, why);
    if (err)
        dm_auth_destroy(&auth);
    *out = auth;
    return err;
}

struct dm_auth *dm_auth_retain(struct dm_auth *auth)
{
    atomic_fetch_add_explicit(&auth->refs, 1, memory_order_relaxed);
    return auth;
}

void dm_auth_release(struct dm_auth *auth)
{
    if (!auth || atomic_fetch_sub_explicit(&auth->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < auth->secret_count; i++)
        dm_hmac_key_dispose(&auth->secrets[i]);
    dm_keyring_dispose(&auth->public_keys);
    free_texts(auth->rule.issuers, auth->rule.issuer_count);
    free_texts(auth->rule.audiences, auth->rule.audience_count);
    dm_api_keys_dispose(&auth->api_keys);
    free(auth);
}

void dm_auth_destroy(struct dm_auth **auth)
{
    dm_auth_release(*auth);
    *auth = NULL;
}

struct dm_slice dm_auth_credential(struct dm_slice authorization)
{
    struct dm_slice text = dm_slice_trim(authorization);
    if (!text.len)
        return DM_NO_SLICE;
    size_t word = 0;
    while (word < text.len && text.at[word] != ' ' && text.at[word] != '\t')
        word++;
    if (dm_slice_eq_nocase(dm_slice(text.at, word), DM_SLICE("bearer")))
        return dm_slice_trim(dm_slice_from(text, word));
    return word == text.len ? text : dm_slice(text.at, 0);
}

bool dm_auth_check_key(const struct dm_auth *auth, struct dm_slice credential,
                       struct dm_principal *out)
{
    const struct dm_api_key *key = dm_api_keys_find(&auth->api_keys, credential);
    if (!key)
        return false;
    *out = (struct dm_principal){
        .kind = DM_PRINCIPAL_KEY,
        .scopes = DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN,
        .id_len = key->name_len,
    };
    memcpy(out->id, key->name, key->name_len);
    return true;
}

int dm_auth_check(const struct dm_auth *auth, struct dm_slice credential, bool by_header,
                  uint64_t now_wall_ms, struct dm_principal *out, struct dm_buf *claims)
{
    if (!credential.len)
        return DM_ERR_UNAUTHORIZED;
    if (by_header && dm_auth_check_key(auth, credential, out))
        return DM_OK;
    struct dm_jwt_keys keys = {auth->secrets, auth->secret_count, &auth->public_keys};
    struct dm_buf text = DM_BUF_INIT;
    int err = dm_jwt_verify(&keys, credential, &text);
    if (!err)
        err = dm_claims_read(dm_buf_slice(&text), &auth->rule, now_wall_ms, out);
    if (!err && claims)
        dm_buf_add_slice(claims, dm_json_value(dm_buf_slice(&text)));
    dm_buf_dispose(&text);
    return err;
}

uint64_t dm_principal_session_end(const struct dm_principal *principal, uint64_t now)
{
    uint64_t end = principal->expires_ms;
    return end && end <= now ? end + DM_TOKEN_LEEWAY_MS : end;
}
