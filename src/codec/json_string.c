/*
 * What JSON strings say: unescaping and escaping. Runs without a backslash are
 * copied or compared whole; WTF-8 keeps lone surrogates apart (see json.h).
 */
#include "codec/json.h"

/* The text between a string's quotes. */
static struct dm_slice inside(struct dm_slice string)
{
    return string.len < 2 ? DM_NO_SLICE : dm_slice(string.at + 1, string.len - 2);
}

static uint32_t hex4(const char *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        value = value << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static char plain_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c; /* a quote, a backslash or a slash stands for itself */
    }
}

static size_t put_point(uint32_t point, char out[4])
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((0xf00u >> len) | point);
    return len;
}

static bool has_unicode_escape(struct dm_slice text)
{
    return text.len >= 6 && text.at[0] == '\\' && text.at[1] == 'u';
}

/* Takes the escape that `rest` begins with and says its bytes: at most four. */
static size_t take_escape(struct dm_slice *rest, char out[4])
{
    if (!has_unicode_escape(*rest)) {
        out[0] = rest->len > 1 ? plain_escape(rest->at[1]) : '\\';
        *rest = dm_slice_from(*rest, rest->len > 1 ? 2 : 1);
        return 1;
    }
    uint32_t point = hex4(rest->at + 2);
    *rest = dm_slice_from(*rest, 6);
    if (point >= 0xd800 && point < 0xdc00 && has_unicode_escape(*rest)) {
        uint32_t low = hex4(rest->at + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
            *rest = dm_slice_from(*rest, 6);
        }
    }
    return put_point(point, out);
}

/* Takes what comes before the next backslash. */
static struct dm_slice take_run(struct dm_slice *rest)
{
    const char *escape = rest->len ? memchr(rest->at, '\\', rest->len) : NULL;
    struct dm_slice run = *rest;
    if (escape)
        run.len = (size_t)(escape - rest->at);
    *rest = run.len ? dm_slice_from(*rest, run.len) : *rest;
    return run;
}

static bool take_prefix(struct dm_slice *text, const char *bytes, size_t len)
{
    if (text->len < len || (len && memcmp(text->at, bytes, len) != 0))
        return false;
    *text = len ? dm_slice_from(*text, len) : *text;
    return true;
}

bool dm_json_string_is(struct dm_slice string, struct dm_slice text)
{
    struct dm_slice rest = inside(string);
    if (dm_json_kind(string) != DM_JSON_STRING || text.len > rest.len)
        return false;         /* unescaping never lengthens */
    if (text.len == rest.len) /* so it has no escapes, or differs */
        return dm_slice_eq(text, rest) && (!rest.len || !memchr(rest.at, '\\', rest.len));
    while (rest.len) {
        char bytes[4];
        struct dm_slice run = take_run(&rest);
        if (!take_prefix(&text, run.at, run.len))
            return false;
        if (rest.len && !take_prefix(&text, bytes, take_escape(&rest, bytes)))
            return false;
    }
    return text.len == 0;
}

void dm_json_decode(struct dm_buf *out, struct dm_slice string)
{
    struct dm_slice rest = inside(string);
    dm_buf_reserve(out, rest.len);
    while (rest.len) {
        char bytes[4];
        dm_buf_add_slice(out, take_run(&rest));
        if (rest.len)
            dm_buf_add(out, bytes, take_escape(&rest, bytes));
    }
}

static bool is_surrogate(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at;
    return end - at >= 3 && byte[0] == 0xed && byte[1] >= 0xa0;
}

static bool is_plain(const char *at, const char *end)
{
    unsigned char c = (unsigned char)*at;
    return c >= 0x20 && c != '"' && c != '\\' && (c != 0xed || !is_surrogate(at, end));
}

static void put_unit(struct dm_buf *out, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\',          'u', hex[unit >> 12], hex[unit >> 8 & 15], hex[unit >> 4 & 15],
                    hex[unit & 15]};
    dm_buf_add(out, text, sizeof text);
}

/* Writes what is not plain at `at`; returns how many bytes of text that was. */
static size_t put_escape(struct dm_buf *out, const char *at)
{
    static const char named[] = "\bb\ff\nn\rr\tt\"\"\\\\";
    const unsigned char *byte = (const unsigned char *)at;
    if (byte[0] == 0xed) {
        put_unit(out, 0xd000u | (byte[1] & 0x3fu) << 6 | (byte[2] & 0x3fu));
        return 3;
    }
    for (size_t i = 0; i + 1 < sizeof named; i += 2) {
        if (named[i] == *at) {
            char text[2] = {'\\', named[i + 1]};
            dm_buf_add(out, text, sizeof text);
            return 1;
        }
    }
    put_unit(out, byte[0]);
    return 1;
}

void dm_json_encode(struct dm_buf *out, struct dm_slice text)
{
    dm_buf_reserve(out, text.len + 2);
    dm_buf_add_byte(out, '"');
    const char *at = text.at, *end = text.len ? at + text.len : at;
    while (at < end) {
        const char *run = at;
        while (at < end && is_plain(at, end))
            at++;
        dm_buf_add(out, run, (size_t)(at - run));
        if (at < end)
            at += put_escape(out, at);
    }
    dm_buf_add_byte(out, '"');
}

void dm_json_add_uuid(struct dm_buf *out, const struct dm_uuid *id)
{
    char text[DM_UUID_TEXT_LEN];
    dm_uuid_format(id, text);
    dm_buf_add_byte(out, '"');
    dm_buf_add(out, text, sizeof text);
    dm_buf_add_byte(out, '"');
}
