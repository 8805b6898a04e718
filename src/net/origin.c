/* Compares origins. */
#include "net/origin.h"

bool dm_origin_is_listed(const struct dm_server_options *options, struct dm_slice origin)
{
    for (size_t i = 0; i < options->cors_origin_count; i++)
        if (dm_slice_eq(dm_slice_of(options->cors_origins[i]), origin))
            return true;
    return false;
}

static bool eq_nocase(struct dm_slice a, struct dm_slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

static struct dm_slice without_port(struct dm_slice host, struct dm_slice port)
{
    if (host.len > port.len && dm_slice_eq(dm_slice_from(host, host.len - port.len), port))
        host.len -= port.len;
    return host;
}

bool dm_origin_is_own(struct dm_slice origin, struct dm_slice host)
{
    const char *mark = origin.len ? memmem(origin.at, origin.len, "://", 3) : NULL;
    if (!mark)
        return false; /* "null" */
    struct dm_slice scheme = dm_slice(origin.at, (size_t)(mark - origin.at));
    struct dm_slice named = dm_slice_from(origin, scheme.len + 3);
    struct dm_slice port = DM_SLICE(":80");
    if (eq_nocase(scheme, DM_SLICE("https")))
        port = DM_SLICE(":443");
    named = without_port(named, port);
    return named.len && eq_nocase(named, without_port(host, port));
}
