/*
 * Client sockets on loopback: connected from addresses spread over
 * 127.0.0.0/8, so that many of them do not run out of ports.
 */
#ifndef DM_BENCH_SOCK_H
#define DM_BENCH_SOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

/* A port that was free a moment ago. */
uint16_t dm_sock_free_port(void);

/* Connected and blocking, without Nagle's delay, with ten seconds for each call; `spread` picks
 * the source address. -1 and errno. */
int dm_sock_connect(uint16_t port, uint32_t spread) DM_MUST_CHECK;

/* The same, but not blocking and perhaps not connected yet: it is once it can be written to. */
int dm_sock_begin_connect(uint16_t port, uint32_t spread) DM_MUST_CHECK;

int dm_sock_nonblocking(int fd) DM_MUST_CHECK;

/* Waits where the socket is full. 0, or -1 and errno. */
int dm_sock_send_all(int fd, const void *bytes, size_t len) DM_MUST_CHECK;

#endif
