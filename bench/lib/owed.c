/* Counting what is redelivered. */
#include "lib/owed.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/load.h"

enum { OWED_MS = 30000 };

void dm_owed_init(struct dm_owed *owed, const struct dm_rows *rows)
{
    *owed = (struct dm_owed){.rows = rows};
    owed->least = dm_calloc(rows->named, sizeof *owed->least);
}

void dm_owed_dispose(struct dm_owed *owed)
{
    free(owed->least);
    owed->least = NULL;
}

static bool holds(struct dm_slice text, struct dm_slice what)
{
    return memmem(text.at, text.len, what.at, what.len) != NULL;
}

/* The number in a payload of dm_rows_attachment. */
static uint32_t number_in(struct dm_slice text)
{
    static const char key[] = "\"number\":\"";
    const char *at = memmem(text.at, text.len, key, sizeof key - 1);
    uint32_t number = 0;
    if (!at)
        return UINT32_MAX;
    for (at += sizeof key - 1; at < text.at + text.len && *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint32_t)(*at - '0');
    return number;
}

bool dm_owed_take(struct dm_load *load, const struct dm_session *session, struct dm_slice text)
{
    struct dm_owed *owed = load->owed;
    if (!dm_slice_starts(text, DM_SLICE("{\"envelopeId\":")) ||
        !holds(text, DM_SLICE("\"redelivered\":true")))
        return false;
    uint32_t number = number_in(text);
    if (number >= owed->rows->owed || dm_rows_debtor(owed->rows, number) != session->user) {
        dm_load_fail(load, "a session was redelivered what it is not owed: %.*s", (int)text.len,
                     text.at);
    } else if (!session->welcomed) {
        dm_load_fail(load, "what is owed came before the welcome");
    } else if (number < owed->least[session->user]) {
        dm_load_fail(load, "envelope %" PRIu32 " came twice, or out of order", number);
    } else {
        owed->least[session->user] = number + 1;
        owed->came++;
        owed->last_us = dm_clock_mono_us();
    }
    return true;
}

int dm_owed_wait(struct dm_load *load)
{
    const struct dm_owed *owed = load->owed;
    uint64_t deadline = dm_clock_mono_ms() + OWED_MS;
    while (owed->came < owed->rows->owed) {
        if (dm_load_turn(load, 100) != 0)
            return -1;
        if (dm_clock_mono_ms() > deadline) {
            dm_load_fail(load, "in time came only %u of %u envelopes that are owed", owed->came,
                         owed->rows->owed);
            return -1;
        }
    }
    return 0;
}
