/* malloc that aborts instead of failing. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void *dm_alloc(size_t size)
{
    void *at = malloc(size ? size : 1);
    DM_CHECK(at != NULL);
    return at;
}

void *dm_calloc(size_t n, size_t size)
{
    void *at = calloc(n ? n : 1, size ? size : 1);
    DM_CHECK(at != NULL);
    return at;
}

void *dm_realloc(void *old, size_t size)
{
    void *at = realloc(old, size ? size : 1);
    DM_CHECK(at != NULL);
    return at;
}

void *dm_memdup(const void *bytes, size_t size)
{
    void *at = dm_alloc(size);
    if (size)
        memcpy(at, bytes, size);
    return at;
}

char *dm_strndup(const char *text, size_t len)
{
    char *at = dm_alloc(len + 1);
    if (len)
        memcpy(at, text, len);
    at[len] = '\0';
    return at;
}
