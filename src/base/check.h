/*
 * Checks that stay on in release builds, and the attributes that make the
 * compiler hold callers to a header's word.
 */
#ifndef DM_BASE_CHECK_H
#define DM_BASE_CHECK_H

#include <stddef.h>

#define DM_MUST_CHECK __attribute__((warn_unused_result))
#define DM_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* A broken invariant of our own: say where, and abort. Never used on input. */
#define DM_CHECK(condition)                                                                        \
    ((condition) ? (void)0 : dm_check_failed(#condition, __FILE__, __LINE__))

/* The struct that holds `member`, from a pointer to that member. */
#define DM_CONTAINER(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define DM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

__attribute__((noreturn)) void dm_check_failed(const char *condition, const char *file, int line);

#endif
