/* Keeps the synced bytes of each file, and the changes since. */
#include "lib/shadow.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

enum { SECTOR = 512 };

/* splitmix64: a test's seed is its own */
static uint64_t next_random(struct shadow *shadow)
{
    uint64_t z = shadow->random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static bool chance(struct shadow *shadow, unsigned percent)
{
    return next_random(shadow) % 100 < percent;
}

static void read_file(const char *path, struct dm_buf *out)
{
    FILE *file = fopen(path, "r");
    dm_buf_clear(out);
    if (!file)
        return;
    for (size_t n; (n = fread(dm_buf_reserve(out, 65536), 1, 65536, file)) > 0;)
        out->len += n;
    fclose(file);
}

static void drop_changes(struct shadow_file *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->changes[i].bytes);
    file->count = 0;
}

void shadow_begin(struct shadow *shadow, const char *base, uint64_t seed, unsigned survive)
{
    static const char *const endings[] = {"", "-wal"};
    shadow->random = seed;
    shadow->survive = survive;
    for (int i = 0; i < SHADOW_FILES; i++) {
        struct shadow_file *file = &shadow->files[i];
        snprintf(file->path, sizeof file->path, "%s%s", base, endings[i]);
        drop_changes(file);
        read_file(file->path, &file->synced);
        file->deleted = access(file->path, F_OK) != 0;
    }
}

void shadow_end(struct shadow *shadow)
{
    for (int i = 0; i < SHADOW_FILES; i++) {
        drop_changes(&shadow->files[i]);
        free(shadow->files[i].changes);
        dm_buf_dispose(&shadow->files[i].synced);
    }
    *shadow = (struct shadow){0};
}

static void add(struct shadow_file *file, struct shadow_change change)
{
    if (file->count == file->room) {
        file->room = file->room ? 2 * file->room : 64;
        file->changes = dm_realloc(file->changes, file->room * sizeof *file->changes);
    }
    file->changes[file->count++] = change;
    file->deleted = false;
}

void shadow_write(struct shadow *shadow, enum shadow_which which, const void *bytes, uint64_t len,
                  uint64_t at)
{
    add(&shadow->files[which], (struct shadow_change){at, len, dm_memdup(bytes, len)});
}

void shadow_truncate(struct shadow *shadow, enum shadow_which which, uint64_t size)
{
    add(&shadow->files[which], (struct shadow_change){.at = size});
}

static void resize(struct dm_buf *image, uint64_t size)
{
    if (size > image->len)
        memset(dm_buf_reserve(image, size - image->len), 0, size - image->len);
    image->len = size;
}

static void apply(struct dm_buf *image, const struct shadow_change *change, uint64_t len)
{
    if (!change->bytes) {
        resize(image, change->at);
        return;
    }
    if (image->len < change->at + len)
        resize(image, change->at + len);
    memcpy(image->bytes + change->at, change->bytes, len);
}

/* One that is unsynced: all of it, its first sectors, or nothing. */
static void apply_by_chance(struct shadow *shadow, struct dm_buf *image,
                            const struct shadow_change *change)
{
    if (!chance(shadow, shadow->survive))
        return;
    uint64_t len = change->len;
    if (len && chance(shadow, 50)) {
        uint64_t end = change->at + next_random(shadow) % len;
        end -= end % SECTOR;
        len = end > change->at ? end - change->at : 0;
    }
    if (len || !change->bytes)
        apply(image, change, len);
}

void shadow_sync(struct shadow *shadow, enum shadow_which which)
{
    struct shadow_file *file = &shadow->files[which];
    for (size_t i = 0; i < file->count; i++)
        apply(&file->synced, &file->changes[i], file->changes[i].len);
    drop_changes(file);
}

void shadow_sync_failed(struct shadow *shadow, enum shadow_which which)
{
    struct shadow_file *file = &shadow->files[which];
    for (size_t i = 0; i < file->count; i++)
        apply_by_chance(shadow, &file->synced, &file->changes[i]);
    drop_changes(file);
}

void shadow_delete(struct shadow *shadow, enum shadow_which which)
{
    drop_changes(&shadow->files[which]);
    shadow->files[which].synced.len = 0;
    shadow->files[which].deleted = true;
}

void shadow_cut(struct shadow *shadow)
{
    for (int i = 0; i < SHADOW_FILES; i++)
        shadow_sync_failed(shadow, (enum shadow_which)i);
}

static void write_file(const struct shadow_file *file)
{
    unlink(file->path);
    if (file->deleted)
        return;
    FILE *out = fopen(file->path, "w");
    DM_CHECK(out);
    DM_CHECK(!file->synced.len || fwrite(file->synced.bytes, file->synced.len, 1, out) == 1);
    DM_CHECK(fclose(out) == 0);
}

void shadow_restore(const struct shadow *shadow)
{
    char shared[176];
    for (int i = 0; i < SHADOW_FILES; i++)
        write_file(&shadow->files[i]);
    snprintf(shared, sizeof shared, "%s-shm", shadow->files[SHADOW_BASE].path);
    unlink(shared);
}
