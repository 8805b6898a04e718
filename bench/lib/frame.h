/*
 * WebSocket frames for the load and the floor: headers of short and middling
 * frames, read over a stream in which frames may be joined or split. Apart
 * from the server's own reader on purpose: the two check each other.
 */
#ifndef DM_BENCH_FRAME_H
#define DM_BENCH_FRAME_H

#include <sys/types.h>

#include "base/buf.h"

struct dm_bench_frame {
    unsigned char opcode;
    char *payload; /* unmasked in place */
    size_t len;
};

/* The size of the frame that `bytes` begin with, 0 while it is not all there, -1 when it is
 * fragmented, reserved or longer than a load ever sends. */
ssize_t dm_bench_frame_read(char *bytes, size_t len, struct dm_bench_frame *frame) DM_MUST_CHECK;

/* Appends a whole text frame; a mask of 0 leaves it unmasked, as servers send them. */
void dm_bench_frame_write(struct dm_buf *out, struct dm_slice payload, uint32_t mask);

#endif
