/* HS256 tokens. The signature is checked before anything is parsed: bytes that were not signed
 * by us never reach the JSON reader. */
#include "auth/jwt.h"

#include <openssl/crypto.h>

#include "base/err.h"
#include "codec/base64url.h"
#include "codec/json.h"

struct parts {
    struct dm_slice header, payload, signature, signed_text;
};

static bool split(struct dm_slice token, struct parts *parts)
{
    struct dm_slice rest = token;
    parts->header = dm_slice_split(&rest, '.');
    if (!rest.at)
        return false;
    parts->payload = dm_slice_split(&rest, '.');
    if (!rest.at)
        return false;
    parts->signature = rest; /* a further dot is not base64url, and fails there */
    parts->signed_text = dm_slice(token.at, token.len - rest.len - 1);
    return true;
}

static bool decode(struct dm_buf *out, struct dm_slice text)
{
    dm_buf_clear(out);
    return dm_base64url_decode(out, text);
}

static bool is_signed(const struct dm_hmac_key *keys, size_t key_count, const struct parts *parts,
                      struct dm_buf *scratch)
{
    if (!decode(scratch, parts->signature) || scratch->len != DM_HMAC_LEN)
        return false;
    bool ok = false;
    for (size_t i = 0; i < key_count; i++) {
        uint8_t mac[DM_HMAC_LEN];
        dm_hmac(&keys[i], parts->signed_text, mac);
        if (CRYPTO_memcmp(mac, scratch->bytes, sizeof mac) == 0)
            ok = true;
    }
    return ok;
}

static bool is_object(const struct dm_buf *text, struct dm_slice *object)
{
    if (!dm_json_valid(dm_buf_slice(text)))
        return false;
    *object = dm_json_value(dm_buf_slice(text));
    return dm_json_kind(*object) == DM_JSON_OBJECT;
}

static bool header_ok(const struct dm_buf *text)
{
    struct dm_slice header;
    if (!is_object(text, &header))
        return false;
    struct dm_slice alg = dm_json_get(header, DM_SLICE("alg"));
    struct dm_slice crit = dm_json_get(header, DM_SLICE("crit"));
    return dm_json_kind(alg) == DM_JSON_STRING && dm_json_string_is(alg, DM_SLICE("HS256")) &&
           dm_json_kind(crit) == DM_JSON_ABSENT;
}

int dm_jwt_verify(const struct dm_hmac_key *keys, size_t key_count, struct dm_slice token,
                  struct dm_buf *claims)
{
    struct parts parts;
    struct dm_slice object;
    if (token.len > DM_TOKEN_MAX || !split(token, &parts))
        return DM_ERR_UNAUTHORIZED;
    if (!is_signed(keys, key_count, &parts, claims))
        return DM_ERR_UNAUTHORIZED;
    if (!decode(claims, parts.header) || !header_ok(claims))
        return DM_ERR_UNAUTHORIZED;
    if (!decode(claims, parts.payload) || !is_object(claims, &object))
        return DM_ERR_UNAUTHORIZED;
    return DM_OK;
}

void dm_jwt_sign(struct dm_buf *out, const struct dm_hmac_key *key, struct dm_slice claims)
{
    const struct dm_slice header = DM_SLICE("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
    size_t start = out->len;
    uint8_t mac[DM_HMAC_LEN];
    dm_base64url_encode(out, header.at, header.len);
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, claims.at, claims.len);
    dm_hmac(key, dm_slice(out->bytes + start, out->len - start), mac);
    dm_buf_add_byte(out, '.');
    dm_base64url_encode(out, mac, sizeof mac);
}
