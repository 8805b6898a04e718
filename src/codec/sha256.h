/*
 * SHA-256 (FIPS 180-4), by OpenSSL.
 */
#ifndef DM_CODEC_SHA256_H
#define DM_CODEC_SHA256_H

#include "base/slice.h"

enum { DM_SHA256_LEN = 32 };

void dm_sha256(struct dm_slice bytes, unsigned char out[DM_SHA256_LEN]);

#endif
