/* Members of a request body. */
#include "net/fields.h"

#include "model/publication.h"

struct dm_slice dm_field_text(struct dm_request *request, struct dm_slice object, const char *name)
{
    struct dm_buf scratch = DM_BUF_INIT;
    struct dm_slice text = dm_member_text(object, name, &scratch);
    if (text.at) {
        char *copy = dm_request_alloc(request, text.len + 1);
        memcpy(copy, text.at, text.len);
        text.at = copy;
    }
    dm_buf_dispose(&scratch);
    return text;
}

int dm_field_type(struct dm_request *request, struct dm_slice object, struct dm_slice *out)
{
    struct dm_slice type = dm_field_text(request, object, "type");
    *out = type.len ? type : DM_SLICE("message");
    return dm_type_check(*out, &request->why);
}

int dm_field_wrong(struct dm_request *request, const char *what)
{
    request->why = dm_slice_of(what);
    return DM_ERR_INVALID_FIELD;
}
