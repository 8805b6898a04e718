/*
 * Answers of hooks: whatever a backend says to a call, it makes a principal
 * that may exist, a yes, a no, or a fault of the hook's; and the claims that
 * came with a yes grant names without a look beyond their end. An input's first
 * line is the name that is asked for, the rest the answer. Inputs come in exact
 * heap blocks.
 */
#include <stdlib.h>

#include "auth/claims.h"
#include "auth/grant.h"
#include "base/alloc.h"
#include "base/err.h"
#include "codec/json.h"
#include "model/name.h"

#define NOW 1800000000000u

static void check_claims(struct dm_slice body, struct dm_slice claims, struct dm_slice name)
{
    DM_CHECK(claims.at >= body.at && claims.at + claims.len <= body.at + body.len);
    DM_CHECK(dm_json_kind(claims) == DM_JSON_OBJECT);
    struct dm_slice patterns = dm_json_get(claims, DM_SLICE("channels"));
    bool covers = dm_grant_covers(claims, name);
    DM_CHECK(!covers || dm_json_kind(patterns) == DM_JSON_ARRAY);
    /* What covers a name covers what is longer only by a star. */
    if (covers && dm_grant_covers(claims, DM_SLICE("private-never")))
        DM_CHECK(memchr(patterns.at, '*', patterns.len) ||
                 memchr(patterns.at, '\\', patterns.len) ||
                 memmem(patterns.at, patterns.len, "private-never", 13));
}

static void check_auth(struct dm_slice body, struct dm_slice name)
{
    struct dm_principal who;
    struct dm_slice claims = DM_NO_SLICE;
    int err = dm_claims_read_answer(body, NOW, &who, &claims);
    DM_CHECK(err == DM_OK || err == DM_ERR_UNAUTHORIZED || err == DM_ERR_HOOK_UNAVAILABLE);
    if (err)
        return;
    struct dm_slice id = dm_principal_id(&who);
    DM_CHECK(who.kind == DM_PRINCIPAL_USER && dm_user_id_valid(id));
    DM_CHECK(!dm_slice_starts(id, DM_SLICE("guest:")));
    DM_CHECK((who.scopes & ~(unsigned)(DM_SCOPE_PUBLISH | DM_SCOPE_ADMIN)) == 0);
    DM_CHECK(who.expires_ms == 0 || who.expires_ms >= NOW);
    check_claims(body, claims, name);
}

static void check_authorize(struct dm_slice body)
{
    int err = dm_grant_read_answer(body);
    DM_CHECK(err == DM_OK || err == DM_ERR_FORBIDDEN || err == DM_ERR_HOOK_UNAVAILABLE);
    DM_CHECK((err == DM_ERR_HOOK_UNAVAILABLE) == !dm_json_valid(body));
    DM_CHECK(err || memmem(body.at, body.len, "true", 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = dm_memdup(data, size);
    struct dm_slice rest = dm_slice(copy, size), name = dm_slice_split(&rest, '\n');
    char *body = dm_memdup(rest.len ? rest.at : "", rest.len);
    check_auth(dm_slice(body, rest.len), name);
    check_authorize(dm_slice(body, rest.len));
    (void)dm_name_needs_grant(name);
    free(body);
    free(copy);
    return 0;
}
