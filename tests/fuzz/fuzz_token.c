/*
 * Credentials: whatever is presented, the answer is a refusal or a principal
 * that may exist. An input that begins with "=" is a header and claims, apart
 * at the first newline, which are signed here, so that what lies behind the
 * signature is reached too; one that begins with "~" likewise, with Ed25519.
 * Inputs come in exact heap blocks.
 */
#include <openssl/evp.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/hmac.h"
#include "base/alloc.h"
#include "base/err.h"
#include "codec/base64url.h"
#include "model/name.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define API_KEY "api-key-0123456789"

/* The examples of RFC 8037 A.1 (for tests only: everybody knows its private half) and RFC 7515 A.3.
 */
#define PRIVATE "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
static const char jwks[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

struct state {
    struct dm_auth *lax, *strict; /* without rules for iss and aud, and with */
    EVP_PKEY *private_key;
};

static struct dm_auth *make_auth(size_t rules)
{
    char *secrets[] = {"another-secret-of-an-earlier-time", SECRET};
    char *keys[] = {"ci=" API_KEY};
    char *names[] = {"dormouse", "zo\xc3\xab"};
    const struct dm_key_file file = {"jwks", dm_slice_of(jwks)};
    struct dm_auth_options options = {.secrets = secrets,
                                      .secret_count = 2,
                                      .api_keys = keys,
                                      .api_key_count = 1,
                                      .jwks = &file,
                                      .jwks_count = 1,
                                      .issuers = names,
                                      .issuer_count = rules,
                                      .audiences = names,
                                      .audience_count = rules};
    struct dm_auth *auth;
    struct dm_buf why = DM_BUF_INIT;
    DM_CHECK(dm_auth_create(&options, &auth, &why) == DM_OK);
    dm_buf_dispose(&why);
    return auth;
}

static void check(const struct dm_auth *auth, struct dm_slice credential, bool by_header,
                  uint64_t now)
{
    struct dm_principal who;
    int err = dm_auth_check(auth, credential, by_header, now, &who, NULL);
    DM_CHECK(err == DM_OK || err == DM_ERR_UNAUTHORIZED);
    if (err)
        return;
    struct dm_slice id = dm_principal_id(&who);
    if (who.kind == DM_PRINCIPAL_KEY) {
        DM_CHECK(by_header && dm_slice_eq(credential, DM_SLICE(API_KEY)));
        DM_CHECK(dm_slice_eq(id, DM_SLICE("ci")));
        return;
    }
    DM_CHECK(dm_user_id_valid(id) && !dm_slice_starts(id, DM_SLICE("guest:")));
    DM_CHECK((who.scopes & ~(unsigned)(DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN)) == 0);
    DM_CHECK(who.expires_ms == 0 || who.expires_ms + 30000 >= now);
}

static void check_signed(const struct dm_auth *auth, struct dm_slice parts)
{
    struct dm_buf token = DM_BUF_INIT;
    struct dm_hmac_key key;
    uint8_t mac[DM_HMAC_LEN];
    struct dm_slice claims = parts, header = dm_slice_split(&claims, '\n');
    dm_base64url_encode(&token, header.at, header.len);
    dm_buf_add_byte(&token, '.');
    dm_base64url_encode(&token, claims.at, claims.len);
    dm_hmac_key_init(&key, DM_SLICE(SECRET));
    dm_hmac(&key, dm_buf_slice(&token), mac);
    dm_hmac_key_dispose(&key);
    dm_buf_add_byte(&token, '.');
    dm_base64url_encode(&token, mac, sizeof mac);
    check(auth, dm_buf_slice(&token), false, 1800000000000u);
    check(auth, dm_buf_slice(&token), false, 0);
    dm_buf_dispose(&token);
}

static void check_signed_ed(const struct state *state, struct dm_slice parts)
{
    struct dm_buf token = DM_BUF_INIT;
    unsigned char signature[64];
    size_t len = sizeof signature;
    struct dm_slice claims = parts, header = dm_slice_split(&claims, '\n');
    dm_base64url_encode(&token, header.at, header.len);
    dm_buf_add_byte(&token, '.');
    dm_base64url_encode(&token, claims.at, claims.len);
    EVP_MD_CTX *work = EVP_MD_CTX_new();
    DM_CHECK(EVP_DigestSignInit(work, NULL, NULL, NULL, state->private_key) == 1 &&
             EVP_DigestSign(work, signature, &len, (unsigned char *)token.bytes, token.len) == 1);
    EVP_MD_CTX_free(work);
    dm_buf_add_byte(&token, '.');
    dm_base64url_encode(&token, signature, len);
    check(state->lax, dm_buf_slice(&token), false, 1800000000000u);
    check(state->strict, dm_buf_slice(&token), false, 1800000000000u);
    dm_buf_dispose(&token);
}

static void make_state(struct state *state)
{
    struct dm_buf bytes = DM_BUF_INIT;
    DM_CHECK(dm_base64url_decode(&bytes, DM_SLICE(PRIVATE)));
    state->private_key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
                                                      (unsigned char *)bytes.bytes, bytes.len);
    DM_CHECK(state->private_key);
    dm_buf_dispose(&bytes);
    state->lax = make_auth(0);
    state->strict = make_auth(2);
}

static void check_presented(const struct dm_auth *auth, struct dm_slice text)
{
    struct dm_slice credential = dm_auth_credential(text);
    if (credential.at)
        DM_CHECK(credential.at >= text.at && credential.at + credential.len <= text.at + text.len);
    check(auth, credential, true, 1800000000000u);
    check(auth, text, false, 1800000000000u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct state state;
    if (!state.lax)
        make_state(&state);
    char *copy = dm_memdup(data, size);
    struct dm_slice text = dm_slice(copy, size);
    if (size && *copy == '=')
        check_signed(state.lax, dm_slice_from(text, 1));
    else if (size && *copy == '~')
        check_signed_ed(&state, dm_slice_from(text, 1));
    else
        check_presented(state.lax, text);
    free(copy);
    return 0;
}
