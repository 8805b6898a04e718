/* Patterns of names, and a hook's yes or no. */
#include "auth/grant.h"

#include "base/err.h"
#include "codec/json.h"

static bool matches(struct dm_slice pattern, struct dm_slice name)
{
    if (pattern.len && pattern.at[pattern.len - 1] == '*')
        return dm_slice_starts(name, dm_slice(pattern.at, pattern.len - 1));
    return dm_slice_eq(pattern, name);
}

bool dm_grant_covers(struct dm_slice claims, struct dm_slice name)
{
    struct dm_slice key, pattern;
    if (!claims.at)
        return false;
    struct dm_slice patterns = dm_json_get(claims, DM_SLICE("channels"));
    if (dm_json_kind(patterns) != DM_JSON_ARRAY)
        return false;
    struct dm_json_walk walk = dm_json_walk(patterns);
    struct dm_buf text = DM_BUF_INIT;
    bool covered = false;
    while (!covered && dm_json_next(&walk, &key, &pattern)) {
        if (dm_json_kind(pattern) != DM_JSON_STRING)
            continue;
        dm_buf_clear(&text);
        dm_json_decode(&text, pattern);
        covered = matches(dm_buf_slice(&text), name);
    }
    dm_buf_dispose(&text);
    return covered;
}

int dm_grant_read_answer(struct dm_slice body)
{
    if (!dm_json_valid(body))
        return DM_ERR_HOOK_UNAVAILABLE;
    struct dm_slice answer = dm_json_value(body);
    if (dm_json_kind(answer) != DM_JSON_OBJECT)
        return DM_ERR_FORBIDDEN;
    return dm_slice_eq(dm_json_get(answer, DM_SLICE("allow")), DM_SLICE("true")) ? DM_OK
                                                                                 : DM_ERR_FORBIDDEN;
}
