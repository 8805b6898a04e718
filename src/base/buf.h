/*
 * A growing byte buffer, owned by whoever initialised it. `bytes` moves when
 * it grows: do not keep slices of it across an append.
 */
#ifndef DM_BASE_BUF_H
#define DM_BASE_BUF_H

#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

struct dm_buf {
    char *bytes;
    size_t len, capacity;
};

#define DM_BUF_INIT ((struct dm_buf){NULL, 0, 0})

void dm_buf_dispose(struct dm_buf *buf);
static inline void dm_buf_clear(struct dm_buf *buf)
{
    buf->len = 0;
}
char *dm_buf_reserve(struct dm_buf *buf, size_t more); /* room for `more`; where they go */
void dm_buf_add(struct dm_buf *buf, const void *bytes, size_t len);
void dm_buf_add_slice(struct dm_buf *buf, struct dm_slice text);
void dm_buf_add_byte(struct dm_buf *buf, char byte);
void dm_buf_add_number(struct dm_buf *buf, uint64_t number); /* in decimal */
void dm_buf_printf(struct dm_buf *buf, const char *format, ...) DM_PRINTF(2, 3);
void dm_buf_consume(struct dm_buf *buf, size_t from_start);
const char *dm_buf_text(struct dm_buf *buf); /* NUL-terminated, good until the next append */

#define dm_buf_lit(buf, literal) dm_buf_add((buf), "" literal, sizeof(literal) - 1)

static inline struct dm_slice dm_buf_slice(const struct dm_buf *buf)
{
    return dm_slice(buf->bytes, buf->len);
}

#endif
