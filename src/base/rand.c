/* getrandom, whole. */
#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"

void dm_rand_kernel(void *out, size_t len)
{
    char *at = out;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        DM_CHECK(got > 0);
        at += got;
        len -= (size_t)got;
    }
}

static void fill(void *self, void *out, size_t len)
{
    (void)self;
    dm_rand_kernel(out, len);
}

const struct dm_rand dm_rand_system = {NULL, fill};
