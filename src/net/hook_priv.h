/*
 * One call of a hook as libcurl makes it. Private to the hook's files; the
 * hooks' own thread.
 */
#ifndef DM_NET_HOOK_PRIV_H
#define DM_NET_HOOK_PRIV_H

#include <curl/curl.h>

#include "auth/hmac.h"
#include "net/hook.h"
#include "net/hook_url.h"

/* Makes ready to call `url` in the `left_ms` that are left. */
void dm_hook_transfer_start(struct dm_hook_call *call, const struct dm_hook_url *url,
                            const struct dm_hmac_key *key, uint64_t left_ms);

/* What the transfer has come to: the call's status, and without one no answer. NULL, or what went
 * wrong. The transfer is out of the multi handle by now. */
const char *dm_hook_transfer_end(struct dm_hook_call *call, CURLcode code);

#endif
