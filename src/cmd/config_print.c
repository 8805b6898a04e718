/* The configuration for people to read. */
#include "cmd/config_key.h"

static void pad(struct dm_buf *out, size_t from, size_t width)
{
    while (out->len - from < width)
        dm_buf_add_byte(out, ' ');
}

void dm_config_print(const struct dm_config *config, struct dm_buf *out)
{
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT; i++) {
        const struct dm_config_key *key = &dm_config_keys[i];
        size_t start = out->len;
        dm_buf_printf(out, "%s: ", key->name);
        dm_config_write(config, key, out);
        pad(out, start, 44);
        dm_buf_printf(out, " # %s\n", config->origin[i] ? config->origin[i] : "default");
    }
}

static void add_flag(struct dm_buf *out, const struct dm_config_key *key)
{
    static const char *const values[] = {
        [DM_TYPE_ADDRESS] = " ADDRESS", [DM_TYPE_PATH] = " PATH",  [DM_TYPE_URL] = " URL",
        [DM_TYPE_CHOICE] = "",          [DM_TYPE_TOGGLE] = "",     [DM_TYPE_COUNT] = " N",
        [DM_TYPE_DURATION] = " TIME",   [DM_TYPE_SIZE] = " SIZE",  [DM_TYPE_ORIGINS] = " LIST",
        [DM_TYPE_NETWORKS] = " LIST",   [DM_TYPE_TEXTS] = " LIST", [DM_TYPE_SECRETS] = "-file PATH",
    };
    dm_buf_lit(out, "--");
    for (const char *c = key->name; *c; c++)
        dm_buf_add_byte(out, *c == '_' ? '-' : *c);
    dm_buf_add_slice(out, dm_slice_of(values[key->type]));
    if (key->choices)
        dm_buf_printf(out, " %s", key->choices);
}

void dm_config_help(struct dm_buf *out)
{
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT; i++) {
        const struct dm_config_key *key = &dm_config_keys[i];
        dm_buf_lit(out, "  ");
        add_flag(out, key);
        dm_buf_printf(out, "\n        %s", key->help);
        if (*key->standard)
            dm_buf_printf(out, " (%s)", key->standard);
        dm_buf_add_byte(out, '\n');
    }
}

static void add_cell(struct dm_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            dm_buf_add_byte(out, '\\');
        dm_buf_add_byte(out, *text);
    }
}

void dm_config_markdown(struct dm_buf *out)
{
    dm_buf_lit(out, "| key | default | what it does |\n| --- | --- | --- |\n");
    for (size_t i = 0; i < DM_CONFIG_ID_COUNT; i++) {
        const struct dm_config_key *key = &dm_config_keys[i];
        dm_buf_printf(out, "| `%s` | ", key->name);
        if (*key->standard)
            dm_buf_printf(out, "`%s`", key->standard);
        dm_buf_lit(out, " | ");
        add_cell(out, key->help);
        dm_buf_lit(out, " |\n");
    }
}
