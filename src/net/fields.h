/*
 * Reading the members of a request's JSON body, with the words that tell a
 * caller what is wrong. Decoded text lives as long as the request.
 */
#ifndef DM_NET_FIELDS_H
#define DM_NET_FIELDS_H

#include "net/route.h"

/* A member's value; absent where there is none or it is null, which many serializers write for
 * what is not there. */
struct dm_slice dm_field(struct dm_slice object, const char *name);

/* A string member, decoded and trimmed (ECMAScript's trim); absent where there is no such member or
 * it is no string. */
struct dm_slice dm_field_text(struct dm_request *request, struct dm_slice object, const char *name);

/* Decodes and trims one string value. */
struct dm_slice dm_field_decode(struct dm_request *request, struct dm_slice string);

/* A number from 0 to `most`, rounded up; `standard` where there is no such member. False: it is
 * something else. */
bool dm_field_number(struct dm_slice object, const char *name, double most, double standard,
                     uint64_t *out) DM_MUST_CHECK;

bool dm_field_is(struct dm_slice object, const char *name); /* is there such a member? */

/* An envelope's type: "message" where it is no string or empty. DM_ERR_INVALID_FIELD for those that
 * are the server's own, and for long ones. */
int dm_field_type(struct dm_request *request, struct dm_slice object,
                  struct dm_slice *out) DM_MUST_CHECK;

/* Sets what the error says, and returns DM_ERR_INVALID_FIELD. */
int dm_field_wrong(struct dm_request *request, const char *what);

#endif
