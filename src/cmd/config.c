/* Loads the layers in order, and puts one value where it belongs. */
#include "cmd/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cmd/config_load.h"

bool dm_config_fail(struct dm_buf *why, const char *where, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    DM_CHECK(len >= 0);
    dm_buf_printf(why, "%s: %s", where, text);
    free(text);
    return false;
}

bool dm_config_unknown(struct dm_buf *why, const char *where, struct dm_slice name)
{
    const char *nearest = dm_config_nearest(name);
    dm_config_fail(why, where, "no such configuration key");
    if (nearest)
        dm_buf_printf(why, " (is it %s?)", nearest);
    return false;
}

void dm_config_wipe(struct dm_buf *text)
{
    if (text->bytes)
        explicit_bzero(text->bytes, text->capacity);
    dm_buf_dispose(text);
}

bool dm_config_read_file(const char *path, struct dm_buf *text, bool *others_read,
                         struct dm_buf *problem)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        dm_buf_printf(problem, "cannot open %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    *others_read = S_ISREG(about.st_mode) && (about.st_mode & S_IROTH);
    /* Reserved at once: growing would leave copies of secrets behind. */
    char *at = dm_buf_reserve(text, DM_CONFIG_FILE_MAX + 1);
    ssize_t got = 1;
    while (text->len <= DM_CONFIG_FILE_MAX && got != 0) {
        got = read(fd, at + text->len, DM_CONFIG_FILE_MAX + 1 - text->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        text->len += (size_t)got;
    }
    if (got < 0)
        dm_buf_printf(problem, "cannot read %s: %s", path, strerror(errno));
    else if (got > 0)
        dm_buf_printf(problem, "%s is larger than %d bytes", path, DM_CONFIG_FILE_MAX);
    close(fd);
    return got == 0;
}

/* One secret a line; blank lines and those that begin with # are passed over. */
static bool read_secret_file(struct dm_config_layer *layer, const char *where, const char *path,
                             struct dm_strings *secrets)
{
    struct dm_buf text = DM_BUF_INIT, problem = DM_BUF_INIT;
    bool others = false;
    bool ok = dm_config_read_file(path, &text, &others, &problem);
    struct dm_slice rest = ok ? dm_buf_slice(&text) : DM_NO_SLICE;
    while (rest.at) {
        struct dm_slice line = dm_slice_trim(dm_slice_split(&rest, '\n'));
        if (line.len && line.at[line.len - 1] == '\r')
            line = dm_slice_trim(dm_slice(line.at, line.len - 1));
        if (line.len && line.at[0] != '#')
            dm_strings_add(secrets, line);
    }
    if (!ok)
        dm_config_fail(layer->why, where, "%s", dm_buf_text(&problem));
    else if (!secrets->count)
        ok = dm_config_fail(layer->why, where, "%s holds no secret", path);
    else if (others)
        dm_buf_printf(&layer->config->warnings, "%s: every user of this machine may read %s\n",
                      where, path);
    dm_buf_dispose(&problem);
    dm_config_wipe(&text);
    return ok;
}

static bool put_values(struct dm_config_layer *layer, const struct dm_config_key *key,
                       struct dm_config_place place, const struct dm_strings *values)
{
    struct dm_buf problem = DM_BUF_INIT;
    bool ok = true;
    dm_config_clear(layer->config, key);
    for (size_t i = 0; ok && i < values->count; i++) {
        ok = dm_config_read(layer->config, key, dm_slice_of(values->all[i]), &problem);
        if (!ok)
            dm_config_fail(layer->why, place.where, "%s", dm_buf_text(&problem));
    }
    dm_buf_dispose(&problem);
    char **origin = &layer->config->origin[key - dm_config_keys];
    free(*origin);
    *origin = dm_strndup(place.origin, strlen(place.origin));
    return ok;
}

bool dm_config_put(struct dm_config_layer *layer, struct dm_config_name name,
                   struct dm_config_place place, const struct dm_strings *values, bool is_list)
{
    bool *given = &layer->given[name.key - dm_config_keys];
    if (*given)
        return dm_config_fail(layer->why, place.where, "%s is given twice", name.key->name);
    *given = true;
    if (is_list && (name.file || !dm_config_is_list(name.key)))
        return dm_config_fail(layer->why, place.where, "takes one value, not a list");
    if (!name.file)
        return put_values(layer, name.key, place, values);
    struct dm_strings secrets = {NULL, 0};
    bool ok = read_secret_file(layer, place.where, values->all[0], &secrets) &&
              put_values(layer, name.key, place, &secrets);
    dm_strings_wipe(&secrets);
    return ok;
}

bool dm_config_put_text(struct dm_config_layer *layer, struct dm_config_name name,
                        const char *where, struct dm_slice text)
{
    struct dm_strings values = {NULL, 0};
    struct dm_slice rest = text;
    bool is_list = dm_config_is_list(name.key) && !name.file, ok = true;
    if (!is_list)
        dm_strings_add(&values, text);
    else if (!text.len)
        rest = DM_NO_SLICE;
    while (ok && is_list && rest.at) {
        struct dm_slice item = dm_slice_trim(dm_slice_split(&rest, ','));
        if (item.len)
            dm_strings_add(&values, item);
        else
            ok = dm_config_fail(layer->why, where, "has an empty entry");
    }
    ok = ok && dm_config_put(layer, name, (struct dm_config_place){where, where}, &values, is_list);
    dm_strings_wipe(&values);
    return ok;
}

static void set_defaults(struct dm_config *config)
{
    struct dm_buf problem = DM_BUF_INIT;
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT; i++) {
        const struct dm_config_key *key = &dm_config_keys[i];
        if (!dm_config_is_list(key))
            DM_CHECK(dm_config_read(config, key, dm_slice_of(key->standard), &problem));
    }
    dm_buf_dispose(&problem);
}

static bool load_file(struct dm_config *config, const char *path, struct dm_buf *why)
{
    struct dm_config_layer layer = {.config = config, .why = why};
    struct dm_buf text = DM_BUF_INIT;
    bool others = false;
    bool ok = dm_config_read_file(path, &text, &others, why) &&
              dm_config_from_yaml(&layer, path, dm_buf_slice(&text));
    bool secret = config->jwt_secret.count && layer.given[DM_CONFIG_ID_jwt_secret];
    secret = secret || (config->api_keys.count && layer.given[DM_CONFIG_ID_api_keys]);
    secret = secret || (config->hook_secret.count && layer.given[DM_CONFIG_ID_hook_secret]);
    if (ok && others && secret)
        dm_buf_printf(&config->warnings,
                      "%s: it holds secrets, and every user of this machine may read it\n", path);
    dm_config_wipe(&text);
    return ok;
}

static const char *variable(char **env, struct dm_slice name)
{
    for (; *env; env++)
        if (dm_slice_starts(dm_slice_of(*env), name))
            return *env + name.len;
    return NULL;
}

/* Whether it is a key at all is seen by who uses it. */
static void warn_of_open_key(struct dm_config *config)
{
    struct stat about;
    if (*config->tls_key && stat(config->tls_key, &about) == 0 && about.st_mode & S_IROTH)
        dm_buf_printf(&config->warnings, "tls_key: every user of this machine may read %s\n",
                      config->tls_key);
}

int dm_config_load(struct dm_config *config, int argc, char **argv, char **env, struct dm_buf *why)
{
    *config = (struct dm_config){.argc = argc, .argv = argv, .env = env};
    struct dm_config_layer variables = {.config = config, .why = why};
    struct dm_config_layer flags = variables;
    const char *path = NULL;
    set_defaults(config);
    if (!dm_config_file_flag(argc, argv, &path, why))
        return DM_ERR_BAD_REQUEST;
    if (!path)
        path = variable(env, DM_SLICE("DORMOUSE_CONFIG="));
    if (path && !load_file(config, path, why))
        return DM_ERR_INVALID_FIELD;
    if (!dm_config_from_environ(&variables, env))
        return DM_ERR_INVALID_FIELD;
    if (!dm_config_from_flags(&flags, argc, argv))
        return DM_ERR_BAD_REQUEST;
    warn_of_open_key(config);
    return DM_OK;
}

void dm_config_dispose(struct dm_config *config)
{
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT; i++) {
        dm_config_clear(config, &dm_config_keys[i]);
        free(config->origin[i]);
    }
    dm_buf_dispose(&config->warnings);
    *config = (struct dm_config){0};
}

struct dm_limits dm_config_limits(const struct dm_config *config)
{
    return (struct dm_limits){
        .max_connections = config->max_connections,
        .max_connections_per_user = config->max_connections_per_user,
        .max_connections_per_address = config->max_connections_per_address,
        .rate_messages = config->rate_messages,
        .rate_requests = config->rate_requests,
        .rate_unauthenticated = config->rate_unauthenticated,
        .max_filters_per_session = config->max_filters_per_session,
        .max_channels_per_user = config->max_channels_per_user,
        .max_targets = config->max_targets,
        .max_owed_per_user = config->max_owed_per_user,
        .max_awake = config->max_awake,
        .max_message = config->max_message,
        .max_body = config->max_body,
        .max_header = config->max_header,
        .max_unsent = config->max_unsent,
        .max_attachment = config->max_attachment,
    };
}
