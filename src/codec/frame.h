/*
 * WebSocket frames (RFC 6455 section 5): the reader for whole frames and the
 * writer of headers. No extension is negotiated, so reserved bits are errors.
 * Frames from clients are masked; `masked` says which side's are read. Any
 * thread, no state.
 */
#ifndef DM_CODEC_FRAME_H
#define DM_CODEC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dm_opcode {
    DM_OP_CONTINUATION = 0,
    DM_OP_TEXT = 1,
    DM_OP_BINARY = 2,
    DM_OP_CLOSE = 8,
    DM_OP_PING = 9,
    DM_OP_PONG = 10,
};

enum { DM_FRAME_MAX_HEAD = 14, DM_FRAME_MAX_CONTROL = 125 };

static inline bool dm_opcode_is_control(uint8_t opcode)
{
    return opcode >= DM_OP_CLOSE;
}

enum dm_frame_state {
    DM_FRAME_WHOLE,   /* the header (and for dm_frame_read the payload) is there */
    DM_FRAME_PARTIAL, /* more bytes are needed */
    DM_FRAME_INVALID, /* a protocol error: reserved bits or opcode, wrong masking, a long or
                         fragmented control frame, a length that is not minimal or is over 2^63 */
};

struct dm_frame_head {
    uint8_t opcode; /* enum dm_opcode */
    bool fin, masked;
    uint8_t mask[4];
    uint8_t size;     /* of the header itself: 2 to 14 */
    uint64_t payload; /* its length */
};

/* Reads a header. Says INVALID as soon as the bytes at hand show it. */
enum dm_frame_state dm_frame_read_head(const char *bytes, size_t len, bool from_client,
                                       struct dm_frame_head *head);

/* Reads a whole frame and unmasks its payload in place, at bytes + head->size;
 * the next frame begins at bytes + head->size + head->payload. */
enum dm_frame_state dm_frame_read(char *bytes, size_t len, bool from_client,
                                  struct dm_frame_head *head);

/* XORs in place; `offset` is where in the payload `bytes` begin. */
void dm_frame_mask(char *bytes, size_t len, const uint8_t mask[4], size_t offset);

/* Writes the header of an unmasked, unfragmented frame; returns its size (2, 4 or 10). */
size_t dm_frame_write_head(char out[10], enum dm_opcode opcode, uint64_t payload);

/* Is `code` one that an endpoint may send in a Close frame (section 7.4)? */
bool dm_close_code_valid(unsigned code);

#endif
