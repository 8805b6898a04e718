/*
 * base64url without padding (RFC 4648 section 5), strict: no other character,
 * no padding, no non-zero trailing bits. Any thread.
 */
#ifndef DM_CODEC_BASE64URL_H
#define DM_CODEC_BASE64URL_H

#include "base/buf.h"

void dm_base64url_encode(struct dm_buf *out, const void *bytes, size_t len);
bool dm_base64url_decode(struct dm_buf *out, struct dm_slice text) DM_MUST_CHECK;

#endif
