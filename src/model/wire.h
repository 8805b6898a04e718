/*
 * One encoded WebSocket frame, header and all, shared by every socket that it
 * goes to. Belongs to one shard; not atomic.
 */
#ifndef DM_MODEL_WIRE_H
#define DM_MODEL_WIRE_H

#include <stdint.h>

#include "base/slice.h"
#include "codec/frame.h"

struct dm_wire {
    uint32_t refs;
    uint32_t len;
    char bytes[];
};

/* The caller has the one reference. */
struct dm_wire *dm_wire_create(enum dm_opcode opcode, struct dm_slice payload);
struct dm_wire *dm_wire_create_close(int code,
                                     struct dm_slice reason); /* reason cut at 123 bytes */
struct dm_wire *dm_wire_retain(struct dm_wire *wire);
void dm_wire_release(struct dm_wire *wire);

#endif
