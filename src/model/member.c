/* Members by name, over the JSON slicer. */
#include "model/member.h"

#include <math.h>

#include "codec/json.h"
#include "codec/utf8.h"

struct dm_slice dm_member(struct dm_slice object, const char *name)
{
    struct dm_slice value = dm_json_get(object, dm_slice_of(name));
    return dm_json_kind(value) == DM_JSON_NULL ? DM_NO_SLICE : value;
}

bool dm_member_is(struct dm_slice object, const char *name)
{
    return dm_member(object, name).at != NULL;
}

struct dm_slice dm_string_text(struct dm_slice string, struct dm_buf *scratch)
{
    dm_buf_clear(scratch);
    dm_json_decode(scratch, string);
    struct dm_slice text = dm_utf8_trim(dm_buf_slice(scratch));
    return text.at ? text : DM_SLICE("");
}

struct dm_slice dm_member_text(struct dm_slice object, const char *name, struct dm_buf *scratch)
{
    struct dm_slice value = dm_member(object, name);
    if (dm_json_kind(value) != DM_JSON_STRING)
        return DM_NO_SLICE;
    return dm_string_text(value, scratch);
}

bool dm_member_number(struct dm_slice object, const char *name, double most, double standard,
                      uint64_t *out)
{
    struct dm_slice value = dm_member(object, name);
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
