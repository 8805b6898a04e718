/*
 * A session's output: what the hub asks of the sockets. `sock` is the number
 * that the socket's keeper gave when the session was opened. Called only on
 * the shard's own thread; never calls back into the hub before it returns.
 */
#ifndef DM_PORTS_SINK_H
#define DM_PORTS_SINK_H

#include <stdint.h>

#include "base/slice.h"
#include "model/wire.h"

struct dm_sink {
    void *self;

    /* Queues a frame for the end of this turn, or soon after where many sockets are written; keeps
     * a reference of its own. */
    void (*send)(void *self, uint32_t sock, struct dm_wire *wire);

    /* Sends what is queued and then a Close frame. The socket is its keeper's from here on: the
     * hub hears no more of it and never names it again. */
    void (*close)(void *self, uint32_t sock, int code, struct dm_slice reason);

    /* How many bytes the socket's peer has not taken yet, of earlier turns. */
    uint64_t (*unsent)(void *self, uint32_t sock);

    /* Goes on with input that the hub had asked to hold, at the end of this turn at the latest. */
    void (*resume)(void *self, uint32_t sock);
};

#endif
