/* Asking /metrics until it says so. */
#include "lib/asleep.h"

#include <unistd.h>

#include "base/clock.h"
#include "lib/scrape.h"

enum { ASLEEP_MS = 15000 };

int dm_load_wait_asleep(struct dm_load *load, uint32_t count)
{
    uint64_t deadline = dm_clock_mono_ms() + ASLEEP_MS;
    double asleep = 0, frames = 0;
    while (dm_clock_mono_ms() < deadline) {
        frames = dm_scrape(load->target, "dormouse_frames_received_total", "");
        asleep = dm_scrape(load->target, "dormouse_objects", "state=\"asleep\"");
        if (asleep >= count && frames >= count)
            return 0;
        if (dm_load_turn(load, 0) != 0)
            return -1;
        usleep(50000);
    }
    dm_load_fail(load, "%.0f of %u users asleep in time, %.0f frames handled", asleep, count,
                 frames);
    return -1;
}

int dm_load_wait_channels_asleep(struct dm_load *load)
{
    uint64_t deadline = dm_clock_mono_ms() + ASLEEP_MS;
    double awake = 0;
    while (dm_clock_mono_ms() < deadline) {
        awake = dm_scrape(load->target, "dormouse_channels_awake", "");
        if (awake == 0)
            return 0;
        if (dm_load_turn(load, 0) != 0)
            return -1;
        usleep(50000);
    }
    dm_load_fail(load, "%.0f channels are still awake", awake);
    return -1;
}
