/*
 * Names: which code points may be in one, and where a userId belongs. The table
 * is of what a reader cannot see or tell apart from nothing.
 */
#include "model/name.h"

#include "base/check.h"
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

bool dm_name_valid(struct dm_slice name)
{
    return is_name(name, DM_CHANNEL_NAME_MAX);
}

static bool starts_nocase(struct dm_slice name, struct dm_slice lower_prefix)
{
    return name.len >= lower_prefix.len &&
           dm_slice_eq_nocase(dm_slice(name.at, lower_prefix.len), lower_prefix);
}

bool dm_name_needs_grant(struct dm_slice name)
{
    return starts_nocase(name, DM_SLICE("private-")) || starts_nocase(name, DM_SLICE("presence-"));
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
