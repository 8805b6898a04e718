/* Reads /proc/PID/smaps: a header line a mapping, then "Name:  value kB" lines. */
#include "lib/memory.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { STEADY_MS = 2000, SETTLE_MS = 10000, STEADY_BYTES = 65536 };

const char *dm_memory_part_name(enum dm_memory_part part)
{
    static const char *const names[DM_MEMORY_PARTS] = {"heap", "anonymous", "stack", "code",
                                                       "files"};
    return names[part];
}

/* Is the line a mapping's header? Its first word is an address range, in lower-case hex. */
static bool is_header(const char *line)
{
    return strspn(line, "0123456789abcdef") > 0 && line[strspn(line, "0123456789abcdef")] == '-';
}

/* "start-end perms offset dev inode   path" */
static enum dm_memory_part part_of(const char *header)
{
    uint64_t inode = 0;
    int at = 0;
    if (sscanf(header, "%*s %*s %*s %*s %" SCNu64 " %n", &inode, &at) < 1 || at == 0)
        return DM_MEMORY_ANONYMOUS;
    const char *path = header + at;
    if (strncmp(path, "[heap]", 6) == 0)
        return DM_MEMORY_HEAP;
    if (strncmp(path, "[stack]", 7) == 0)
        return DM_MEMORY_STACK;
    if (path[0] != '/')
        return DM_MEMORY_ANONYMOUS;
    return strstr(path, "-shm") || strstr(path, "-wal") ? DM_MEMORY_FILES : DM_MEMORY_CODE;
}

int dm_memory_read(pid_t pid, struct dm_memory *memory)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    *memory = (struct dm_memory){0};
    FILE *maps = fopen(path, "re");
    if (!maps)
        return -1;
    enum dm_memory_part part = DM_MEMORY_ANONYMOUS;
    while (fgets(line, sizeof line, maps)) {
        uint64_t kib;
        if (is_header(line)) {
            part = part_of(line);
        } else if (sscanf(line, "Rss: %" SCNu64, &kib) == 1) {
            memory->rss += kib * 1024;
            memory->parts[part] += kib * 1024;
        } else if (sscanf(line, "Pss: %" SCNu64, &kib) == 1) {
            memory->pss += kib * 1024;
        } else if (sscanf(line, "Anonymous: %" SCNu64, &kib) == 1) {
            memory->anonymous += kib * 1024;
        }
    }
    fclose(maps);
    return memory->rss ? 0 : -1;
}

int dm_memory_settle(pid_t pid, struct dm_memory *memory)
{
    uint64_t now = dm_clock_mono_ms(), steady_since = now, deadline = now + SETTLE_MS;
    uint64_t steady_at = 0;
    for (; now < deadline && now < steady_since + STEADY_MS; now = dm_clock_mono_ms()) {
        if (dm_memory_read(pid, memory) != 0)
            return -1;
        uint64_t moved =
            memory->rss > steady_at ? memory->rss - steady_at : steady_at - memory->rss;
        if (moved > STEADY_BYTES) {
            steady_at = memory->rss;
            steady_since = now;
        }
        usleep(100000);
    }
    return 0;
}
