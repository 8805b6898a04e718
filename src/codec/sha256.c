/* One call to OpenSSL. */
#include "codec/sha256.h"

#include <openssl/sha.h>

void dm_sha256(struct dm_slice bytes, unsigned char out[DM_SHA256_LEN])
{
    SHA256((const unsigned char *)bytes.at, bytes.len, out);
}
