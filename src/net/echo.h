/*
 * A WebSocket server that sends every message back, made of the server's own
 * handshake and burrow and nothing else: for conformance suites and for
 * measuring. One thread.
 */
#ifndef DM_NET_ECHO_H
#define DM_NET_ECHO_H

#include <stdint.h>

/* Serves every path of `listen_fd`; does not return. */
__attribute__((noreturn)) void dm_echo_run(int listen_fd, uint64_t max_message);

#endif
