/* RFC 6455 section 5.2, payloads up to 64 KiB. */
#include "lib/frame.h"

enum { FIN = 0x80, MASKED = 0x80, TEXT = 1, LENGTH_16 = 126, LENGTH_64 = 127 };

static void xor_mask(char *bytes, size_t len, const unsigned char mask[4])
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)((unsigned char)bytes[i] ^ mask[i % 4]);
}

ssize_t dm_bench_frame_read(char *bytes, size_t len, struct dm_bench_frame *frame)
{
    const unsigned char *head = (const unsigned char *)bytes;
    if (len < 2)
        return 0;
    size_t payload = head[1] & 0x7f, size = 2;
    if ((head[0] & 0xf0) != FIN || payload == LENGTH_64)
        return -1;
    if (payload == LENGTH_16) {
        if (len < 4)
            return 0;
        payload = (size_t)head[2] << 8 | head[3];
        size = 4;
    }
    const unsigned char *mask = head + size;
    if (head[1] & MASKED)
        size += 4;
    if (len < size + payload)
        return 0;
    if (head[1] & MASKED)
        xor_mask(bytes + size, payload, mask);
    *frame = (struct dm_bench_frame){head[0] & 0x0f, bytes + size, payload};
    return (ssize_t)(size + payload);
}

void dm_bench_frame_write(struct dm_buf *out, struct dm_slice payload, uint32_t mask)
{
    DM_CHECK(payload.len <= 0xffff);
    unsigned char flag = mask ? MASKED : 0, key[4];
    dm_buf_add_byte(out, (char)(FIN | TEXT));
    if (payload.len < LENGTH_16) {
        dm_buf_add_byte(out, (char)(flag | payload.len));
    } else {
        dm_buf_add_byte(out, (char)(flag | LENGTH_16));
        dm_buf_add_byte(out, (char)(payload.len >> 8));
        dm_buf_add_byte(out, (char)(payload.len & 0xff));
    }
    memcpy(key, &mask, sizeof key);
    if (mask)
        dm_buf_add(out, key, sizeof key);
    dm_buf_add_slice(out, payload);
    if (mask)
        xor_mask(out->bytes + out->len - payload.len, payload.len, key);
}
