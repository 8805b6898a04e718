/*
 * Heap memory that is there or the process is not: running out aborts, so no
 * caller checks. Any thread.
 */
#ifndef DM_BASE_ALLOC_H
#define DM_BASE_ALLOC_H

#include <stddef.h>

void *dm_alloc(size_t size);            /* uninitialised; freed with free() */
void *dm_calloc(size_t n, size_t size); /* zeroed */
void *dm_realloc(void *old, size_t size);
void *dm_memdup(const void *bytes, size_t size);
char *dm_strndup(const char *text, size_t len); /* NUL-terminated copy */

#define DM_NEW(type) ((type *)dm_calloc(1, sizeof(type)))

#endif
