/* Minting and hashing resume secrets. */
#include "net/resume.h"

#include <openssl/sha.h>
#include <string.h>

#include "base/check.h"
#include "base/rand.h"
#include "codec/base64url.h"

enum { SECRET_BYTES = 24, GIVEN_MAX = 256 };

static void hash(struct dm_slice secret, unsigned char out[DM_RESUME_HASH_LEN])
{
    SHA256((const unsigned char *)secret.at, secret.len, out);
}

void dm_resume_secrets(struct dm_request *request, struct dm_admission *admission)
{
    unsigned char bytes[SECRET_BYTES];
    struct dm_buf text = DM_BUF_INIT;
    struct dm_slice given = dm_request_query(request, DM_SLICE("resume"));
    admission->resuming = given.len > 0 && given.len <= GIVEN_MAX;
    if (admission->resuming)
        hash(given, admission->resume);
    dm_rand_kernel(bytes, sizeof bytes);
    dm_base64url_encode(&text, bytes, sizeof bytes);
    DM_CHECK(text.len == sizeof admission->next_secret);
    memcpy(admission->next_secret, text.bytes, text.len);
    hash(dm_buf_slice(&text), admission->next_resume);
    dm_buf_dispose(&text);
}
