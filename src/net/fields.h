/*
 * Reading the members of a request's JSON body (model/member.h), with the words
 * that tell a caller what is wrong. Decoded text lives as long as the request.
 */
#ifndef DM_NET_FIELDS_H
#define DM_NET_FIELDS_H

#include "model/member.h"
#include "net/route.h"

/* dm_member_text. */
struct dm_slice dm_field_text(struct dm_request *request, struct dm_slice object, const char *name);

/* An envelope's type: "message" where it is no string or empty. DM_ERR_INVALID_FIELD for those that
 * are the server's own, and for long ones. */
int dm_field_type(struct dm_request *request, struct dm_slice object,
                  struct dm_slice *out) DM_MUST_CHECK;

/* Sets what the error says, and returns DM_ERR_INVALID_FIELD. */
int dm_field_wrong(struct dm_request *request, const char *what);

#endif
