/*
 * Listening sockets, from an address as the configuration writes it.
 */
#ifndef DM_NET_LISTENER_H
#define DM_NET_LISTENER_H

#include "base/buf.h"

/*
 * "127.0.0.1:8080", "[::1]:8080", "localhost:8080",
 * or "unix:/path" (a stale socket file is replaced; one that somebody serves is
 * refused). A socket handed over by systemd (LISTEN_FDS) takes precedence.
 * Returns a non-blocking listening descriptor, or -1 with a sentence in `why`.
 * `shown` gets the address as a person would type it, with the port that the
 * kernel chose where 0 was asked.
 */
int dm_listen(const char *address, struct dm_buf *shown, struct dm_buf *why) DM_MUST_CHECK;

#endif
