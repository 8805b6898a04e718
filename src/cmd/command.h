/*
 * The command line: one table of subcommands, and what they share.
 */
#ifndef DM_CMD_COMMAND_H
#define DM_CMD_COMMAND_H

#include "cmd/options.h"

enum dm_exit { DM_EXIT_OK = 0, DM_EXIT_FAILED = 1, DM_EXIT_USAGE = 2 };

/* Runs `dormouse <subcommand> …`; the process's exit code. */
int dm_command_run(int argc, char **argv, char **env);

/* The subcommands. `argv` is what follows the name, and may be changed. */
int dm_command_serve(int argc, char **argv, char **env);
int dm_command_check_config(int argc, char **argv, char **env);
int dm_command_token(int argc, char **argv, char **env);
int dm_command_connect(int argc, char **argv, char **env);
int dm_command_publish(int argc, char **argv, char **env);
int dm_command_backup(int argc, char **argv, char **env);
int dm_command_check(int argc, char **argv, char **env);
int dm_command_inspect(int argc, char **argv, char **env);

/*
 * Takes the subcommand's options and loads the configuration from the rest.
 * Anything but DM_EXIT_OK has been reported on stderr. Dispose of the config in
 * either case.
 */
int dm_command_begin(int argc, char **argv, char **env, const struct dm_option *options,
                     size_t count, struct dm_config *config) DM_MUST_CHECK;

/* Prints "dormouse: <why>" on stderr, with the dm_exit code given; returns that. */
int dm_command_fail(int code, const char *format, ...) DM_PRINTF(2, 3);

/* Prints all of `text` on stdout, at once; false when stdout is gone. */
bool dm_command_print(struct dm_slice text) DM_MUST_CHECK;

/* Mints a token with the first secret of the configuration. DM_EXIT_OK, or reported. */
int dm_command_mint(const struct dm_config *config, const char *user, unsigned scopes,
                    uint64_t ttl_ms, struct dm_buf *token) DM_MUST_CHECK;

/* The URL of the server that this configuration would start, on this machine. */
void dm_command_url(const struct dm_config *config, struct dm_buf *url);

/* What a command shows a server: `token`, else the API key of that name or the first, else a token
 * minted for `user` with `scopes`, good for a minute; where there is none of these it stays empty.
 * DM_EXIT_OK, or reported. */
int dm_command_credential(const struct dm_config *config, const char *token, const char *key_name,
                          const char *user, unsigned scopes,
                          struct dm_buf *credential) DM_MUST_CHECK;

/* The secret of the API key of that name, or of the first one; absent if there is none. */
struct dm_slice dm_command_api_key(const struct dm_config *config, const char *name);

#endif
