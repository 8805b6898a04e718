/*
 * What of a database and its log would be there after a power cut: the bytes
 * that were synced, and of those that were not some, if chance has it, whole,
 * torn at a sector's edge, or not at all. Under fault_vfs, which tells it of
 * each write; its lock is that one's.
 */
#ifndef DM_TESTS_LIB_SHADOW_H
#define DM_TESTS_LIB_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum shadow_which { SHADOW_BASE, SHADOW_LOG, SHADOW_FILES };

struct shadow_change {
    uint64_t at, len; /* a write; or a truncation to `at` */
    char *bytes;      /* NULL: a truncation */
};

struct shadow_file {
    char path[160];
    struct dm_buf synced;
    struct shadow_change *changes; /* since then, in order */
    size_t count, room;
    bool deleted;
};

struct shadow {
    struct shadow_file files[SHADOW_FILES];
    uint64_t random;
    unsigned survive; /* in a hundred: of what is unsynced, how much a cut leaves or tears */
};

/* What the files hold now counts as synced. */
void shadow_begin(struct shadow *shadow, const char *base, uint64_t seed, unsigned survive);
void shadow_end(struct shadow *shadow);

void shadow_write(struct shadow *shadow, enum shadow_which which, const void *bytes, uint64_t len,
                  uint64_t at);
void shadow_truncate(struct shadow *shadow, enum shadow_which which, uint64_t size);
void shadow_delete(struct shadow *shadow, enum shadow_which which);
void shadow_sync(struct shadow *shadow, enum shadow_which which);
/* The kernel calls the pages clean, whether they have reached the disk or not: no later sync
 * writes them again. */
void shadow_sync_failed(struct shadow *shadow, enum shadow_which which);

/* Now. What happens later is no more than a dream. */
void shadow_cut(struct shadow *shadow);
/* Makes the files what the cut has left, and the shared memory nothing. */
void shadow_restore(const struct shadow *shadow);

#endif
