/*
 * The configuration file: it is taken, or refused in one line that names a
 * line of the file; what was taken can be printed, and no secret is in what
 * is printed. Inputs that name other files are passed over.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "cmd/config_load.h"

static bool contains(struct dm_slice text, struct dm_slice part)
{
    return text.len && part.len && memmem(text.at, text.len, part.at, part.len);
}

static void check_refusal(const struct dm_buf *why, struct dm_slice text)
{
    struct dm_slice rest = dm_buf_slice(why);
    DM_CHECK(dm_slice_starts(rest, DM_SLICE("fuzz.yaml:")));
    rest = dm_slice_from(rest, 10);
    uint64_t line = 0, last = 2; /* an end may stand behind the last line */
    while (rest.len && *rest.at >= '0' && *rest.at <= '9') {
        line = line * 10 + (uint64_t)(*rest.at - '0');
        rest = dm_slice_from(rest, 1);
    }
    for (size_t i = 0; i < text.len; i++) /* NEL, LS and PS too are breaks in YAML 1.1 */
        last += text.at[i] == '\n' || text.at[i] == '\r' || (text.at[i] & 0x80);
    DM_CHECK(line >= 1 && line <= last);
    DM_CHECK(dm_slice_starts(rest, DM_SLICE(": ")));
    DM_CHECK(!memchr(rest.at, '\n', rest.len));
}

/* Then it may be another value's text as well. */
static bool occurs_twice(struct dm_slice text, struct dm_slice word)
{
    const char *first = memmem(text.at, text.len, word.at, word.len);
    return first && contains(dm_slice_from(text, (size_t)(first - text.at) + 1), word);
}

static void check_printed(const struct dm_config *config, struct dm_slice text)
{
    struct dm_buf out = DM_BUF_INIT;
    dm_config_print(config, &out);
    for (size_t i = 0; i < config->jwt_secret.count; i++) {
        struct dm_slice secret = dm_slice_of(config->jwt_secret.all[i]);
        /* a short one may be in any text; one from a file cannot be in a file's name */
        DM_CHECK(secret.len < 16 || occurs_twice(text, secret) ||
                 contains(dm_slice_of(config->database), secret) || config->cors_origins.count ||
                 config->jwt_public_key.count || config->jwks.count || config->jwt_issuer.count ||
                 config->jwt_audience.count || !contains(dm_buf_slice(&out), secret));
    }
    dm_buf_dispose(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *env[] = {NULL};
    struct dm_config config;
    struct dm_buf why = DM_BUF_INIT;
    char *copy = dm_memdup(data, size);
    struct dm_slice text = dm_slice(copy, size);
    DM_CHECK(dm_config_load(&config, 0, NULL, env, &why) == DM_OK);
    struct dm_config_layer layer = {.config = &config, .why = &why};
    if (!contains(text, DM_SLICE("_file"))) {
        bool taken = dm_config_from_yaml(&layer, "fuzz.yaml", text);
        DM_CHECK(taken == (why.len == 0));
        if (taken)
            check_printed(&config, text);
        else
            check_refusal(&why, text);
    }
    dm_config_dispose(&config);
    dm_buf_dispose(&why);
    free(copy);
    return 0;
}
