/* The queries of channels. */
#include "net/paging.h"

#include "codec/json.h"
#include "codec/utf8.h"
#include "hub/channel.h"
#include "model/name.h"
#include "net/fields.h"

bool dm_query_text(struct dm_request *request, const char *name, struct dm_slice *out)
{
    struct dm_slice raw = dm_request_query(request, dm_slice_of(name));
    *out = DM_NO_SLICE;
    if (!raw.at)
        return true;
    char *spaced = dm_request_alloc(request, raw.len + 1);
    for (size_t i = 0; i < raw.len; i++)
        spaced[i] = raw.at[i] == '+' ? ' ' : raw.at[i];
    if (!dm_request_decode(request, dm_slice(spaced, raw.len), out))
        return false;
    *out = dm_utf8_trim(*out);
    return true;
}

static bool read_limit(struct dm_slice text, uint32_t *out)
{
    uint32_t number = 0;
    if (!text.len || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        number = 10 * number + (uint32_t)(text.at[i] - '0');
    }
    *out = number;
    return number >= 1 && number <= DM_MEMBERS_LIMIT_MAX;
}

int dm_page_read(struct dm_request *request, uint32_t standard, struct dm_page *out)
{
    struct dm_slice limit;
    *out = (struct dm_page){.limit = standard};
    if (!dm_query_text(request, "limit", &limit) || (limit.at && !read_limit(limit, &out->limit)))
        return dm_field_wrong(request, "limit must be a number from 1 to 10000");
    if (!dm_query_text(request, "after", &out->after) ||
        (out->after.at && !dm_user_id_valid(out->after)))
        return dm_field_wrong(request, "after must be a userId");
    return DM_OK;
}

void dm_page_write(struct dm_buf *out, struct dm_slice members, struct dm_slice last)
{
    dm_buf_lit(out, "{\"members\":[");
    dm_buf_add_slice(out, members);
    dm_buf_add_byte(out, ']');
    if (last.len) {
        dm_buf_lit(out, ",\"next\":");
        dm_json_encode(out, last);
    }
    dm_buf_add_byte(out, '}');
}

int dm_typed_name(struct dm_request *request, struct dm_slice *out)
{
    struct dm_buf name = DM_BUF_INIT;
    struct dm_slice type;
    if (!dm_query_text(request, "type", &type))
        return dm_field_wrong(request, "type must be public, private or presence");
    int err = dm_name_with_type(request->args[0], type, &name);
    if (!err) {
        char *kept = dm_request_alloc(request, name.len);
        memcpy(kept, name.bytes, name.len);
        *out = dm_slice(kept, name.len);
    }
    dm_buf_dispose(&name);
    return err == DM_ERR_INVALID_FIELD
               ? dm_field_wrong(request, "type must be public, private or presence")
               : err;
}
