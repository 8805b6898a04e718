/*
 * Who is asking: a credential in, a principal out. Knows user tokens
 * (RFC 7515, RFC 7519: HS256, RS256, ES256, EdDSA) and named API keys, and hides
 * how either is checked.
 *
 * A dm_auth never changes after its creation and any thread may read it. It is
 * counted, so that new secrets can take its place while others still read it.
 */
#ifndef DM_AUTH_AUTH_H
#define DM_AUTH_AUTH_H

#include <stdint.h>

#include "base/buf.h"
#include "model/limits.h"

enum { DM_SCOPE_PUBLISH = 1, DM_SCOPE_ADMIN = 2 };

enum dm_principal_kind { DM_PRINCIPAL_USER, DM_PRINCIPAL_KEY };

struct dm_principal {
    enum dm_principal_kind kind;
    unsigned scopes;         /* DM_SCOPE_… */
    uint64_t expires_ms;     /* wall clock, the leeway not counted; 0: never */
    uint8_t id_len;          /* 1 to DM_USER_ID_MAX */
    char id[DM_USER_ID_MAX]; /* the userId, or the key's name; no NUL */
};

static inline struct dm_slice dm_principal_id(const struct dm_principal *principal)
{
    return dm_slice(principal->id, principal->id_len);
}

/* Admin may do all that publish may, and more. */
static inline bool dm_principal_may_publish(const struct dm_principal *principal)
{
    return principal->scopes & (DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN);
}

/* The principal as one text, kind and all, as the store keeps it: "key:…" or "user:…". */
static inline void dm_principal_write(const struct dm_principal *principal, struct dm_buf *out)
{
    dm_buf_add_slice(out,
                     principal->kind == DM_PRINCIPAL_KEY ? DM_SLICE("key:") : DM_SLICE("user:"));
    dm_buf_add_slice(out, dm_principal_id(principal));
}

/* When a session of the principal is to end: at its token's `exp`, or where only the leeway let it
 * in, at the leeway's end. 0: never. */
uint64_t dm_principal_session_end(const struct dm_principal *principal, uint64_t now);

/* A file of public keys that was read. */
struct dm_key_file {
    const char *name; /* for messages */
    struct dm_slice text;
};

struct dm_auth_options {
    char *const *secrets; /* jwt_secret: at least DM_SECRET_MIN bytes each */
    size_t secret_count;
    char *const *api_keys; /* name=secret: at least DM_API_KEY_MIN bytes each */
    size_t api_key_count;
    const struct dm_key_file *public_keys; /* jwt_public_key: PEM */
    size_t public_key_count;
    const struct dm_key_file *jwks; /* at most DM_KEYS_MAX keys in all of these files */
    size_t jwks_count;
    char *const *issuers; /* jwt_issuer: what `iss` must be one of; none: not looked at */
    size_t issuer_count;
    char *const *audiences; /* jwt_audience: what `aud` must have one of; none: the same */
    size_t audience_count;
};

struct dm_auth;

/*
 * Copies what it needs of the options. On DM_ERR_INVALID_FIELD `why` names the
 * configuration key and the entry or file, never a value. With no secret and no key
 * it is made all the same, and refuses everybody.
 */
int dm_auth_create(const struct dm_auth_options *options, struct dm_auth **out,
                   struct dm_buf *why) DM_MUST_CHECK;
struct dm_auth *dm_auth_retain(struct dm_auth *auth);
void dm_auth_release(struct dm_auth *auth);  /* the last one wipes the secrets; NULL is fine */
void dm_auth_destroy(struct dm_auth **auth); /* release, and forget */

/*
 * The credential in an Authorization header: what follows `Bearer` (any case),
 * or a bare word. Absent when the header is absent or blank, so that the caller
 * looks elsewhere. Another scheme (`Basic …`) and `Bearer` with nothing behind it
 * give an empty slice that is not absent: something was presented, and
 * dm_auth_check refuses it.
 */
struct dm_slice dm_auth_credential(struct dm_slice authorization);

/* Is it an API key? Costs little and never tries a signature. */
bool dm_auth_check_key(const struct dm_auth *auth, struct dm_slice credential,
                       struct dm_principal *out) DM_MUST_CHECK;

/*
 * DM_OK and the principal, or DM_ERR_UNAUTHORIZED. API keys are tried only
 * where the credential came `by_header`. To `claims` are appended the verified
 * claims of a user's token, a JSON object; of an API key nothing. NULL: not wanted.
 */
int dm_auth_check(const struct dm_auth *auth, struct dm_slice credential, bool by_header,
                  uint64_t now_wall_ms, struct dm_principal *out,
                  struct dm_buf *claims) DM_MUST_CHECK;

#endif
