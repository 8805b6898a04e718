/* Growing byte buffer: doubles, so that appending is linear in what is added. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

void dm_buf_dispose(struct dm_buf *buf)
{
    free(buf->bytes);
    *buf = DM_BUF_INIT;
}

char *dm_buf_reserve(struct dm_buf *buf, size_t more)
{
    DM_CHECK(more <= SIZE_MAX / 4 && buf->len <= SIZE_MAX / 4);
    size_t need = buf->len + more;
    if (need > buf->capacity || !buf->bytes) {
        size_t capacity = buf->capacity ? buf->capacity : 64;
        while (capacity < need)
            capacity *= 2;
        buf->bytes = dm_realloc(buf->bytes, capacity);
        buf->capacity = capacity;
    }
    return buf->bytes + buf->len;
}

void dm_buf_add(struct dm_buf *buf, const void *bytes, size_t len)
{
    if (!len)
        return;
    memcpy(dm_buf_reserve(buf, len), bytes, len);
    buf->len += len;
}

void dm_buf_add_slice(struct dm_buf *buf, struct dm_slice text)
{
    dm_buf_add(buf, text.at, text.len);
}

void dm_buf_add_byte(struct dm_buf *buf, char byte)
{
    *dm_buf_reserve(buf, 1) = byte;
    buf->len++;
}

void dm_buf_add_number(struct dm_buf *buf, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    dm_buf_add(buf, digits + at, sizeof digits - at);
}

void dm_buf_printf(struct dm_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    DM_CHECK(len >= 0);
    char *at = dm_buf_reserve(buf, (size_t)len + 1);
    va_start(args, format);
    vsnprintf(at, (size_t)len + 1, format, args);
    va_end(args);
    buf->len += (size_t)len;
}

void dm_buf_consume(struct dm_buf *buf, size_t from_start)
{
    DM_CHECK(from_start <= buf->len);
    buf->len -= from_start;
    if (buf->len)
        memmove(buf->bytes, buf->bytes + from_start, buf->len);
}

const char *dm_buf_text(struct dm_buf *buf)
{
    *dm_buf_reserve(buf, 1) = '\0';
    return buf->bytes;
}
