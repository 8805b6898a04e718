/* Writes the claims; auth/jwt signs them. */
#include "auth/token.h"

#include "auth/auth.h"
#include "auth/jwt.h"
#include "codec/json.h"

static void write_scope(struct dm_buf *claims, unsigned scopes)
{
    if (!scopes)
        return;
    dm_buf_lit(claims, ",\"scope\":\"");
    if (scopes & DM_SCOPE_PUBLISH)
        dm_buf_lit(claims, "publish");
    if (scopes == (DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN))
        dm_buf_add_byte(claims, ' ');
    if (scopes & DM_SCOPE_ADMIN)
        dm_buf_lit(claims, "admin");
    dm_buf_add_byte(claims, '"');
}

static void write_text(struct dm_buf *claims, const char *before, struct dm_slice text)
{
    if (!text.at)
        return;
    dm_buf_add_slice(claims, dm_slice_of(before));
    dm_json_encode(claims, text);
}

void dm_token_sign(struct dm_buf *out, struct dm_slice secret, const struct dm_token *token)
{
    struct dm_hmac_key key;
    struct dm_buf claims = DM_BUF_INIT;
    dm_buf_lit(&claims, "{\"userId\":");
    dm_json_encode(&claims, token->user_id);
    write_scope(&claims, token->scopes);
    dm_buf_lit(&claims, ",\"iat\":");
    dm_buf_add_number(&claims, token->issued_ms / 1000);
    if (token->expires_ms) {
        dm_buf_lit(&claims, ",\"exp\":");
        dm_buf_add_number(&claims, token->expires_ms / 1000);
    }
    write_text(&claims, ",\"iss\":", token->issuer);
    write_text(&claims, ",\"aud\":", token->audience);
    dm_buf_add_byte(&claims, '}');
    dm_hmac_key_init(&key, secret);
    dm_jwt_sign(out, &key, dm_buf_slice(&claims));
    dm_hmac_key_dispose(&key);
    dm_buf_dispose(&claims);
}
