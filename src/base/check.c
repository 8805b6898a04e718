/* Where a failed check ends: one line on stderr, then abort for a core. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void dm_check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "dormouse: check failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
