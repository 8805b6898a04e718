/*
 * UTF-8 checking, decoding and trimming. Runs of ASCII, which most text is,
 * are passed over a machine word at a time.
 */
#include "codec/utf8.h"

static bool is_tail(unsigned char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The second byte's range is what keeps out overlong forms (after E0, F0),
 * surrogates (after ED) and what is past U+10FFFF (after F4). */
static bool second_fits(unsigned char lead, unsigned char second)
{
    switch (lead) {
    case 0xe0:
        return second >= 0xa0 && second <= 0xbf;
    case 0xed:
        return second >= 0x80 && second <= 0x9f;
    case 0xf0:
        return second >= 0x90 && second <= 0xbf;
    case 0xf4:
        return second >= 0x80 && second <= 0x8f;
    default:
        return is_tail(second);
    }
}

static size_t length_after(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* The length of the well-formed sequence of two to four bytes at `at`; 0: there is none. */
static size_t sequence(const unsigned char *at, size_t left)
{
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    size_t len = length_after(at[0]);
    if (left < len || !second_fits(at[0], at[1]))
        return 0;
    for (size_t i = 2; i < len; i++)
        if (!is_tail(at[i]))
            return 0;
    return len;
}

static const unsigned char *skip_ascii(const unsigned char *at, const unsigned char *end)
{
    while (end - at >= 16) {
        uint64_t words[2];
        memcpy(words, at, sizeof words);
        if ((words[0] | words[1]) & 0x8080808080808080u)
            break;
        at += sizeof words;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

bool dm_utf8_valid(struct dm_slice text)
{
    if (!text.len)
        return true;
    const unsigned char *at = (const unsigned char *)text.at, *end = at + text.len;
    while ((at = skip_ascii(at, end)) < end) {
        /* Text that is not ASCII is seldom so for one character only. */
        do {
            size_t len = sequence(at, (size_t)(end - at));
            if (!len)
                return false;
            at += len;
        } while (at < end && *at >= 0x80);
    }
    return true;
}

uint32_t dm_utf8_next(struct dm_slice *text)
{
    const unsigned char *at = (const unsigned char *)text->at;
    size_t len = length_after(at[0]);
    if (len > text->len)
        len = text->len;
    uint32_t point = len == 1 ? at[0] : at[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        point = point << 6 | (at[i] & 0x3f);
    *text = dm_slice_from(*text, len);
    return point;
}

static bool is_space(uint32_t point)
{
    if (point < 0x80)
        return point == ' ' || (point >= '\t' && point <= '\r');
    return point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f ||
           point == 0x3000 || point == 0xfeff;
}

/* How many bytes of white space `text` begins with: one code point's, or none. */
static size_t space_before(struct dm_slice text)
{
    struct dm_slice rest = text;
    return text.len && is_space(dm_utf8_next(&rest)) ? text.len - rest.len : 0;
}

static size_t space_after(struct dm_slice text)
{
    size_t len = 1;
    while (len < 3 && len < text.len && is_tail((unsigned char)text.at[text.len - len]))
        len++;
    if (len > text.len)
        return 0;
    return space_before(dm_slice_from(text, text.len - len)) == len ? len : 0;
}

struct dm_slice dm_utf8_trim(struct dm_slice text)
{
    size_t len;
    while ((len = space_before(text)) != 0)
        text = dm_slice_from(text, len);
    while ((len = space_after(text)) != 0)
        text.len -= len;
    return text;
}
