/* Numbers with units, as the configuration has them: durations and sizes. */
#include "base/check.h"
#include "cmd/config_key.h"

struct unit {
    struct dm_slice name;
    uint64_t factor;
};

#define UNIT(text, factor)                                                                         \
    {                                                                                              \
        {text, sizeof(text) - 1}, factor                                                           \
    }

/* The largest first; no unit at all is last. */
static const struct unit durations[] = {UNIT("h", 3600000), UNIT("m", 60000), UNIT("s", 1000),
                                        UNIT("ms", 1)};
static const struct unit sizes[] = {UNIT("GiB", 1 << 30), UNIT("MiB", 1 << 20),
                                    UNIT("KiB", 1 << 10), UNIT("", 1)};

/* Takes the digits off the front; false when there are none or too many. */
static bool take_number(struct dm_slice *text, uint64_t *number)
{
    size_t digits = 0;
    *number = 0;
    while (digits < text->len && text->at[digits] >= '0' && text->at[digits] <= '9') {
        if (digits == 18)
            return false;
        *number = *number * 10 + (uint64_t)(text->at[digits++] - '0');
    }
    *text = dm_slice_from(*text, digits);
    return digits > 0;
}

static bool read_units(struct dm_slice text, const struct unit *units, size_t count,
                       uint64_t *value)
{
    uint64_t number;
    if (!take_number(&text, &number))
        return false;
    for (size_t i = 0; i < count; i++)
        if (dm_slice_eq(text, units[i].name))
            return !__builtin_mul_overflow(number, units[i].factor, value);
    *value = 0;
    return number == 0 && text.len == 0;
}

static void write_units(uint64_t value, const struct unit *units, size_t count, struct dm_buf *out)
{
    size_t i = 0;
    while (value && i < count - 1 && value % units[i].factor)
        i++;
    dm_buf_add_number(out, value ? value / units[i].factor : 0);
    if (value)
        dm_buf_add_slice(out, units[i].name);
}

bool dm_duration_read(struct dm_slice text, uint64_t *ms)
{
    return read_units(text, durations, DM_COUNT(durations), ms);
}

bool dm_size_read(struct dm_slice text, uint64_t *bytes)
{
    return read_units(text, sizes, DM_COUNT(sizes), bytes);
}

bool dm_count_read(struct dm_slice text, uint64_t *count)
{
    return take_number(&text, count) && !text.len;
}

void dm_duration_write(uint64_t ms, struct dm_buf *out)
{
    write_units(ms, durations, DM_COUNT(durations), out);
}

void dm_size_write(uint64_t bytes, struct dm_buf *out)
{
    write_units(bytes, sizes, DM_COUNT(sizes), out);
}
