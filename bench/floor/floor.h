/*
 * The floor: the least that a server must do to carry the same load. One
 * epoll loop, one send a frame, a fixed frame instead of JSON, no checks of
 * who asks. Its CPU time is what the kernel and the wire cost anyway.
 */
#ifndef DM_BENCH_FLOOR_H
#define DM_BENCH_FLOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum { FLOOR_FDS = 20000, FLOOR_USERS = 20000, FLOOR_WAITING = 1024, FLOOR_INPUT = 65536 };

struct floor_conn {
    char *rest; /* input whose end has not come */
    uint32_t rest_len;
    bool session; /* a WebSocket, not a publisher */
};

/* A publisher that waits for a session's ack; the oldest first. */
struct floor_wait {
    int session, publisher;
};

struct floor {
    int epoll, listener;
    bool acks;
    struct floor_conn conns[FLOOR_FDS];
    int sessions[FLOOR_FDS]; /* in order of arrival; closed ones are -1 */
    uint32_t session_count;
    int by_user[FLOOR_USERS];
    struct floor_wait waiting[FLOOR_WAITING];
    uint32_t wait_count;
    uint64_t published;
    struct dm_buf frame; /* the one that is sent */
    size_t id_at;        /* where in it the envelope's number stands */
    char input[FLOOR_INPUT];
};

void floor_frame_init(struct floor *floor, size_t frame_len);

/* Each handles what `bytes` begin with; how many bytes that took, 0 while it is not all there,
 * -1 when the connection is to be closed. */
ssize_t floor_take_request(struct floor *floor, int fd, char *bytes, size_t len);
ssize_t floor_take_frame(struct floor *floor, int fd, char *bytes, size_t len);

#endif
