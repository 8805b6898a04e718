/*
 * Other servers that carry the load of `channel`, where they are installed:
 * nginx with the module nchan, and a small Node program on npm's ws. One
 * process each, and one channel that every socket listens to.
 */
#ifndef DM_BENCH_PEER_H
#define DM_BENCH_PEER_H

#include "lib/target.h"

enum dm_peer { DM_PEER_NCHAN, DM_PEER_WS, DM_PEERS };

const char *dm_peer_name(enum dm_peer peer);
const char *dm_peer_missing(enum dm_peer peer); /* what would have to be installed; NULL: nothing */

/* A GET of dm_peer_socket upgrades, a POST to "/send" goes to all. 0, or -1 after saying why. */
int dm_peer_start(struct dm_target *target, const struct dm_target_place *place,
                  enum dm_peer peer) DM_MUST_CHECK;
extern const char dm_peer_socket[]; /* without its slash */

#endif
