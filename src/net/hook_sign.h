/*
 * How a hook knows that a call is from this server: a header with the time and
 * the HMAC-SHA-256 of time and body. The receiver refuses old times, so that a
 * call that somebody has recorded is of no use. Any thread.
 */
#ifndef DM_NET_HOOK_SIGN_H
#define DM_NET_HOOK_SIGN_H

#include "auth/hmac.h"
#include "base/buf.h"

/* Appends "Dormouse-Signature: t=<unix s>,v1=<hex of the MAC of "t.body">". */
void dm_hook_sign(const struct dm_hmac_key *key, uint64_t unix_s, struct dm_slice body,
                  struct dm_buf *out);

#endif
