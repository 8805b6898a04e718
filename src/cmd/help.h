/* What the command line says of itself. */
#ifndef DM_CMD_HELP_H
#define DM_CMD_HELP_H

extern const char dm_help_main[], dm_help_serve[], dm_help_check_config[], dm_help_token[],
    dm_help_connect[], dm_help_publish[], dm_help_backup[], dm_help_check[], dm_help_inspect[];

#endif
