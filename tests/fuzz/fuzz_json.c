/*
 * JSON: what the validator takes can be walked whole, and every string in it
 * says the same after decoding and encoding again. Inputs come in exact heap
 * blocks, so that reading past one is seen.
 */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "codec/utf8.h"

static void check_string(struct dm_slice string)
{
    struct dm_buf says = DM_BUF_INIT, written = DM_BUF_INIT, again = DM_BUF_INIT;
    DM_CHECK(string.len >= 2 && string.at[0] == '"' && string.at[string.len - 1] == '"');
    dm_json_decode(&says, string);
    DM_CHECK(says.len <= string.len - 2);
    DM_CHECK(dm_json_string_is(string, dm_buf_slice(&says)));
    dm_json_encode(&written, dm_buf_slice(&says));
    DM_CHECK(dm_json_valid(dm_buf_slice(&written)));
    DM_CHECK(dm_json_string_is(dm_buf_slice(&written), dm_buf_slice(&says)));
    dm_json_decode(&again, dm_buf_slice(&written));
    DM_CHECK(dm_slice_eq(dm_buf_slice(&says), dm_buf_slice(&again)));
    if (says.len) { /* one byte off is another text */
        says.bytes[says.len / 2] ^= 1;
        DM_CHECK(!dm_json_string_is(string, dm_buf_slice(&says)));
    }
    dm_buf_dispose(&says);
    dm_buf_dispose(&written);
    dm_buf_dispose(&again);
}

static void check_value(struct dm_slice value, int depth);

static void check_members(struct dm_slice container, int depth)
{
    struct dm_json_walk walk = dm_json_walk(container);
    struct dm_slice key, value, name;
    struct dm_buf decoded = DM_BUF_INIT;
    while (dm_json_next(&walk, &key, &value)) {
        DM_CHECK((key.at != NULL) == (*container.at == '{'));
        check_value(value, depth + 1);
        if (!key.at)
            continue;
        check_string(key);
        dm_buf_clear(&decoded);
        dm_json_decode(&decoded, key);
        name = dm_json_get(container, dm_buf_slice(&decoded));
        DM_CHECK(name.at >= value.at); /* this one, or a later one of the same name */
    }
    DM_CHECK(walk.at == container.at + container.len - 1);
    dm_buf_dispose(&decoded);
}

static void check_value(struct dm_slice value, int depth)
{
    DM_CHECK(depth <= DM_JSON_MAX_DEPTH);
    DM_CHECK(dm_slice_eq(dm_json_value(value), value));
    switch (dm_json_kind(value)) {
    case DM_JSON_OBJECT:
    case DM_JSON_ARRAY:
        check_members(value, depth);
        break;
    case DM_JSON_STRING:
        check_string(value);
        break;
    case DM_JSON_NUMBER:
        DM_CHECK(!isnan(dm_json_number(value)));
        DM_CHECK(dm_json_valid(value));
        break;
    case DM_JSON_NULL:
        DM_CHECK(dm_slice_eq(value, DM_SLICE("null")));
        break;
    case DM_JSON_BOOL:
        DM_CHECK(dm_slice_eq(value, DM_SLICE("true")) || dm_slice_eq(value, DM_SLICE("false")));
        break;
    case DM_JSON_ABSENT:
        DM_CHECK(value.len > 0); /* a valid text holds a value */
    }
}

/* Any well-formed text can be said as a string. */
static void check_as_text(struct dm_slice text)
{
    struct dm_buf written = DM_BUF_INIT;
    dm_json_encode(&written, text);
    DM_CHECK(dm_json_valid(dm_buf_slice(&written)));
    DM_CHECK(dm_json_string_is(dm_buf_slice(&written), text));
    dm_buf_dispose(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = dm_memdup(data, size);
    struct dm_slice text = dm_slice(copy, size);
    (void)dm_utf8_trim(text);
    if (dm_json_valid(text)) {
        DM_CHECK(dm_utf8_valid(text));
        check_value(dm_json_value(text), 0);
    }
    if (dm_utf8_valid(text))
        check_as_text(text);
    free(copy);
    return 0;
}
