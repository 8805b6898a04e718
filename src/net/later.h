/*
 * What is named in the wire contract and is not built yet: a caller that finds
 * nothing there is told so, and does not look for its mistake. Any thread.
 */
#ifndef DM_NET_LATER_H
#define DM_NET_LATER_H

#include "base/slice.h"

/* What the 404 at this raw path says; absent: nothing special. */
struct dm_slice dm_later_path(struct dm_slice path);

#endif
