/*
 * A borrowed run of bytes: not owned, not NUL-terminated. Whoever hands one
 * out says how long it stays good. An absent slice has at == NULL.
 */
#ifndef DM_BASE_SLICE_H
#define DM_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct dm_slice {
    const char *at;
    size_t len;
};

#define DM_SLICE(literal) ((struct dm_slice){"" literal, sizeof(literal) - 1})
#define DM_SLICE_INIT(literal)                                                                     \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    } /* of a constant */
#define DM_NO_SLICE ((struct dm_slice){NULL, 0})

static inline struct dm_slice dm_slice(const char *at, size_t len)
{
    return (struct dm_slice){at, len};
}

static inline struct dm_slice dm_slice_of(const char *text)
{
    return (struct dm_slice){text, text ? strlen(text) : 0};
}

static inline bool dm_slice_eq(struct dm_slice a, struct dm_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool dm_slice_starts(struct dm_slice text, struct dm_slice prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.at, prefix.at, prefix.len) == 0);
}

static inline struct dm_slice dm_slice_from(struct dm_slice text, size_t start)
{
    return (struct dm_slice){text.at + start, text.len - start};
}

/* ASCII-only, for HTTP header names and values; `lower` is in lower case. */
bool dm_slice_eq_nocase(struct dm_slice text, struct dm_slice lower);

/* Without leading and trailing HTTP blanks (space and tab). */
struct dm_slice dm_slice_trim(struct dm_slice text);

/* Splits `rest` at the first `separator`: returns what is before it and leaves
 * what is after. When there is none, returns all and makes `rest` absent. */
struct dm_slice dm_slice_split(struct dm_slice *rest, char separator);

#endif
