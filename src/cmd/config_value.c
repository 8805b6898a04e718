/* Values: what may be one of each type, into its field and back to text. */
#include <stdlib.h>

#include "base/address.h"
#include "base/alloc.h"
#include "cmd/config_key.h"
#include "codec/utf8.h"

static void *field(const struct dm_config *config, const struct dm_config_key *key)
{
    return (char *)(uintptr_t)config + key->offset;
}

void dm_strings_add(struct dm_strings *strings, struct dm_slice text)
{
    /* Full at each power of two: doubles. */
    if ((strings->count & (strings->count - 1)) == 0)
        strings->all = dm_realloc(strings->all,
                                  (strings->count ? strings->count * 2 : 1) * sizeof *strings->all);
    strings->all[strings->count++] = dm_strndup(text.at, text.len);
}

void dm_strings_wipe(struct dm_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++) {
        explicit_bzero(strings->all[i], strlen(strings->all[i]));
        free(strings->all[i]);
    }
    free(strings->all);
    *strings = (struct dm_strings){NULL, 0};
}

void dm_config_clear(struct dm_config *config, const struct dm_config_key *key)
{
    if (dm_config_is_list(key)) {
        dm_strings_wipe(field(config, key));
    } else if (key->type == DM_TYPE_ADDRESS || key->type == DM_TYPE_PATH ||
               key->type == DM_TYPE_URL) {
        char **text = field(config, key);
        free(*text);
        *text = NULL;
    }
}

/* "host:port" with a port that is a number, or "unix:/path" that fits a socket address. */
static bool address_ok(struct dm_slice text)
{
    const struct dm_slice scheme = DM_SLICE("unix:");
    if (dm_slice_starts(text, scheme)) {
        struct dm_slice path = dm_slice_from(text, scheme.len);
        return path.len >= 2 && path.len < 108 && path.at[0] == '/';
    }
    const char *colon = text.len ? memrchr(text.at, ':', text.len) : NULL;
    if (!colon || colon == text.at)
        return false;
    uint64_t port;
    struct dm_slice host = dm_slice(text.at, (size_t)(colon - text.at));
    if (!dm_count_read(dm_slice_from(text, host.len + 1), &port) || port > 65535)
        return false;
    bool bracketed = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
    return host.len < 256 && (bracketed || !memchr(host.at, ':', host.len));
}

/* scheme://host[:port] as a browser writes it: lower case, no path, nothing else. */
static bool origin_ok(struct dm_slice text)
{
    const char *mark = text.len ? memmem(text.at, text.len, "://", 3) : NULL;
    if (!mark || mark == text.at || text.len > 512)
        return false;
    size_t host = (size_t)(mark - text.at) + 3;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c <= ' ' || c > '~' || (c >= 'A' && c <= 'Z') || c == '*')
            return false;
        if (i >= host && memchr("/?#@\\", c, 5))
            return false;
    }
    return host < text.len;
}

static bool read_choice(const struct dm_config_key *key, struct dm_slice text, unsigned *choice)
{
    struct dm_slice rest = dm_slice_of(key->choices);
    for (*choice = 0; rest.at; (*choice)++)
        if (dm_slice_eq(dm_slice_split(&rest, '|'), text))
            return true;
    return false;
}

static bool read_number(const struct dm_config_key *key, struct dm_slice text, uint64_t *number)
{
    bool ok = key->type == DM_TYPE_DURATION ? dm_duration_read(text, number)
              : key->type == DM_TYPE_SIZE   ? dm_size_read(text, number)
                                            : dm_count_read(text, number);
    return ok && *number >= key->min && *number <= key->max;
}

static void write_number(const struct dm_config_key *key, uint64_t number, struct dm_buf *out)
{
    if (key->type == DM_TYPE_DURATION)
        dm_duration_write(number, out);
    else if (key->type == DM_TYPE_SIZE)
        dm_size_write(number, out);
    else
        dm_buf_add_number(out, number);
}

static bool read_toggle(struct dm_slice text, bool *toggle)
{
    *toggle = dm_slice_eq(text, DM_SLICE("true"));
    return *toggle || dm_slice_eq(text, DM_SLICE("false"));
}

/* Says what the value must be, then what it was. Secrets have no such rule and never get here. */
static void add_problem(const struct dm_config_key *key, struct dm_slice text,
                        struct dm_buf *problem)
{
    static const char *const rules[] = {
        [DM_TYPE_ADDRESS] = "must be host:port or unix:/path",
        [DM_TYPE_PATH] = "must be a path",
        [DM_TYPE_URL] = "must be a URL",
        [DM_TYPE_TOGGLE] = "must be true or false",
        [DM_TYPE_COUNT] = "must be a whole number",
        [DM_TYPE_DURATION] = "must be a duration (500ms, 10s, 2m, 1h)",
        [DM_TYPE_SIZE] = "must be a size (bytes, 64KiB, 1MiB)",
        [DM_TYPE_ORIGINS] = "must hold origins (https://app.example.com), in lower case, no path",
        [DM_TYPE_NETWORKS] = "must hold addresses, networks (10.0.0.0/8, fd00::/8), or unix",
        [DM_TYPE_TEXTS] = "must hold texts in UTF-8 that are not empty",
    };
    if (key->choices)
        dm_buf_printf(problem, "must be one of %s", key->choices);
    else
        dm_buf_add_slice(problem, dm_slice_of(rules[key->type]));
    if (key->max) {
        dm_buf_lit(problem, " from ");
        write_number(key, key->min, problem);
        dm_buf_lit(problem, " to ");
        write_number(key, key->max, problem);
    }
    dm_buf_lit(problem, ", not ");
    dm_config_quote(text, problem);
}

static bool list_entry_ok(enum dm_config_type type, struct dm_slice text)
{
    struct dm_network network;
    if (type == DM_TYPE_ORIGINS)
        return origin_ok(text);
    if (type == DM_TYPE_NETWORKS)
        return dm_network_read(text, &network);
    return type != DM_TYPE_TEXTS || (text.len > 0 && dm_utf8_valid(text));
}

static bool read_value(void *at, const struct dm_config_key *key, struct dm_slice text)
{
    uint64_t number = 0;
    switch (key->type) {
    case DM_TYPE_ADDRESS:
    case DM_TYPE_PATH:
    case DM_TYPE_URL: /* what may be in one depends on hook_insecure too: cmd/credentials */
        *(char **)at = dm_strndup(text.at, text.len);
        if (key->type == DM_TYPE_ADDRESS)
            return address_ok(text);
        return text.len > 0 || !*key->standard; /* none, where none is what there is by default */
    case DM_TYPE_CHOICE:
        return read_choice(key, text, at);
    case DM_TYPE_TOGGLE:
        return read_toggle(text, at);
    case DM_TYPE_COUNT:
        if (!read_number(key, text, &number))
            return false;
        *(uint32_t *)at = (uint32_t)number;
        return true;
    case DM_TYPE_DURATION:
    case DM_TYPE_SIZE:
        return read_number(key, text, at);
    case DM_TYPE_ORIGINS:
    case DM_TYPE_NETWORKS:
    case DM_TYPE_TEXTS:
    case DM_TYPE_SECRETS:
        dm_strings_add(at, text);
        return list_entry_ok(key->type, text);
    }
    return false;
}

bool dm_config_read(struct dm_config *config, const struct dm_config_key *key, struct dm_slice text,
                    struct dm_buf *problem)
{
    if (text.len && memchr(text.at, 0, text.len)) {
        dm_buf_lit(problem, "holds a NUL character");
        return false;
    }
    if (read_value(field(config, key), key, text))
        return true;
    add_problem(key, text, problem);
    return false;
}

static void write_list(const struct dm_config_key *key, const struct dm_strings *list,
                       struct dm_buf *out)
{
    if (dm_config_is_secret(key)) {
        dm_buf_add_slice(out, dm_slice_of(list->count ? "(set)" : "(not set)"));
        return;
    }
    dm_buf_add_byte(out, '[');
    for (size_t i = 0; i < list->count; i++)
        dm_buf_printf(out, "%s%s", i ? ", " : "", list->all[i]);
    dm_buf_add_byte(out, ']');
}

static void write_choice(const struct dm_config_key *key, unsigned choice, struct dm_buf *out)
{
    struct dm_slice rest = dm_slice_of(key->choices), word = rest;
    for (unsigned i = 0; i <= choice; i++)
        word = dm_slice_split(&rest, '|');
    dm_buf_add_slice(out, word);
}

void dm_config_write(const struct dm_config *config, const struct dm_config_key *key,
                     struct dm_buf *out)
{
    const void *at = field(config, key);
    switch (key->type) {
    case DM_TYPE_ADDRESS:
    case DM_TYPE_PATH:
    case DM_TYPE_URL:
        dm_buf_add_slice(out, dm_slice_of(*(char *const *)at));
        break;
    case DM_TYPE_CHOICE:
        write_choice(key, *(const unsigned *)at, out);
        break;
    case DM_TYPE_TOGGLE:
        dm_buf_add_slice(out, dm_slice_of(*(const bool *)at ? "true" : "false"));
        break;
    case DM_TYPE_COUNT:
        dm_buf_add_number(out, *(const uint32_t *)at);
        break;
    case DM_TYPE_DURATION:
    case DM_TYPE_SIZE:
        write_number(key, *(const uint64_t *)at, out);
        break;
    case DM_TYPE_ORIGINS:
    case DM_TYPE_NETWORKS:
    case DM_TYPE_TEXTS:
    case DM_TYPE_SECRETS:
        write_list(key, at, out);
        break;
    }
}

void dm_config_quote(struct dm_slice text, struct dm_buf *out)
{
    const size_t most = 60;
    dm_buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len && i < most; i++)
        dm_buf_add_byte(out,
                        (unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f ? '?' : text.at[i]);
    if (text.len > most)
        dm_buf_lit(out, "...");
    dm_buf_add_byte(out, '"');
}
