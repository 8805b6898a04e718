/* The configured secrets and keys, checked and made ready. */
#ifndef DM_CMD_CREDENTIALS_H
#define DM_CMD_CREDENTIALS_H

#include "auth/auth.h"
#include "cmd/config.h"

/* As dm_auth_create; `why` names the place that the wrong key is from, too. */
int dm_credentials_make(const struct dm_config *config, struct dm_auth **auth,
                        struct dm_buf *why) DM_MUST_CHECK;

#endif
