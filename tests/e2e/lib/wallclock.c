/*
 * A preload under which a process's wall clock is off by what a file says, in milliseconds (eight
 * bytes, the machine's order), from one call to the next. The monotonic clock is left alone: that
 * is what a step of the wall clock is. Says nothing where it is not asked for.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *off_ms;

__attribute__((constructor)) static void map(void)
{
    const char *path = getenv("DM_WALL_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *off_ms, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED)
        off_ms = at;
}

/* The kernel is asked itself: a sanitizer may call before anything could be looked up. */
int clock_gettime(clockid_t id, struct timespec *out)
{
    if (syscall(SYS_clock_gettime, id, out) != 0)
        return -1;
    if (!off_ms || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return 0;
    int64_t ms = atomic_load(off_ms) + out->tv_nsec / 1000000;
    int64_t rest = ms % 1000 < 0 ? ms % 1000 + 1000 : ms % 1000;
    out->tv_sec += (ms - rest) / 1000;
    out->tv_nsec = rest * 1000000 + out->tv_nsec % 1000000;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
