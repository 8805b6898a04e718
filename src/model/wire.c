/* Encoded frames with a count of who still needs them. */
#include "model/wire.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"

struct dm_wire *dm_wire_create(enum dm_opcode opcode, struct dm_slice payload)
{
    char head[10];
    size_t head_len = dm_frame_write_head(head, opcode, payload.len);
    DM_CHECK(payload.len <= UINT32_MAX - sizeof head);
    struct dm_wire *wire = dm_alloc(sizeof *wire + head_len + payload.len);
    wire->refs = 1;
    wire->len = (uint32_t)(head_len + payload.len);
    memcpy(wire->bytes, head, head_len);
    if (payload.len)
        memcpy(wire->bytes + head_len, payload.at, payload.len);
    return wire;
}

/* Cuts at a code point's start, so that what is left is still UTF-8. */
static size_t cut_at(struct dm_slice text, size_t most)
{
    if (text.len <= most)
        return text.len;
    while (most && ((unsigned char)text.at[most] & 0xc0) == 0x80)
        most--;
    return most;
}

struct dm_wire *dm_wire_create_close(int code, struct dm_slice reason)
{
    char payload[DM_FRAME_MAX_CONTROL];
    size_t len = cut_at(reason, sizeof payload - 2);
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    if (len)
        memcpy(payload + 2, reason.at, len);
    return dm_wire_create(DM_OP_CLOSE, dm_slice(payload, len + 2));
}

struct dm_wire *dm_wire_retain(struct dm_wire *wire)
{
    wire->refs++;
    return wire;
}

void dm_wire_release(struct dm_wire *wire)
{
    if (wire && --wire->refs == 0)
        free(wire);
}
