/*
 * The URL of a hook: https, or plain http to this machine itself, or
 * unix:/path/of/socket with, behind another colon, the path to ask for there.
 * Read by libcurl's own parser, which will also connect. Any thread.
 */
#ifndef DM_NET_HOOK_URL_H
#define DM_NET_HOOK_URL_H

#include <stdbool.h>

#include "base/check.h"

struct dm_hook_url {
    char *url;
    char *socket; /* NULL: none */
};

/* Plain http counts as safe only to 127.0.0.0/8, [::1] and localhost, written so: what a name
 * resolves to is not this machine's to say. NULL, or what is wrong ("must …"), and nothing to
 * dispose of. */
const char *dm_hook_url_read(const char *text, bool insecure,
                             struct dm_hook_url *out) DM_MUST_CHECK;
void dm_hook_url_dispose(struct dm_hook_url *url);

#endif
