/*
 * Filter sets. Each filter is packed in one canonical form, so that equal
 * filters are equal bytes:
 *
 *   size u16 (of it all) | type_len u16 | type | { key_len u16 | value_len u16 | key | value } …
 *
 * with the keys in order of their bytes and without "type". A payload is
 * unpacked, once a probe, into its members sorted by key, so that however many
 * members and filters there are, looking a key up is a binary search.
 */
#include "model/filter.h"

#include "codec/json.h"
#include "codec/utf8.h"
#include "model/limits.h"

enum { NUMBER = sizeof(uint16_t) };

static struct dm_slice type_key(void)
{
    return DM_SLICE("type");
}

/* ---- the packed form ---- */

static uint16_t get_number(const char *at)
{
    uint16_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static void set_number(char *at, size_t number)
{
    DM_CHECK(number <= UINT16_MAX);
    uint16_t narrow = (uint16_t)number;
    memcpy(at, &narrow, sizeof narrow);
}

/* One packed filter being read; `rest` is what of it is still ahead. */
struct packed {
    struct dm_slice whole, type, rest;
};

static struct packed packed_at(const char *at)
{
    struct packed filter = {.whole = dm_slice(at, get_number(at))};
    filter.type = dm_slice(at + 2 * NUMBER, get_number(at + NUMBER));
    filter.rest = dm_slice_from(filter.whole, 2 * NUMBER + filter.type.len);
    return filter;
}

static bool next_field(struct packed *filter, struct dm_slice *key, struct dm_slice *value)
{
    if (!filter->rest.len)
        return false;
    const char *at = filter->rest.at;
    *key = dm_slice(at + 2 * NUMBER, get_number(at));
    *value = dm_slice(key->at + key->len, get_number(at + NUMBER));
    filter->rest = dm_slice_from(filter->rest, 2 * NUMBER + key->len + value->len);
    return true;
}

static const char *set_end(const struct dm_filter_set *set)
{
    return set->packed.len ? set->packed.bytes + set->packed.len : set->packed.bytes;
}

/* ---- from JSON to the packed form ---- */

/* What packing needs besides its output, kept over the filters of one message. */
struct packer {
    struct dm_fields fields;
    struct dm_buf value;
    struct dm_buf packed;
};

static void packer_dispose(struct packer *packer)
{
    dm_fields_dispose(&packer->fields);
    dm_buf_dispose(&packer->value);
    dm_buf_dispose(&packer->packed);
}

static bool has_room(const struct packer *packer, size_t more)
{
    return packer->packed.len + more <= UINT16_MAX;
}

/* Begins with the type: false when that is missing, empty or no string. */
static bool pack_type(struct packer *packer)
{
    struct dm_slice value = dm_fields_get(&packer->fields, type_key());
    if (dm_json_kind(value) != DM_JSON_STRING)
        return false;
    dm_buf_clear(&packer->value);
    dm_json_decode(&packer->value, value);
    struct dm_slice type = dm_utf8_trim(dm_buf_slice(&packer->value));
    if (!type.len || !has_room(packer, 2 * NUMBER + type.len))
        return false;
    char *at = dm_buf_reserve(&packer->packed, 2 * NUMBER);
    set_number(at + NUMBER, type.len);
    packer->packed.len += 2 * NUMBER;
    dm_buf_add_slice(&packer->packed, type);
    return true;
}

static bool pack_field(struct packer *packer, struct dm_slice key, struct dm_slice value)
{
    if (dm_json_kind(value) != DM_JSON_STRING)
        return false;
    dm_buf_clear(&packer->value);
    dm_json_decode(&packer->value, value);
    if (!has_room(packer, 2 * NUMBER + key.len + packer->value.len))
        return false;
    char *at = dm_buf_reserve(&packer->packed, 2 * NUMBER);
    set_number(at, key.len);
    set_number(at + NUMBER, packer->value.len);
    packer->packed.len += 2 * NUMBER;
    dm_buf_add_slice(&packer->packed, key);
    dm_buf_add_slice(&packer->packed, dm_buf_slice(&packer->value));
    return true;
}

/* Packs one element. False: it is no filter, or larger than any set may be. */
static bool pack(struct packer *packer, struct dm_slice element)
{
    dm_buf_clear(&packer->packed);
    if (dm_json_kind(element) != DM_JSON_OBJECT)
        return false;
    dm_fields_read(&packer->fields, element);
    if (!pack_type(packer))
        return false;
    for (size_t i = 0; i < dm_fields_count(&packer->fields); i++) {
        struct dm_slice key = dm_fields_key(&packer->fields, i);
        if (!dm_slice_eq(key, type_key()) &&
            !pack_field(packer, key, dm_fields_value(&packer->fields, i)))
            return false;
    }
    set_number(packer->packed.bytes, packer->packed.len);
    return true;
}

/* ---- the set ---- */

void dm_filter_set_dispose(struct dm_filter_set *set)
{
    dm_buf_dispose(&set->packed);
    set->count = 0;
}

void dm_filter_set_copy(struct dm_filter_set *to, const struct dm_filter_set *from)
{
    dm_buf_add_slice(&to->packed, dm_buf_slice(&from->packed));
    to->count = from->count;
    to->full = from->full;
}

/* Where in the set the very filter is; NULL: it is not. */
static const char *find(const struct dm_filter_set *set, struct dm_slice packed)
{
    for (const char *at = set->packed.bytes; at < set_end(set); at += get_number(at))
        if (get_number(at) == packed.len && memcmp(at, packed.at, packed.len) == 0)
            return at;
    return NULL;
}

enum change { UNCHANGED, CHANGED, FULL };

static enum change add_one(struct dm_filter_set *set, struct dm_slice packed, uint32_t max_filters)
{
    if (find(set, packed))
        return UNCHANGED;
    if (set->count >= max_filters || set->packed.len + packed.len > DM_FILTER_BYTES_MAX)
        return FULL;
    dm_buf_add_slice(&set->packed, packed);
    set->count++;
    return CHANGED;
}

static enum change remove_one(struct dm_filter_set *set, struct dm_slice packed)
{
    const char *found = find(set, packed);
    if (!found)
        return UNCHANGED;
    size_t before = (size_t)(found - set->packed.bytes);
    size_t after = set->packed.len - before - packed.len;
    if (after)
        memmove(set->packed.bytes + before, found + packed.len, after);
    set->packed.len -= packed.len;
    set->count--;
    return CHANGED;
}

/* A walk over the elements of an array; one object alone is one element. */
struct elements {
    struct dm_json_walk walk;
    struct dm_slice alone;
};

static struct elements elements_of(struct dm_slice filters)
{
    filters = dm_json_value(filters);
    if (dm_json_kind(filters) == DM_JSON_ARRAY)
        return (struct elements){.walk = dm_json_walk(filters)};
    return (struct elements){.alone = filters};
}

static bool next_element(struct elements *elements, struct dm_slice *element)
{
    struct dm_slice key;
    if (!elements->alone.len)
        return dm_json_next(&elements->walk, &key, element);
    *element = elements->alone;
    elements->alone = DM_NO_SLICE;
    return true;
}

bool dm_filter_set_add(struct dm_filter_set *set, struct dm_slice filters, uint32_t max_filters)
{
    struct packer packer = {0};
    struct elements elements = elements_of(filters);
    struct dm_slice element;
    enum change change = UNCHANGED;
    bool changed = false;
    for (int i = 0; i < DM_FILTERS_A_FRAME && change != FULL; i++) {
        if (!next_element(&elements, &element))
            break;
        if (pack(&packer, element))
            change = add_one(set, dm_buf_slice(&packer.packed), max_filters);
        changed |= change == CHANGED;
    }
    set->full = change == FULL;
    packer_dispose(&packer);
    return changed;
}

bool dm_filter_set_remove(struct dm_filter_set *set, struct dm_slice filters)
{
    struct packer packer = {0};
    struct elements elements = elements_of(filters);
    struct dm_slice element;
    bool changed = false;
    for (int i = 0; i < DM_FILTERS_A_FRAME && set->count; i++) {
        if (!next_element(&elements, &element))
            break;
        if (pack(&packer, element))
            changed |= remove_one(set, dm_buf_slice(&packer.packed)) == CHANGED;
    }
    packer_dispose(&packer);
    return changed;
}

/* ---- as text ---- */

static void save_field(struct dm_buf *out, struct dm_slice key, struct dm_slice value)
{
    if (out->bytes[out->len - 1] != '{')
        dm_buf_add_byte(out, ',');
    dm_json_encode(out, key);
    dm_buf_add_byte(out, ':');
    dm_json_encode(out, value);
}

static void save_one(struct dm_buf *out, struct packed filter)
{
    struct dm_slice key, value;
    bool typed = false;
    dm_buf_add_byte(out, '{');
    while (next_field(&filter, &key, &value)) {
        if (!typed && dm_key_order(key, type_key()) > 0) {
            save_field(out, type_key(), filter.type);
            typed = true;
        }
        save_field(out, key, value);
    }
    if (!typed)
        save_field(out, type_key(), filter.type);
    dm_buf_add_byte(out, '}');
}

void dm_filter_set_save(const struct dm_filter_set *set, struct dm_buf *out)
{
    dm_buf_add_byte(out, '[');
    for (const char *at = set->packed.bytes; at < set_end(set); at += get_number(at)) {
        if (at != set->packed.bytes)
            dm_buf_add_byte(out, ',');
        save_one(out, packed_at(at));
    }
    dm_buf_add_byte(out, ']');
}

bool dm_filter_set_load(struct dm_filter_set *set, struct dm_slice saved)
{
    if (!dm_json_valid(saved) || dm_json_kind(dm_json_value(saved)) != DM_JSON_ARRAY)
        return false;
    struct dm_filter_set loaded = {0};
    struct packer packer = {0};
    struct elements elements = elements_of(saved);
    struct dm_slice element;
    bool good = true;
    while (good && next_element(&elements, &element))
        good = pack(&packer, element) &&
               add_one(&loaded, dm_buf_slice(&packer.packed), UINT32_MAX) != FULL;
    packer_dispose(&packer);
    if (!good) {
        dm_filter_set_dispose(&loaded);
        return false;
    }
    dm_filter_set_dispose(set);
    *set = loaded;
    return true;
}

/* ---- matching ---- */

void dm_filter_probe_init(struct dm_filter_probe *probe, const struct dm_envelope *envelope)
{
    *probe = (struct dm_filter_probe){.envelope = envelope};
}

void dm_filter_probe_dispose(struct dm_filter_probe *probe)
{
    dm_fields_dispose(&probe->fields);
}

static bool fields_match(struct packed filter, struct dm_filter_probe *probe)
{
    struct dm_slice key, value;
    if (!probe->unpacked) {
        dm_fields_read(&probe->fields, dm_json_value(probe->envelope->payload));
        probe->unpacked = true;
    }
    while (next_field(&filter, &key, &value))
        if (!dm_json_string_is(dm_fields_get(&probe->fields, key), value))
            return false;
    return true;
}

bool dm_filter_set_matches(const struct dm_filter_set *set, struct dm_filter_probe *probe)
{
    struct dm_slice type = probe->envelope->type;
    for (const char *at = set->packed.bytes; at < set_end(set); at += get_number(at)) {
        struct packed filter = packed_at(at);
        if (dm_slice_eq(filter.type, type) && (!filter.rest.len || fields_match(filter, probe)))
            return true;
    }
    return false;
}
