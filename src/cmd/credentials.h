/* The configured secrets and keys, those in files read, checked and made ready. */
#ifndef DM_CMD_CREDENTIALS_H
#define DM_CMD_CREDENTIALS_H

#include "auth/auth.h"
#include "cmd/config.h"
#include "net/hook.h"

struct ssl_ctx_st;

/* As dm_auth_create; `why` names the place that the wrong key is from, too. A file of public
 * keys that cannot be read is DM_ERR_INVALID_FIELD as well. */
int dm_credentials_make(const struct dm_config *config, struct dm_auth **auth,
                        struct dm_buf *why) DM_MUST_CHECK;

/* The listener's certificate and key, as dm_tls_create; NULL where neither is configured. */
int dm_credentials_make_tls(const struct dm_config *config, struct ssl_ctx_st **tls,
                            struct dm_buf *why) DM_MUST_CHECK;

/* The hooks: are their URLs safe, and is there a secret to sign with? `options` point into the
 * configuration. */
int dm_credentials_hooks(const struct dm_config *config, struct dm_hook_options *options,
                         struct dm_buf *why) DM_MUST_CHECK;

#endif
