/* The paths that later versions will have. */
#include "net/later.h"

#include "base/check.h"

static const struct {
    const char *path; /* and all below it */
    const char *what;
} later[] = {
    {"/ws/room", "This version has no rooms yet"},
    {"/ws/router", "This version does not speak that WebSocket dialect yet"},
    {"/rooms", "This version has no rooms yet"},
    {"/topics", "This version has no topics yet"},
    {"/sessions", "This version has no attachments yet"},
    {"/users", "This version has no such call on a user yet"},
};

struct dm_slice dm_later_path(struct dm_slice path)
{
    for (size_t i = 0; i < DM_COUNT(later); i++) {
        struct dm_slice prefix = dm_slice_of(later[i].path);
        if (dm_slice_starts(path, prefix) && (path.len == prefix.len || path.at[prefix.len] == '/'))
            return dm_slice_of(later[i].what);
    }
    return DM_NO_SLICE;
}
