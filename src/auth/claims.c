/* Reads exp, nbf, iss, aud, userId, sub, scope and expiresAt; knows nothing of signatures. */
#include "auth/claims.h"

#include "base/err.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "model/name.h"

static const double last_ms = 9007199254740992.0; /* 2^53: later is never */

/* A claim of seconds since 1970, as milliseconds; false when it is no number. */
static bool read_time(struct dm_slice claims, struct dm_slice name, bool *there, double *ms)
{
    struct dm_slice value = dm_json_get(claims, name);
    enum dm_json_kind kind = dm_json_kind(value);
    *there = kind != DM_JSON_ABSENT;
    if (kind == DM_JSON_NUMBER)
        *ms = dm_json_number(value) * 1000;
    return !*there || kind == DM_JSON_NUMBER;
}

static bool in_time(struct dm_slice claims, double now, struct dm_principal *out)
{
    bool there;
    double ms = 0;
    if (!read_time(claims, DM_SLICE("exp"), &there, &ms))
        return false;
    if (there) {
        if (now >= ms + DM_TOKEN_LEEWAY_MS)
            return false;
        if (ms < last_ms)
            out->expires_ms = ms > 1 ? (uint64_t)ms : 1;
    }
    if (!read_time(claims, DM_SLICE("nbf"), &there, &ms))
        return false;
    return !there || now + DM_TOKEN_LEEWAY_MS >= ms;
}

static bool one_of(struct dm_slice value, char *const *texts, size_t count)
{
    for (size_t i = 0; i < count && dm_json_kind(value) == DM_JSON_STRING; i++)
        if (dm_json_string_is(value, dm_slice_of(texts[i])))
            return true;
    return false;
}

static bool is_from(struct dm_slice claims, const struct dm_claims_rule *rule)
{
    return !rule->issuer_count ||
           one_of(dm_json_get(claims, DM_SLICE("iss")), rule->issuers, rule->issuer_count);
}

/* One element that is no string spoils an array: it is not what RFC 7519 says. */
static bool is_for(struct dm_slice claims, const struct dm_claims_rule *rule)
{
    if (!rule->audience_count)
        return true;
    struct dm_slice aud = dm_json_get(claims, DM_SLICE("aud")), key, value;
    if (dm_json_kind(aud) != DM_JSON_ARRAY)
        return one_of(aud, rule->audiences, rule->audience_count);
    struct dm_json_walk walk = dm_json_walk(aud);
    bool found = false;
    while (dm_json_next(&walk, &key, &value)) {
        if (dm_json_kind(value) != DM_JSON_STRING)
            return false;
        found = found || one_of(value, rule->audiences, rule->audience_count);
    }
    return found;
}

static bool take_user_id(struct dm_slice text, struct dm_principal *out)
{
    if (!dm_utf8_valid(text)) /* a lone surrogate was escaped */
        return false;
    struct dm_slice id = dm_utf8_trim(text);
    if (!dm_user_id_valid(id) || dm_slice_starts(id, DM_SLICE("guest:")))
        return false;
    memcpy(out->id, id.at, id.len);
    out->id_len = (uint8_t)id.len;
    return true;
}

static bool read_user_id(struct dm_slice claim, struct dm_buf *scratch, struct dm_principal *out)
{
    if (dm_json_kind(claim) != DM_JSON_STRING)
        return false;
    dm_json_decode(scratch, claim);
    return take_user_id(dm_buf_slice(scratch), out);
}

static void read_scope(struct dm_slice claims, struct dm_buf *scratch, struct dm_principal *out)
{
    struct dm_slice claim = dm_json_get(claims, DM_SLICE("scope"));
    if (dm_json_kind(claim) != DM_JSON_STRING)
        return;
    dm_buf_clear(scratch);
    dm_json_decode(scratch, claim);
    struct dm_slice rest = dm_buf_slice(scratch);
    while (rest.at) {
        struct dm_slice word = dm_slice_split(&rest, ' ');
        if (dm_slice_eq(word, DM_SLICE("publish")))
            out->scopes |= DM_SCOPE_PUBLISH;
        else if (dm_slice_eq(word, DM_SLICE("admin")))
            out->scopes |= DM_SCOPE_ADMIN;
    }
}

/* The user that `claim` names, with the scope of the claims. */
static bool read_user(struct dm_slice claims, struct dm_slice claim, struct dm_principal *out)
{
    struct dm_buf scratch = DM_BUF_INIT;
    bool known = read_user_id(claim, &scratch, out);
    if (known)
        read_scope(claims, &scratch, out);
    dm_buf_dispose(&scratch);
    return known;
}

int dm_claims_read(struct dm_slice claims, const struct dm_claims_rule *rule, uint64_t now_wall_ms,
                   struct dm_principal *out)
{
    *out = (struct dm_principal){.kind = DM_PRINCIPAL_USER};
    struct dm_slice object = dm_json_value(claims);
    if (!in_time(object, (double)now_wall_ms, out) || !is_from(object, rule) ||
        !is_for(object, rule))
        return DM_ERR_UNAUTHORIZED;
    struct dm_slice claim = dm_json_get(object, DM_SLICE("userId"));
    if (dm_json_kind(claim) == DM_JSON_ABSENT)
        claim = dm_json_get(object, DM_SLICE("sub"));
    return read_user(object, claim, out) ? DM_OK : DM_ERR_UNAUTHORIZED;
}

/* --- the auth hook's answer --- */

static int read_end(struct dm_slice answer, double now, struct dm_principal *out)
{
    const double surely_ms = 1e11; /* as seconds that is the year 5138 */
    struct dm_slice value = dm_json_get(answer, DM_SLICE("expiresAt"));
    enum dm_json_kind kind = dm_json_kind(value);
    if (kind == DM_JSON_ABSENT || kind == DM_JSON_NULL)
        return DM_OK;
    if (kind != DM_JSON_NUMBER)
        return DM_ERR_HOOK_UNAVAILABLE;
    double end = dm_json_number(value);
    double ms = end > surely_ms ? end : end * 1000;
    if (ms <= now)
        return DM_ERR_UNAUTHORIZED;
    if (ms < last_ms)
        out->expires_ms = ms > 1 ? (uint64_t)ms : 1;
    return DM_OK;
}

int dm_claims_read_answer(struct dm_slice body, uint64_t now_wall_ms, struct dm_principal *out,
                          struct dm_slice *claims)
{
    *out = (struct dm_principal){.kind = DM_PRINCIPAL_USER};
    if (!dm_json_valid(body))
        return DM_ERR_HOOK_UNAVAILABLE;
    *claims = dm_json_value(body);
    if (dm_json_kind(*claims) != DM_JSON_OBJECT ||
        !read_user(*claims, dm_json_get(*claims, DM_SLICE("userId")), out))
        return DM_ERR_HOOK_UNAVAILABLE;
    return read_end(*claims, (double)now_wall_ms, out);
}
