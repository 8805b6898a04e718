/*
 * Filters: the input is up to three parts split at NUL bytes: filters to add,
 * filters to remove, a payload. A saved set reads back as itself, adding what
 * is there changes nothing, and a match is what a naive reading of JSON says.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "model/filter.h"
#include "model/limits.h"

/* One filter, as text of `dm_filter_set_save`, against a payload, member by member. */
static bool naive_match(struct dm_slice filter, struct dm_slice type, struct dm_slice payload)
{
    struct dm_json_walk walk = dm_json_walk(filter);
    struct dm_slice key, value;
    bool is = true;
    while (is && dm_json_next(&walk, &key, &value)) {
        struct dm_buf name = DM_BUF_INIT, want = DM_BUF_INIT;
        dm_json_decode(&name, key);
        dm_json_decode(&want, value);
        if (dm_slice_eq(dm_buf_slice(&name), DM_SLICE("type")))
            is = dm_slice_eq(dm_buf_slice(&want), type);
        else
            is = dm_json_string_is(dm_json_get(payload, dm_buf_slice(&name)), dm_buf_slice(&want));
        dm_buf_dispose(&name);
        dm_buf_dispose(&want);
    }
    return is;
}

static bool naive_set_match(struct dm_slice saved, struct dm_slice type, struct dm_slice payload)
{
    struct dm_json_walk walk = dm_json_walk(saved);
    struct dm_slice key, filter;
    while (dm_json_next(&walk, &key, &filter))
        if (naive_match(filter, type, payload))
            return true;
    return false;
}

static void check_match(const struct dm_filter_set *set, struct dm_slice saved,
                        struct dm_slice type, struct dm_slice payload)
{
    const struct dm_envelope_draft draft = {.type = type, .payload = payload};
    struct dm_envelope *envelope = dm_envelope_create(&draft);
    struct dm_filter_probe probe;
    dm_filter_probe_init(&probe, envelope);
    bool does = dm_filter_set_matches(set, &probe);
    DM_CHECK(dm_filter_set_matches(set, &probe) == does);
    DM_CHECK(naive_set_match(saved, type, dm_json_value(payload)) == does);
    dm_filter_probe_dispose(&probe);
    dm_envelope_release(envelope);
}

/* Keys come in order, each once. */
static void check_keys(struct dm_slice filter)
{
    struct dm_json_walk walk = dm_json_walk(filter);
    struct dm_buf last = DM_BUF_INIT, name = DM_BUF_INIT;
    struct dm_slice key, value;
    for (bool first = true; dm_json_next(&walk, &key, &value); first = false) {
        dm_buf_clear(&name);
        dm_json_decode(&name, key);
        DM_CHECK(first || dm_key_order(dm_buf_slice(&last), dm_buf_slice(&name)) < 0);
        dm_buf_clear(&last);
        dm_buf_add_slice(&last, dm_buf_slice(&name));
    }
    dm_buf_dispose(&last);
    dm_buf_dispose(&name);
}

/* The type of the set's first filter, so that its fields are asked at all. */
static void check_matches(const struct dm_filter_set *set, struct dm_slice saved,
                          struct dm_slice payload)
{
    struct dm_json_walk walk = dm_json_walk(saved);
    struct dm_slice key, filter;
    while (dm_json_next(&walk, &key, &filter)) {
        struct dm_buf type = DM_BUF_INIT;
        dm_json_decode(&type, dm_json_get(filter, DM_SLICE("type")));
        DM_CHECK(type.len > 0);
        check_keys(filter);
        check_match(set, saved, dm_buf_slice(&type), payload);
        dm_buf_dispose(&type);
    }
    check_match(set, saved, DM_SLICE("no filter's type"), payload);
}

static void check_saved(const struct dm_filter_set *set, struct dm_slice saved)
{
    struct dm_filter_set again = {0};
    struct dm_buf twice = DM_BUF_INIT;
    DM_CHECK(dm_json_valid(saved));
    DM_CHECK(dm_filter_set_load(&again, saved));
    DM_CHECK(again.count == set->count);
    DM_CHECK(dm_slice_eq(dm_buf_slice(&again.packed), dm_buf_slice(&set->packed)));
    dm_filter_set_save(&again, &twice);
    DM_CHECK(dm_slice_eq(dm_buf_slice(&twice), saved));
    dm_filter_set_dispose(&again);
    dm_buf_dispose(&twice);
}

static void run(struct dm_slice add, struct dm_slice remove, struct dm_slice payload)
{
    struct dm_filter_set set = {0};
    struct dm_buf saved = DM_BUF_INIT;
    (void)dm_filter_set_load(&set, add); /* hostile text here too */
    (void)dm_filter_set_add(&set, add, 8);
    DM_CHECK(!dm_filter_set_add(&set, add, 8));
    DM_CHECK(set.packed.len <= DM_FILTER_BYTES_MAX);
    if (dm_json_valid(remove)) {
        (void)dm_filter_set_remove(&set, remove);
        DM_CHECK(!dm_filter_set_remove(&set, remove));
    }
    dm_filter_set_save(&set, &saved);
    check_saved(&set, dm_buf_slice(&saved));
    check_matches(&set, dm_buf_slice(&saved), dm_json_valid(payload) ? payload : DM_NO_SLICE);
    dm_filter_set_dispose(&set);
    dm_buf_dispose(&saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = dm_memdup(data, size);
    struct dm_slice rest = dm_slice(copy, size);
    struct dm_slice add = dm_slice_split(&rest, '\0');
    struct dm_slice remove = dm_slice_split(&rest, '\0');
    if (dm_json_valid(add))
        run(add, remove, rest);
    free(copy);
    return 0;
}
