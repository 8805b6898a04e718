/* The server itself. */
#ifndef DM_CMD_SERVE_H
#define DM_CMD_SERVE_H

#include "cmd/config.h"

/*
 * Serves until it is told to stop; the exit code of the process. To read the
 * configuration again (SIGHUP), call dm_config_load with config's own argc,
 * argv and env.
 */
int dm_serve(const struct dm_config *config);

#endif
