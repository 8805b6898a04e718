/* `dormouse backup` and `dormouse check`: the database file, whether a server has it open or not.
 */
#include "store/backup.h"

#include <signal.h>

#include "base/err.h"
#include "cmd/command.h"
#include "cmd/config_key.h"
#include "dialect/dialect.h"
#include "store/check.h"

static bool is_flag(const char *argument)
{
    return strncmp(argument, "--", 2) == 0;
}

/* Takes the one argument that is neither a flag nor a flag's value: the first or the last. NULL:
 * there is none. */
static const char *take_file(int *argc, char ***argv)
{
    char **all = *argv;
    int last = *argc - 1;
    if (*argc == 0)
        return NULL;
    if (!is_flag(all[0])) {
        *argc -= 1;
        *argv += 1;
        return all[0];
    }
    if (is_flag(all[last]) || (is_flag(all[last - 1]) && !strchr(all[last - 1], '=')))
        return NULL;
    *argc -= 1;
    return all[last];
}

/* --- backup --- */

static void take_signals(sigset_t *signals, sigset_t *before)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, before);
}

/* So that a stopped backup leaves nothing behind. */
static bool signalled(void *signals)
{
    const struct timespec at_once = {0};
    return sigtimedwait(signals, NULL, &at_once) > 0;
}

static int print_made(const char *file, const struct dm_backup_made *made)
{
    struct dm_buf out = DM_BUF_INIT;
    dm_buf_printf(&out, "%s: %llu bytes; the server's log had at most %llu meanwhile\n", file,
                  (unsigned long long)made->bytes, (unsigned long long)made->log_bytes);
    bool printed = dm_command_print(dm_buf_slice(&out));
    dm_buf_dispose(&out);
    return printed ? DM_EXIT_OK : dm_command_fail(DM_EXIT_FAILED, "cannot write to stdout");
}

static int back_up(const char *database, const char *file, uint64_t log_max)
{
    sigset_t signals, before;
    struct dm_backup_options options = {database, file, log_max, signalled, &signals};
    struct dm_backup_made made;
    struct dm_buf why = DM_BUF_INIT;
    take_signals(&signals, &before);
    int err = dm_backup(&options, &made, &why);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    int code = err == DM_OK ? print_made(file, &made)
                            : dm_command_fail(DM_EXIT_FAILED, "%s", dm_buf_text(&why));
    dm_buf_dispose(&why);
    return code;
}

int dm_command_backup(int argc, char **argv, char **env)
{
    const char *file = take_file(&argc, &argv), *log_max_text = NULL;
    const struct dm_option options[] = {{"--max-log", DM_OPTION_TEXT, &log_max_text}};
    struct dm_config config;
    uint64_t log_max = 0;
    int code = dm_command_begin(argc, argv, env, options, DM_COUNT(options), &config);
    if (code != DM_EXIT_OK)
        ;
    else if (!file || !*file)
        code = dm_command_fail(DM_EXIT_USAGE,
                               "a FILE to back up to is needed; see dormouse backup --help");
    else if (!dm_size_read(dm_slice_of(log_max_text ? log_max_text : "1GiB"), &log_max))
        code = dm_command_fail(DM_EXIT_USAGE, "--max-log: must be a size (64MiB, 1GiB)");
    else
        code = back_up(config.database, file, log_max);
    dm_config_dispose(&config);
    return code;
}

/* --- check --- */

static bool dialect_known(struct dm_slice name)
{
    return dm_dialect_named(name) != DM_DIALECT_COUNT;
}

static int check(const char *database)
{
    struct dm_check_options options = {database, dialect_known};
    struct dm_buf out = DM_BUF_INIT, why = DM_BUF_INIT;
    uint64_t count = 0;
    int code = DM_EXIT_OK;
    if (dm_check_database(&options, &out, &count, &why) != DM_OK)
        code = dm_command_fail(DM_EXIT_FAILED, "%s", dm_buf_text(&why));
    else if (count == 0)
        dm_buf_printf(&out, "%s: sound\n", database);
    if (!dm_command_print(dm_buf_slice(&out)))
        code = dm_command_fail(DM_EXIT_FAILED, "cannot write to stdout");
    else if (count)
        code = dm_command_fail(DM_EXIT_FAILED, "%s: %llu thing%s wrong", database,
                               (unsigned long long)count, count == 1 ? " is" : "s are");
    dm_buf_dispose(&out);
    dm_buf_dispose(&why);
    return code;
}

int dm_command_check(int argc, char **argv, char **env)
{
    struct dm_config config;
    int code = dm_command_begin(argc, argv, env, NULL, 0, &config);
    if (code == DM_EXIT_OK)
        code = check(config.database);
    dm_config_dispose(&config);
    return code;
}
