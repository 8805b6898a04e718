/*
 * One WebSocket session of the load, hopeflow's or native: its handshake, its
 * subscribe or its resume, and the stream of frames that comes back, whole,
 * joined or split.
 */
#ifndef DM_BENCH_SESSION_H
#define DM_BENCH_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct dm_load;

struct dm_session {
    int fd;
    uint32_t user;      /* 0-based: user-00001 is 0 */
    uint32_t frames;    /* text frames that came, since it connected */
    bool connected;     /* the handshake is sent */
    bool upgraded;      /* the handshake is done */
    bool welcomed;      /* the native dialect's first frame is here */
    bool open;          /* the subscribe is in force: its ok is here, or the ping's pong */
    uint64_t again_ms;  /* when it connects again, having been refused; monotonic */
    struct dm_buf rest; /* the beginning of a frame whose end has not come */
};

/* "user-00001" */
enum { DM_USER_NAME_LEN = 10 };
void dm_user_name(uint32_t user, char out[DM_USER_NAME_LEN + 1]);

int dm_session_connect(struct dm_load *load, uint32_t number) DM_MUST_CHECK;
void dm_session_connected(struct dm_load *load, uint32_t number);         /* or it cannot */
void dm_session_input(struct dm_load *load, uint32_t number, size_t len); /* of load->input */

/* Sends a text frame; a failure is the load's. */
void dm_session_send(struct dm_load *load, struct dm_session *session, struct dm_slice text);

#endif
