/* The dialects, by id and by name, and what they share. */
#include "dialect/dialect.h"

#include "base/clock.h"
#include "codec/json.h"

static const struct dm_dialect *const dialects[DM_DIALECT_COUNT] = {
    [DM_DIALECT_HOPEFLOW] = &dm_dialect_hopeflow,
    [DM_DIALECT_NATIVE] = &dm_dialect_native,
    [DM_DIALECT_NOTIFIER] = &dm_dialect_notifier,
    [DM_DIALECT_BROADCAST] = &dm_dialect_broadcast,
};

const struct dm_dialect *dm_dialect_of(enum dm_dialect_id id)
{
    DM_CHECK((unsigned)id < DM_DIALECT_COUNT);
    return dialects[id];
}

enum dm_dialect_id dm_dialect_named(struct dm_slice name)
{
    unsigned id = 0;
    while (id < DM_DIALECT_COUNT && !dm_slice_eq(dm_slice_of(dialects[id]->name), name))
        id++;
    return (enum dm_dialect_id)id;
}

struct dm_slice dm_dialect_object(struct dm_slice message, bool binary)
{
    if (binary || !dm_json_valid(message))
        return DM_NO_SLICE;
    struct dm_slice value = dm_json_value(message);
    return dm_json_kind(value) == DM_JSON_OBJECT ? value : DM_NO_SLICE;
}

bool dm_dialect_says(struct dm_slice object, struct dm_slice name, struct dm_slice text)
{
    struct dm_slice value = dm_json_get(object, name);
    return dm_json_kind(value) == DM_JSON_STRING && dm_json_string_is(value, text);
}

void dm_dialect_begin_envelope(const struct dm_envelope *envelope, struct dm_slice user_id,
                               struct dm_buf *out)
{
    char time[DM_ISO_TIME_LEN];
    dm_clock_iso(envelope->ts, time);
    dm_buf_lit(out, "{\"envelopeId\":");
    dm_json_add_uuid(out, &envelope->id);
    dm_buf_lit(out, ",\"type\":");
    dm_json_encode(out, envelope->type);
    dm_buf_lit(out, ",\"userId\":");
    dm_json_encode(out, user_id);
    dm_buf_lit(out, ",\"timestamp\":\"");
    dm_buf_add(out, time, sizeof time);
    dm_buf_add_byte(out, '"');
}

void dm_dialect_end_envelope(const struct dm_envelope *envelope, bool again, struct dm_buf *out)
{
    if (again)
        dm_buf_lit(out, ",\"redelivered\":true");
    if (envelope->payload.at) {
        dm_buf_lit(out, ",\"payload\":");
        dm_buf_add_slice(out, envelope->payload);
    }
    dm_buf_add_byte(out, '}');
}
