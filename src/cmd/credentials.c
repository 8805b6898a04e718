/* From configuration to auth, with errors that name file and line. */
#include "cmd/credentials.h"

int dm_credentials_make(const struct dm_config *config, struct dm_auth **auth, struct dm_buf *why)
{
    struct dm_auth_options options = {
        .secrets = config->jwt_secret.all,
        .secret_count = config->jwt_secret.count,
        .api_keys = config->api_keys.all,
        .api_key_count = config->api_keys.count,
    };
    struct dm_buf wrong = DM_BUF_INIT;
    int err = dm_auth_create(&options, auth, &wrong);
    if (err) {
        bool secret = dm_slice_starts(dm_buf_slice(&wrong), DM_SLICE("jwt_secret"));
        const char *origin =
            config->origin[secret ? DM_CONFIG_ID_jwt_secret : DM_CONFIG_ID_api_keys];
        if (origin)
            dm_buf_printf(why, "%s: ", origin);
        dm_buf_add_slice(why, dm_buf_slice(&wrong));
    }
    dm_buf_dispose(&wrong);
    return err;
}
