/* Members gathered in order of the text, sorted, and thinned to the last of each key. */
#include "model/fields.h"

#include <endian.h>
#include <stdlib.h>

#include "codec/json.h"

struct entry {
    uint64_t head;            /* the key's first bytes as a number, so that most
                                 comparisons need not go where the key is */
    uint32_t key_at, key_len; /* in `keys`, which may move while it grows */
    struct dm_slice value;
};

void dm_fields_dispose(struct dm_fields *fields)
{
    dm_buf_dispose(&fields->entries);
    dm_buf_dispose(&fields->keys);
}

int dm_key_order(struct dm_slice a, struct dm_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.at, b.at, len) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static struct entry *entries_of(const struct dm_fields *fields)
{
    return (struct entry *)(void *)fields->entries.bytes;
}

static struct dm_slice key_of(const struct dm_fields *fields, const struct entry *entry)
{
    return entry->key_len ? dm_slice(fields->keys.bytes + entry->key_at, entry->key_len)
                          : DM_SLICE("");
}

static int entry_order(const void *a, const void *b, void *context)
{
    const struct entry *left = a, *right = b;
    if (left->head != right->head)
        return left->head < right->head ? -1 : 1;
    int order = dm_key_order(key_of(context, left), key_of(context, right));
    return order ? order : (left->value.at > right->value.at) - (left->value.at < right->value.at);
}

/* Zeros behind a short key: where they make two heads equal, the keys decide. */
static uint64_t head_of(struct dm_slice key)
{
    uint64_t head = 0;
    if (key.len)
        memcpy(&head, key.at, key.len < sizeof head ? key.len : sizeof head);
    return be64toh(head);
}

static void gather(struct dm_fields *fields, struct dm_slice object)
{
    struct dm_json_walk walk = dm_json_walk(object);
    struct dm_slice key, value;
    while (dm_json_next(&walk, &key, &value)) {
        struct entry entry = {.key_at = (uint32_t)fields->keys.len, .value = value};
        dm_json_decode(&fields->keys, key);
        entry.key_len = (uint32_t)fields->keys.len - entry.key_at;
        entry.head = head_of(key_of(fields, &entry));
        dm_buf_add(&fields->entries, &entry, sizeof entry);
    }
}

static void keep_last_of_each(struct dm_fields *fields)
{
    struct entry *entries = entries_of(fields);
    size_t count = dm_fields_count(fields), kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && dm_slice_eq(key_of(fields, &entries[kept - 1]), key_of(fields, &entries[i])))
            kept--;
        entries[kept++] = entries[i];
    }
    fields->entries.len = kept * sizeof *entries;
}

void dm_fields_read(struct dm_fields *fields, struct dm_slice object)
{
    dm_buf_clear(&fields->entries);
    dm_buf_clear(&fields->keys);
    if (dm_json_kind(object) != DM_JSON_OBJECT || object.len > UINT32_MAX)
        return;
    gather(fields, object);
    if (dm_fields_count(fields) < 2)
        return;
    qsort_r(entries_of(fields), dm_fields_count(fields), sizeof(struct entry), entry_order, fields);
    keep_last_of_each(fields);
}

size_t dm_fields_count(const struct dm_fields *fields)
{
    return fields->entries.len / sizeof(struct entry);
}

struct dm_slice dm_fields_key(const struct dm_fields *fields, size_t i)
{
    return key_of(fields, &entries_of(fields)[i]);
}

struct dm_slice dm_fields_value(const struct dm_fields *fields, size_t i)
{
    return entries_of(fields)[i].value;
}

struct dm_slice dm_fields_get(const struct dm_fields *fields, struct dm_slice key)
{
    size_t low = 0, high = dm_fields_count(fields);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = dm_key_order(key, dm_fields_key(fields, middle));
        if (order == 0)
            return dm_fields_value(fields, middle);
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return DM_NO_SLICE;
}
