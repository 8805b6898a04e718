/* Minting and hashing resume secrets. */
#include "net/resume.h"

#include <string.h>

#include "base/check.h"
#include "base/rand.h"
#include "codec/base64url.h"
#include "codec/sha256.h"

enum { SECRET_BYTES = 24, GIVEN_MAX = 256 };

void dm_resume_secrets(struct dm_request *request, struct dm_admission *admission)
{
    unsigned char bytes[SECRET_BYTES];
    struct dm_buf text = DM_BUF_INIT;
    struct dm_slice given = dm_request_query(request, DM_SLICE("resume"));
    admission->resuming = given.len > 0 && given.len <= GIVEN_MAX;
    if (admission->resuming)
        dm_sha256(given, admission->resume);
    dm_rand_kernel(bytes, sizeof bytes);
    dm_base64url_encode(&text, bytes, sizeof bytes);
    DM_CHECK(text.len == sizeof admission->next_secret);
    memcpy(admission->next_secret, text.bytes, text.len);
    dm_sha256(dm_buf_slice(&text), admission->next_resume);
    dm_buf_dispose(&text);
}
