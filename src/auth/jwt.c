/* Tokens. The length of its signature says which kind a token is, as only HMAC's has 32 bytes;
 * what it claims to be is held against that. Where a secret signed, bytes that we did not sign
 * never reach the JSON reader; where a public key may have, the header must be read to know which.
 */
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

static bool is_maced(const struct dm_jwt_keys *keys, const struct parts *parts,
                     const struct dm_buf *signature)
{
    bool ok = false;
    for (size_t i = 0; i < keys->secret_count; i++) {
        uint8_t mac[DM_HMAC_LEN];
        dm_hmac(&keys->secrets[i], parts->signed_text, mac);
        if (CRYPTO_memcmp(mac, signature->bytes, sizeof mac) == 0)
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

/* The header, and what it says the algorithm is: a JSON string. */
static bool read_header(const struct dm_buf *text, struct dm_slice *header, struct dm_slice *alg)
{
    if (!is_object(text, header))
        return false;
    *alg = dm_json_get(*header, DM_SLICE("alg"));
    return dm_json_kind(*alg) == DM_JSON_STRING &&
           dm_json_kind(dm_json_get(*header, DM_SLICE("crit"))) == DM_JSON_ABSENT;
}

static bool says_hs256(const struct dm_buf *text)
{
    struct dm_slice header, alg;
    return read_header(text, &header, &alg) && dm_json_string_is(alg, DM_SLICE("HS256"));
}

static bool find_alg(struct dm_slice name, enum dm_alg *alg)
{
    for (*alg = 0; *alg < DM_ALG_COUNT; (*alg)++)
        if (dm_json_string_is(name, dm_slice_of(dm_alg_name(*alg))))
            return true;
    return false;
}

static bool is_signed(const struct dm_keyring *ring, const struct parts *parts,
                      const struct dm_buf *header_text, const struct dm_buf *signature)
{
    struct dm_slice header, name;
    enum dm_alg alg;
    if (!read_header(header_text, &header, &name) || !find_alg(name, &alg))
        return false;
    struct dm_slice kid = dm_json_get(header, DM_SLICE("kid"));
    if (kid.at && dm_json_kind(kid) != DM_JSON_STRING)
        return false;
    return dm_keyring_verify(ring, alg, kid, parts->signed_text, dm_buf_slice(signature));
}

static bool check_public(const struct dm_jwt_keys *keys, const struct parts *parts,
                         const struct dm_buf *signature)
{
    struct dm_buf header = DM_BUF_INIT;
    bool ok = keys->public_keys && keys->public_keys->count && decode(&header, parts->header) &&
              is_signed(keys->public_keys, parts, &header, signature);
    dm_buf_dispose(&header);
    return ok;
}

int dm_jwt_verify(const struct dm_jwt_keys *keys, struct dm_slice token, struct dm_buf *claims)
{
    struct parts parts;
    struct dm_slice object;
    if (token.len > DM_TOKEN_MAX || !split(token, &parts) || !decode(claims, parts.signature))
        return DM_ERR_UNAUTHORIZED;
    bool ok;
    if (claims->len == DM_HMAC_LEN)
        ok = is_maced(keys, &parts, claims) && decode(claims, parts.header) && says_hs256(claims);
    else
        ok = check_public(keys, &parts, claims);
    if (!ok || !decode(claims, parts.payload) || !is_object(claims, &object))
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
