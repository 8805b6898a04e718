/*
 * User tokens for the load: HS256 JWTs made here rather than by the server,
 * so that 18,000 of them cost milliseconds.
 */
#ifndef DM_BENCH_TOKEN_H
#define DM_BENCH_TOKEN_H

#include "base/buf.h"

enum { DM_SECRET_LEN = 48 }; /* characters */

void dm_secret_make(char out[DM_SECRET_LEN + 1]); /* hex, NUL-terminated */

/* Appends a token for `user`, good for `seconds`, or for ever with 0. */
void dm_token_mint(struct dm_buf *out, const char *secret, const char *user, unsigned seconds);

#endif
