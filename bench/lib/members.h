/*
 * Members of channels, written into the server's database while it is not
 * running, as if they had joined long ago.
 */
#ifndef DM_BENCH_MEMBERS_H
#define DM_BENCH_MEMBERS_H

#include <stdint.h>

#include "base/check.h"

/* `users` users, each in `each` of `channels` channels (dm_channel_name). The first `named` users
 * are user-00001 and so on (dm_user_name); all later ones are never online. */
struct dm_members {
    uint32_t users, named;
    uint32_t channels, each;
};

/* 0, or -1 after saying why on stderr. */
int dm_members_fill(const char *folder, const struct dm_members *members) DM_MUST_CHECK;
/* All rows there are; -1 after saying why. While the server runs, too. */
int64_t dm_members_count(const char *folder);

/* "room-00001"; 0-based. */
enum { DM_CHANNEL_NAME_LEN = 10 };
void dm_channel_name(uint32_t channel, char out[DM_CHANNEL_NAME_LEN + 1]);

#endif
