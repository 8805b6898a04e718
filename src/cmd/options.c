/* Takes a subcommand's flags: `--key value`, `--key=value`, or `--key` alone for a switch. */
#include "cmd/options.h"

#include "cmd/config_key.h"

static const struct dm_option *find(struct dm_slice name, const struct dm_option *options,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (dm_slice_eq(name, dm_slice_of(options[i].name)))
            return &options[i];
    return NULL;
}

static const char *store(const struct dm_option *option, struct dm_slice value)
{
    if (option->kind == DM_OPTION_MANY) {
        dm_strings_add(option->at, value);
    } else if (option->kind == DM_OPTION_TEXT) {
        if (*(const char **)option->at)
            return "is given twice";
        *(const char **)option->at = value.at; /* an argument's end: NUL follows */
    } else {
        *(bool *)option->at = true;
    }
    return NULL;
}

/* Takes the option at argv[*at], which is `option`; NULL, or what is wrong. */
static const char *take(const struct dm_option *option, struct dm_slice value, int argc,
                        char **argv, int *at)
{
    if (option->kind == DM_OPTION_SET)
        return value.at ? "takes no value" : store(option, value);
    if (!value.at && (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0))
        return "needs a value";
    return store(option, value.at ? value : dm_slice_of(argv[++*at]));
}

bool dm_options_take(int *argc, char **argv, const struct dm_option *options, size_t count,
                     struct dm_buf *why)
{
    int left = 0;
    for (int i = 0; i < *argc; i++) {
        struct dm_slice value = dm_slice_of(argv[i]);
        struct dm_slice name = dm_slice_split(&value, '=');
        const struct dm_option *option = find(name, options, count);
        if (!option) {
            argv[left++] = argv[i];
            continue;
        }
        const char *wrong = take(option, value, *argc, argv, &i);
        if (wrong) {
            dm_buf_printf(why, "%s: %s", option->name, wrong);
            return false;
        }
    }
    *argc = left;
    return true;
}
