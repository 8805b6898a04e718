/*
 * Filters choose which envelopes a session takes (seed: HopeFlow Realtime). A
 * filter is a JSON object of strings with a `type`; it matches an envelope
 * whose type is that type (trimmed) and whose payload is an object that has
 * every other key with exactly that string. A payload number never equals a
 * filter's string. Keys and values are compared after unescaping.
 *
 * A set holds one session's filters, each once, in a compact block of its own.
 * One thread.
 */
#ifndef DM_MODEL_FILTER_H
#define DM_MODEL_FILTER_H

#include "base/buf.h"
#include "model/envelope.h"
#include "model/fields.h"

struct dm_filter_set {
    struct dm_buf packed; /* the filters end to end; private to filter.c */
    uint32_t count;
    bool full; /* the last adding stopped at a limit */
};

/* An envelope's fields, unpacked at most once for all the sets it is held against. */
struct dm_filter_probe {
    const struct dm_envelope *envelope;
    struct dm_fields fields; /* the payload's members; private to filter.c */
    bool unpacked;
};

void dm_filter_set_dispose(struct dm_filter_set *set);
void dm_filter_set_copy(struct dm_filter_set *to,
                        const struct dm_filter_set *from); /* `to` empty */

/*
 * Adds the filters of a JSON array (or of one object) to the set, or takes them out. Only
 * the first DM_FILTERS_A_FRAME elements count; an element that is no filter is passed over.
 * Adding stops at `max_filters` and at DM_FILTER_BYTES_MAX. Both say whether the set changed.
 */
bool dm_filter_set_add(struct dm_filter_set *set, struct dm_slice filters, uint32_t max_filters);
bool dm_filter_set_remove(struct dm_filter_set *set, struct dm_slice filters);

/* The set as a JSON array of objects, keys sorted: what the store keeps and
 * dm_filter_set_load reads back (with no limit a frame). False: not such text. */
void dm_filter_set_save(const struct dm_filter_set *set, struct dm_buf *out);
bool dm_filter_set_load(struct dm_filter_set *set, struct dm_slice saved) DM_MUST_CHECK;

void dm_filter_probe_init(struct dm_filter_probe *probe, const struct dm_envelope *envelope);
void dm_filter_probe_dispose(struct dm_filter_probe *probe);
bool dm_filter_set_matches(const struct dm_filter_set *set, struct dm_filter_probe *probe);

#endif
