/*
 * Time. Monotonic milliseconds for timers, wall-clock milliseconds (Unix) for
 * what others see and for expiries. Any thread.
 */
#ifndef DM_BASE_CLOCK_H
#define DM_BASE_CLOCK_H

#include <stdint.h>

uint64_t dm_clock_mono_ms(void);
uint64_t dm_clock_mono_us(void);
uint64_t dm_clock_wall_ms(void);

static inline uint64_t dm_clock_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

enum { DM_ISO_TIME_LEN = 24 };

/* "2026-01-31T23:59:59.123Z" as ECMAScript's toISOString writes it; no NUL.
 * Good for years 0000 to 9999; later times are held at the last millisecond. */
void dm_clock_iso(uint64_t wall_ms, char out[DM_ISO_TIME_LEN]);

#endif
