/*
 * Names: which code points may be in one, and where a userId belongs. The table
 * is of what a reader cannot see or tell apart from nothing.
 */
#include "model/name.h"

#include "base/check.h"
#include "base/err.h"
#include "base/index.h"
#include "codec/utf8.h"
#include "model/limits.h"

/* In order, first and last of each range; the noncharacters that end every
 * plane (U+xFFFE, U+xFFFF) are seen by their low bits. */
static const struct {
    uint32_t first, last;
} invisible[] = {
    {0x0000, 0x001f},    /* C0 controls */
    {0x007f, 0x00a0},    /* DEL, C1 controls, no-break space */
    {0x00ad, 0x00ad},    /* soft hyphen */
    {0x034f, 0x034f},    /* combining grapheme joiner */
    {0x0600, 0x0605},    /* Arabic number signs */
    {0x061c, 0x061c},    /* Arabic letter mark */
    {0x06dd, 0x06dd},    /* Arabic end of ayah */
    {0x070f, 0x070f},    /* Syriac abbreviation mark */
    {0x0890, 0x0891},    /* Arabic currency marks above */
    {0x08e2, 0x08e2},    /* Arabic disputed end of ayah */
    {0x115f, 0x1160},    /* Hangul fillers */
    {0x1680, 0x1680},    /* Ogham space */
    {0x17b4, 0x17b5},    /* Khmer inherent vowels */
    {0x180b, 0x180f},    /* Mongolian variation selectors, vowel separator */
    {0x2000, 0x200f},    /* blanks of many widths, joiners, direction marks */
    {0x2028, 0x202f},    /* line and paragraph separators, embeddings, narrow blank */
    {0x205f, 0x206f},    /* mathematical blank, word joiner, isolates and kin */
    {0x2800, 0x2800},    /* braille blank */
    {0x3000, 0x3000},    /* ideographic blank */
    {0x3164, 0x3164},    /* Hangul filler */
    {0xd800, 0xf8ff},    /* surrogates, private use */
    {0xfdd0, 0xfdef},    /* noncharacters */
    {0xfe00, 0xfe0f},    /* variation selectors */
    {0xfeff, 0xfeff},    /* byte order mark */
    {0xffa0, 0xffa0},    /* halfwidth Hangul filler */
    {0xfff0, 0xfffb},    /* unassigned specials, interlinear annotation */
    {0x110bd, 0x110bd},  /* Kaithi number sign */
    {0x110cd, 0x110cd},  /* Kaithi number sign above */
    {0x13430, 0x1343f},  /* Egyptian hieroglyph format controls */
    {0x1bca0, 0x1bca3},  /* shorthand format controls */
    {0x1d173, 0x1d17a},  /* musical format controls */
    {0xe0000, 0xe0fff},  /* tags, variation selectors */
    {0xf0000, 0x10ffff}, /* private use */
};

static bool is_invisible(uint32_t point)
{
    size_t low = 0, high = DM_COUNT(invisible);
    if ((point & 0xfffe) == 0xfffe)
        return true;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (point > invisible[middle].last)
            low = middle + 1;
        else if (point < invisible[middle].first)
            high = middle;
        else
            return true;
    }
    return false;
}

static bool is_name(struct dm_slice text, size_t max)
{
    if (!text.len || text.len > max || !dm_utf8_valid(text))
        return false;
    if (dm_slice_eq(text, DM_SLICE(".")) || dm_slice_eq(text, DM_SLICE("..")))
        return false;
    while (text.len)
        if (is_invisible(dm_utf8_next(&text)))
            return false;
    return true;
}

bool dm_user_id_valid(struct dm_slice id)
{
    return is_name(id, DM_USER_ID_MAX);
}

static const struct kind {
    struct dm_slice type, prefix;
} kinds[] = {
    {DM_SLICE_INIT("private"), DM_SLICE_INIT("private-")},
    {DM_SLICE_INIT("presence"), DM_SLICE_INIT("presence-")},
};

/* Who compares without case must not take a name for one that needs a grant, or the reverse. */
static bool has_disguised_prefix(struct dm_slice name)
{
    for (size_t i = 0; i < DM_COUNT(kinds); i++) {
        struct dm_slice prefix = kinds[i].prefix;
        if (name.len >= prefix.len && !dm_slice_starts(name, prefix) &&
            dm_slice_eq_nocase(dm_slice(name.at, prefix.len), prefix))
            return true;
    }
    return false;
}

bool dm_name_valid(struct dm_slice name)
{
    return is_name(name, DM_CHANNEL_NAME_MAX) && !has_disguised_prefix(name);
}

bool dm_name_is_presence(struct dm_slice name)
{
    return dm_slice_starts(name, DM_SLICE("presence-"));
}

static const struct kind *kind_of(struct dm_slice name)
{
    for (size_t i = 0; i < DM_COUNT(kinds); i++)
        if (dm_slice_starts(name, kinds[i].prefix))
            return &kinds[i];
    return NULL;
}

static const struct kind *kind_called(struct dm_slice type)
{
    for (size_t i = 0; i < DM_COUNT(kinds); i++)
        if (dm_slice_eq(type, kinds[i].type))
            return &kinds[i];
    return NULL;
}

bool dm_name_needs_grant(struct dm_slice name)
{
    return kind_of(name) || has_disguised_prefix(name);
}

int dm_name_with_type(struct dm_slice name, struct dm_slice type, struct dm_buf *out)
{
    const struct kind *has = kind_of(name), *asked = kind_called(type);
    if (type.at && !asked && !dm_slice_eq(type, DM_SLICE("public")))
        return DM_ERR_INVALID_FIELD;
    if (!dm_name_valid(name) || (asked && has && asked != has))
        return DM_ERR_INVALID_NAME;
    if (asked && !has) {
        if (asked->prefix.len + name.len > DM_CHANNEL_NAME_MAX)
            return DM_ERR_INVALID_NAME;
        dm_buf_add_slice(out, asked->prefix);
    }
    dm_buf_add_slice(out, name);
    return DM_OK;
}

uint32_t dm_slot_of(struct dm_slice user_id)
{
    static const uint64_t for_ever[2] = {0, 0};
    return (uint32_t)(dm_hash(for_ever, user_id.at, user_id.len) % DM_SLOTS);
}

uint32_t dm_shard_of_slot(uint32_t slot, uint32_t shards)
{
    DM_CHECK(slot < DM_SLOTS && shards > 0 && shards <= DM_SHARDS_MAX);
    return slot * shards / DM_SLOTS;
}

static uint32_t first_slot(uint32_t shard, uint32_t shards)
{
    return (shard * DM_SLOTS + shards - 1) / shards;
}

void dm_slots_of_shard(uint32_t shard, uint32_t shards, uint32_t *first, uint32_t *last)
{
    *first = first_slot(shard, shards);
    *last = first_slot(shard + 1, shards) - 1;
}
