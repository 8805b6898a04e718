/* Headers into JSON. There are at most 100 of them, which is what h2o takes. */
#include "net/headers.h"

#include <h2o.h>

#include "codec/json.h"
#include "codec/utf8.h"

void dm_headers_text(struct dm_slice text, struct dm_buf *out)
{
    if (dm_utf8_valid(text)) {
        dm_json_encode(out, text);
        return;
    }
    struct dm_buf utf8 = DM_BUF_INIT;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        if (byte >= 0x80)
            dm_buf_add_byte(&utf8, (char)(0xc0 | byte >> 6));
        dm_buf_add_byte(&utf8, (char)(byte < 0x80 ? byte : 0x80 | (byte & 0x3f)));
    }
    dm_json_encode(out, dm_buf_slice(&utf8));
    dm_buf_dispose(&utf8);
}

static struct dm_slice name_of(const h2o_header_t *header)
{
    return dm_slice(header->name->base, header->name->len);
}

static bool came_before(const h2o_headers_t *headers, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (dm_slice_eq(name_of(&headers->entries[i]), name_of(&headers->entries[at])))
            return true;
    return false;
}

/* The values of all of the name at `first`. */
static void join(const h2o_headers_t *headers, size_t first, struct dm_buf *out)
{
    struct dm_slice name = name_of(&headers->entries[first]);
    dm_buf_clear(out);
    for (size_t i = first; i < headers->size; i++) {
        const h2o_header_t *header = &headers->entries[i];
        if (!dm_slice_eq(name_of(header), name))
            continue;
        if (i > first)
            dm_buf_add_slice(out, dm_slice_eq(name, DM_SLICE("cookie")) ? DM_SLICE("; ")
                                                                        : DM_SLICE(", "));
        dm_buf_add_slice(out, dm_slice(header->value.base, header->value.len));
    }
}

static void add(struct dm_slice name, struct dm_slice value, struct dm_buf *out)
{
    if (out->bytes[out->len - 1] != '{')
        dm_buf_add_byte(out, ',');
    dm_headers_text(name, out);
    dm_buf_add_byte(out, ':');
    dm_headers_text(value, out);
}

void dm_headers_json(const struct dm_request *request, struct dm_slice but, struct dm_buf *out)
{
    const h2o_headers_t *headers = &request->h2o->headers;
    h2o_iovec_t host = request->h2o->input.authority;
    struct dm_buf value = DM_BUF_INIT;
    dm_buf_add_byte(out, '{');
    if (host.len)
        add(DM_SLICE("host"), dm_slice(host.base, host.len), out);
    for (size_t i = 0; i < headers->size; i++) {
        struct dm_slice name = name_of(&headers->entries[i]);
        if (dm_slice_eq(name, but) || came_before(headers, i))
            continue;
        join(headers, i, &value);
        add(name, dm_buf_slice(&value), out);
    }
    dm_buf_add_byte(out, '}');
    dm_buf_dispose(&value);
}
