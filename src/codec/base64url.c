/* base64url, three bytes to four characters. */
#include "codec/base64url.h"

void dm_base64url_encode(struct dm_buf *out, const void *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = bytes;
    for (size_t i = 0; i < len; i += 3) {
        size_t group = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16;
        if (group > 1)
            bits |= (uint32_t)in[i + 1] << 8;
        if (group > 2)
            bits |= in[i + 2];
        char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63],
                        digits[bits & 63]};
        dm_buf_add(out, text, group + 1);
    }
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Two to four characters: one to three bytes. */
static bool decode_group(struct dm_buf *out, const char *at, size_t len)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(at[i]);
        if (value < 0)
            return false;
        bits |= (uint32_t)value << (18 - 6 * i);
    }
    char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
    if (len < 4 && bytes[len - 1] != 0) /* the bits left over */
        return false;
    dm_buf_add(out, bytes, len - 1);
    return true;
}

bool dm_base64url_decode(struct dm_buf *out, struct dm_slice text)
{
    size_t before = out->len;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        if (!decode_group(out, text.at + i, text.len - i < 4 ? text.len - i : 4)) {
            out->len = before;
            return false;
        }
    }
    return true;
}
