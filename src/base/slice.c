/* The few operations on slices that are worth a call. */
#include "base/slice.h"

bool dm_slice_eq_nocase(struct dm_slice text, struct dm_slice lower)
{
    if (text.len != lower.len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        if (c != lower.at[i])
            return false;
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct dm_slice dm_slice_trim(struct dm_slice text)
{
    while (text.len && is_blank(text.at[0])) {
        text.at++;
        text.len--;
    }
    while (text.len && is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

struct dm_slice dm_slice_split(struct dm_slice *rest, char separator)
{
    struct dm_slice before = *rest;
    const char *cut = rest->len ? memchr(rest->at, separator, rest->len) : NULL;
    if (!cut) {
        *rest = DM_NO_SLICE;
        return before;
    }
    before.len = (size_t)(cut - before.at);
    *rest = dm_slice_from(*rest, before.len + 1);
    return before;
}
