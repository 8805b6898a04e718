/* Flags and variables: the two layers over the file. What is named is the flag or the variable,
 * never its value. */
#include <stdlib.h>

#include "cmd/config_load.h"

static struct dm_config_name find_renamed(struct dm_slice text, char dash, bool upper,
                                          struct dm_buf *name)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool other_case = upper ? c >= 'a' && c <= 'z' : c >= 'A' && c <= 'Z';
        /* a character of the other spelling stays unknown */
        if (other_case || (dash != '_' && c == '_'))
            c = '?';
        else if (upper && c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        else if (c == dash)
            c = '_';
        dm_buf_add_byte(name, c);
    }
    return dm_config_find(dm_buf_slice(name));
}

static bool put_variable(struct dm_config_layer *layer, struct dm_slice variable)
{
    const struct dm_slice prefix = DM_SLICE("DORMOUSE_");
    struct dm_buf key = DM_BUF_INIT, where = DM_BUF_INIT;
    struct dm_slice value = variable;
    struct dm_slice name = dm_slice_split(&value, '=');
    struct dm_config_name found = find_renamed(dm_slice_from(name, prefix.len), '_', true, &key);
    bool ok = true;
    dm_buf_add_slice(&where, name);
    if (dm_slice_eq(name, DM_SLICE("DORMOUSE_CONFIG")))
        ok = true;
    else if (found.key)
        ok = dm_config_put_text(layer, found, dm_buf_text(&where), value);
    else
        ok = dm_config_unknown(layer->why, dm_buf_text(&where), dm_buf_slice(&key));
    dm_buf_dispose(&key);
    dm_buf_dispose(&where);
    return ok;
}

bool dm_config_from_environ(struct dm_config_layer *layer, char **env)
{
    for (; *env; env++) {
        struct dm_slice variable = dm_slice_of(*env);
        if (dm_slice_starts(variable, DM_SLICE("DORMOUSE_")) &&
            memchr(variable.at, '=', variable.len) && !put_variable(layer, variable))
            return false;
    }
    return true;
}

/* A flag taken apart: `value` is absent where no "=" follows the name. */
struct flag {
    struct dm_slice name, value;
};

static bool read_flag(const char *arg, struct flag *flag)
{
    if (strncmp(arg, "--", 2) != 0)
        return false;
    flag->value = dm_slice_of(arg + 2);
    flag->name = dm_slice_split(&flag->value, '=');
    return flag->name.len > 0;
}

/* The next argument as this flag's value, unless it looks like a flag itself. */
static bool take_value(struct flag *flag, int argc, char **argv, int *at)
{
    if (flag->value.at)
        return true;
    if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
        return false;
    flag->value = dm_slice_of(argv[++*at]);
    return true;
}

static bool refuse_secret(struct dm_buf *why, const char *where, const struct dm_config_key *key)
{
    struct dm_buf upper = DM_BUF_INIT;
    for (const char *c = key->name; *c; c++)
        dm_buf_add_byte(&upper, (char)(*c >= 'a' && *c <= 'z' ? *c & ~0x20 : *c));
    dm_config_fail(why, where,
                   "a secret is no flag, where other users could see it: put %s into the file, "
                   "DORMOUSE_%s into the environment, or its path into %s_file",
                   key->name, dm_buf_text(&upper), key->name);
    dm_buf_dispose(&upper);
    return false;
}

static bool put_flag(struct dm_config_layer *layer, struct flag *flag, const char *where,
                     struct dm_config_name found, bool has_value)
{
    if (dm_config_is_secret(found.key) && !found.file)
        return refuse_secret(layer->why, where, found.key);
    if (!has_value)
        return dm_config_fail(layer->why, where, "needs a value");
    return dm_config_put_text(layer, found, where, flag->value);
}

static bool put_argument(struct dm_config_layer *layer, int argc, char **argv, int *at)
{
    struct flag flag;
    if (!read_flag(argv[*at], &flag)) {
        dm_buf_printf(layer->why, "argument %d is not expected: flags begin with --", *at + 1);
        return false;
    }
    struct dm_buf where = DM_BUF_INIT, key = DM_BUF_INIT;
    dm_buf_lit(&where, "--");
    dm_buf_add_slice(&where, flag.name);
    struct dm_config_name found = find_renamed(flag.name, '-', false, &key);
    bool ok = true, has_value = true;
    if (found.key && found.key->type == DM_TYPE_TOGGLE && !flag.value.at)
        flag.value = DM_SLICE("true");
    else if (found.key || dm_slice_eq(flag.name, DM_SLICE("config")))
        has_value = take_value(&flag, argc, argv, at);
    if (found.key)
        ok = put_flag(layer, &flag, dm_buf_text(&where), found, has_value);
    else if (!dm_slice_eq(flag.name, DM_SLICE("config")))
        ok = dm_config_unknown(layer->why, dm_buf_text(&where), dm_buf_slice(&key));
    dm_buf_dispose(&where);
    dm_buf_dispose(&key);
    return ok;
}

bool dm_config_from_flags(struct dm_config_layer *layer, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!put_argument(layer, argc, argv, &i))
            return false;
    return true;
}

bool dm_config_file_flag(int argc, char **argv, const char **path, struct dm_buf *why)
{
    for (int i = 0; i < argc; i++) {
        struct flag flag;
        if (!read_flag(argv[i], &flag) || !dm_slice_eq(flag.name, DM_SLICE("config")))
            continue;
        if (*path)
            return dm_config_fail(why, "--config", "is given twice");
        if (!take_value(&flag, argc, argv, &i))
            return dm_config_fail(why, "--config", "needs a value");
        *path = flag.value.at; /* the end of an argument, so it ends with NUL */
    }
    return true;
}
