/*
 * The validator and the walk. Validation is one pass for UTF-8 and one for the
 * grammar, whose only memory of nesting is one bit a level: object or array.
 * Both strings and skipped containers are crossed a machine word at a time.
 */
#include "codec/json.h"

#include <endian.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/utf8.h"

#define EACH_BYTE(byte) (0x0101010101010101u * (byte))

/* Marks with 0x80 the bytes of `word` that are zero. Bytes above the first one
 * marked may be marked wrongly, so only the lowest mark counts. */
static inline uint64_t zero_bytes(uint64_t word)
{
    return (word - EACH_BYTE(0x01)) & ~word & EACH_BYTE(0x80);
}

static inline uint64_t string_marks(uint64_t word)
{
    uint64_t controls = (word - EACH_BYTE(0x20)) & ~word & EACH_BYTE(0x80);
    return controls | zero_bytes(word ^ EACH_BYTE('"')) | zero_bytes(word ^ EACH_BYTE('\\'));
}

/* The first byte from `at` on that a string cannot say plainly: a quote, a
 * backslash or a control. `end` when there is none. */
static inline const char *skip_plain(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t marks = string_marks(le64toh(word));
        if (marks)
            return at + __builtin_ctzll(marks) / 8;
        at += 8;
    }
    while (at < end && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20)
        at++;
    return at;
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline const char *skip_space(const char *at, const char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- validation ---- */

struct scan {
    const char *at, *end;
    uint64_t objects[DM_JSON_MAX_DEPTH / 64]; /* bit n: level n is an object */
    unsigned depth;
};

static inline bool next_is(const struct scan *scan, char c)
{
    return scan->at < scan->end && *scan->at == c;
}

static bool take_escape(struct scan *scan)
{
    const char *at = scan->at + 1;
    if (at == scan->end)
        return false;
    if (*at != 'u') {
        scan->at = at + 1;
        return *at != '\0' && strchr("\"\\/bfnrt", *at) != NULL;
    }
    if (scan->end - at < 5)
        return false;
    for (int i = 1; i <= 4; i++) {
        char c = (char)(at[i] | 0x20);
        if (!is_digit(at[i]) && !(c >= 'a' && c <= 'f'))
            return false;
    }
    scan->at = at + 5;
    return true;
}

static bool take_string(struct scan *scan)
{
    scan->at++;
    for (;;) {
        scan->at = skip_plain(scan->at, scan->end);
        if (scan->at == scan->end)
            return false;
        if (*scan->at == '"') {
            scan->at++;
            return true;
        }
        if (*scan->at != '\\' || !take_escape(scan))
            return false;
    }
}

static bool take_digits(struct scan *scan)
{
    const char *start = scan->at;
    while (scan->at < scan->end && is_digit(*scan->at))
        scan->at++;
    return scan->at > start;
}

static bool take_number(struct scan *scan)
{
    if (next_is(scan, '-'))
        scan->at++;
    if (next_is(scan, '0'))
        scan->at++;
    else if (!take_digits(scan))
        return false;
    if (next_is(scan, '.')) {
        scan->at++;
        if (!take_digits(scan))
            return false;
    }
    if (!next_is(scan, 'e') && !next_is(scan, 'E'))
        return true;
    scan->at++;
    if (next_is(scan, '+') || next_is(scan, '-'))
        scan->at++;
    return take_digits(scan);
}

static bool take_word(struct scan *scan, const char *word, size_t len)
{
    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0)
        return false;
    scan->at += len;
    return true;
}

static bool take_scalar(struct scan *scan)
{
    switch (*scan->at) {
    case '"':
        return take_string(scan);
    case 't':
        return take_word(scan, "true", 4);
    case 'f':
        return take_word(scan, "false", 5);
    case 'n':
        return take_word(scan, "null", 4);
    default:
        return take_number(scan);
    }
}

static bool take_key(struct scan *scan)
{
    scan->at = skip_space(scan->at, scan->end);
    if (!next_is(scan, '"') || !take_string(scan))
        return false;
    scan->at = skip_space(scan->at, scan->end);
    if (!next_is(scan, ':'))
        return false;
    scan->at++;
    return true;
}

static inline bool in_object(const struct scan *scan)
{
    unsigned level = scan->depth - 1;
    return scan->objects[level / 64] >> level % 64 & 1;
}

/* Takes an opening bracket, and a closing one right behind it: `*ended` then.
 * Else the scan stands before the first value inside. */
static bool enter(struct scan *scan, bool *ended)
{
    if (scan->depth == DM_JSON_MAX_DEPTH)
        return false;
    bool object = *scan->at == '{';
    scan->at = skip_space(scan->at + 1, scan->end);
    *ended = next_is(scan, object ? '}' : ']');
    if (*ended) {
        scan->at++;
        return true;
    }
    unsigned level = scan->depth++;
    uint64_t bit = (uint64_t)1 << level % 64;
    if (!object) {
        scan->objects[level / 64] &= ~bit;
        return true;
    }
    scan->objects[level / 64] |= bit;
    return take_key(scan);
}

/* Behind a value: closes the containers that end here, and takes the comma
 * (and the key) that leads to the next value, unless the outermost has ended. */
static bool leave(struct scan *scan)
{
    while (scan->depth) {
        scan->at = skip_space(scan->at, scan->end);
        if (scan->at == scan->end)
            return false;
        char c = *scan->at++;
        if (c == ',')
            return !in_object(scan) || take_key(scan);
        if (c != (in_object(scan) ? '}' : ']'))
            return false;
        scan->depth--;
    }
    return true;
}

bool dm_json_valid(struct dm_slice text)
{
    if (!text.len || !dm_utf8_valid(text))
        return false;
    struct scan scan = {.at = text.at, .end = text.at + text.len};
    do {
        scan.at = skip_space(scan.at, scan.end);
        if (scan.at == scan.end)
            return false;
        bool ended = true, container = *scan.at == '{' || *scan.at == '[';
        if (container ? !enter(&scan, &ended) : !take_scalar(&scan))
            return false;
        if (ended && !leave(&scan))
            return false;
    } while (scan.depth);
    return skip_space(scan.at, scan.end) == scan.end;
}

/* ---- walking what is valid ---- */

struct dm_slice dm_json_value(struct dm_slice text)
{
    while (text.len && is_space(text.at[0]))
        text = dm_slice_from(text, 1);
    while (text.len && is_space(text.at[text.len - 1]))
        text.len--;
    return text;
}

enum dm_json_kind dm_json_kind(struct dm_slice value)
{
    if (!value.len)
        return DM_JSON_ABSENT;
    switch (*value.at) {
    case '{':
        return DM_JSON_OBJECT;
    case '[':
        return DM_JSON_ARRAY;
    case '"':
        return DM_JSON_STRING;
    case 't':
    case 'f':
        return DM_JSON_BOOL;
    case 'n':
        return DM_JSON_NULL;
    default:
        return DM_JSON_NUMBER;
    }
}

/* Past the string at `at`. */
static const char *skip_string(const char *at, const char *end)
{
    at = skip_plain(at + 1, end);
    while (at < end && *at != '"') {
        at += end - at < 2 ? 1 : 2; /* a backslash and what it escapes */
        at = skip_plain(at, end);
    }
    return at < end ? at + 1 : end;
}

/* Past the container at `at`. Brackets match, so counting them is enough. */
static const char *skip_container(const char *at, const char *end)
{
    size_t depth = 0;
    while (at < end) {
        char c = *at;
        if (c == '"') {
            at = skip_string(at, end);
            continue;
        }
        at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            break;
    }
    return at;
}

static const char *skip_value(const char *at, const char *end)
{
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_container(at, end);
    while (at < end && *at != ',' && *at != ']' && *at != '}' && !is_space(*at))
        at++;
    return at;
}

struct dm_json_walk dm_json_walk(struct dm_slice container)
{
    enum dm_json_kind kind = dm_json_kind(container);
    if ((kind != DM_JSON_OBJECT && kind != DM_JSON_ARRAY) || container.len < 2)
        return (struct dm_json_walk){NULL, NULL, false};
    return (struct dm_json_walk){container.at + 1, container.at + container.len - 1,
                                 kind == DM_JSON_OBJECT};
}

bool dm_json_next(struct dm_json_walk *walk, struct dm_slice *key, struct dm_slice *value)
{
    const char *at = skip_space(walk->at, walk->end), *end = walk->end;
    if (at < end && *at == ',')
        at = skip_space(at + 1, end);
    if (at == end) {
        walk->at = end;
        return false;
    }
    *key = DM_NO_SLICE;
    if (walk->object) {
        const char *after = skip_string(at, end);
        *key = dm_slice(at, (size_t)(after - at));
        at = skip_space(after, end);
        at = skip_space(at + (at < end), end); /* the colon */
    }
    walk->at = at < end ? skip_value(at, end) : end;
    *value = dm_slice(at, (size_t)(walk->at - at));
    return true;
}

struct dm_slice dm_json_get(struct dm_slice object, struct dm_slice name)
{
    struct dm_slice found = DM_NO_SLICE, key, value;
    if (dm_json_kind(object) != DM_JSON_OBJECT)
        return found;
    struct dm_json_walk walk = dm_json_walk(object);
    while (dm_json_next(&walk, &key, &value))
        if (dm_json_string_is(key, name))
            found = value;
    return found;
}

double dm_json_number(struct dm_slice number)
{
    char few[64];
    if (number.len < sizeof few) { /* strtod wants a NUL */
        if (number.len)
            memcpy(few, number.at, number.len);
        few[number.len] = '\0';
        return strtod(few, NULL);
    }
    char *many = dm_strndup(number.at, number.len);
    double value = strtod(many, NULL);
    free(many);
    return value;
}
