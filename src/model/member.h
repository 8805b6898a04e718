/*
 * Reading the members of a JSON object that somebody sent. Any thread.
 */
#ifndef DM_MODEL_MEMBER_H
#define DM_MODEL_MEMBER_H

#include "base/buf.h"
#include "base/check.h"

/* A member's value; absent where there is none or it is null, which many serializers write for
 * what is not there. */
struct dm_slice dm_member(struct dm_slice object, const char *name);
bool dm_member_is(struct dm_slice object, const char *name); /* is there such a member? */

/* A string member, decoded and trimmed (ECMAScript's trim), in `scratch`; absent where there is no
 * such member or it is no string. */
struct dm_slice dm_member_text(struct dm_slice object, const char *name, struct dm_buf *scratch);

/* The same of a value that is a string. */
struct dm_slice dm_string_text(struct dm_slice string, struct dm_buf *scratch);

/* A number from 0 to `most`, rounded up; `standard` where there is no such member. False: it is
 * something else. */
bool dm_member_number(struct dm_slice object, const char *name, double most, double standard,
                      uint64_t *out) DM_MUST_CHECK;

#endif
