/* The process's real clocks, and the ISO form of a time. */
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t dm_clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t dm_clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t dm_clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

static void put_digits(char *out, unsigned value, int digits)
{
    while (digits--) {
        out[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

void dm_clock_iso(uint64_t wall_ms, char out[DM_ISO_TIME_LEN])
{
    const uint64_t last = 253402300799999u; /* 9999-12-31T23:59:59.999Z */
    if (wall_ms > last)
        wall_ms = last;
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    memcpy(out, "0000-00-00T00:00:00.000Z", DM_ISO_TIME_LEN);
    put_digits(out, (unsigned)tm.tm_year + 1900, 4);
    put_digits(out + 5, (unsigned)tm.tm_mon + 1, 2);
    put_digits(out + 8, (unsigned)tm.tm_mday, 2);
    put_digits(out + 11, (unsigned)tm.tm_hour, 2);
    put_digits(out + 14, (unsigned)tm.tm_min, 2);
    put_digits(out + 17, (unsigned)tm.tm_sec, 2);
    put_digits(out + 20, (unsigned)(wall_ms % 1000), 3);
}
