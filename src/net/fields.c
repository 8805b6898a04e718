/* Members of a request body. */
#include "net/fields.h"

#include <math.h>

#include "codec/json.h"
#include "codec/utf8.h"
#include "model/limits.h"

struct dm_slice dm_field_decode(struct dm_request *request, struct dm_slice string)
{
    struct dm_buf text = DM_BUF_INIT;
    dm_json_decode(&text, string);
    struct dm_slice trimmed = dm_utf8_trim(dm_buf_slice(&text));
    char *copy = dm_request_alloc(request, trimmed.len + 1);
    if (trimmed.len)
        memcpy(copy, trimmed.at, trimmed.len);
    dm_buf_dispose(&text);
    return dm_slice(copy, trimmed.len);
}

struct dm_slice dm_field(struct dm_slice object, const char *name)
{
    struct dm_slice value = dm_json_get(object, dm_slice_of(name));
    return dm_json_kind(value) == DM_JSON_NULL ? DM_NO_SLICE : value;
}

struct dm_slice dm_field_text(struct dm_request *request, struct dm_slice object, const char *name)
{
    struct dm_slice value = dm_field(object, name);
    if (dm_json_kind(value) != DM_JSON_STRING)
        return DM_NO_SLICE;
    return dm_field_decode(request, value);
}

bool dm_field_number(struct dm_slice object, const char *name, double most, double standard,
                     uint64_t *out)
{
    struct dm_slice value = dm_field(object, name);
    double number = standard;
    if (dm_json_kind(value) == DM_JSON_NUMBER)
        number = dm_json_number(value);
    else if (value.at)
        return false;
    if (!(number >= 0 && number <= most))
        return false;
    *out = (uint64_t)ceil(number);
    return true;
}

bool dm_field_is(struct dm_slice object, const char *name)
{
    return dm_field(object, name).at != NULL;
}

static bool is_reserved(struct dm_slice type)
{
    return dm_slice_starts(type, DM_SLICE("$")) || dm_slice_starts(type, DM_SLICE("__")) ||
           dm_slice_eq(type, DM_SLICE("presence.join")) ||
           dm_slice_eq(type, DM_SLICE("presence.leave")) || dm_slice_eq(type, DM_SLICE("whisper"));
}

int dm_field_type(struct dm_request *request, struct dm_slice object, struct dm_slice *out)
{
    struct dm_slice type = dm_field_text(request, object, "type");
    *out = type.len ? type : DM_SLICE("message");
    if (is_reserved(*out))
        return dm_field_wrong(request, "That type is the server's own");
    if (out->len > DM_TYPE_MAX)
        return dm_field_wrong(request, "type is too long");
    return DM_OK;
}

int dm_field_wrong(struct dm_request *request, const char *what)
{
    request->why = dm_slice_of(what);
    return DM_ERR_INVALID_FIELD;
}
