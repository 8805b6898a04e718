/*
 * What a client asks for in one message, whatever the dialect. Slices point
 * into the message and live as long as it.
 */
#ifndef DM_MODEL_COMMAND_H
#define DM_MODEL_COMMAND_H

#include "base/slice.h"
#include "base/uuid.h"

enum dm_command_kind {
    DM_COMMAND_IGNORE,      /* nothing this dialect knows: no answer, no harm */
    DM_COMMAND_FIXED,       /* answered with `answer`, without waking anything */
    DM_COMMAND_SUBSCRIBE,   /* `filters` */
    DM_COMMAND_UNSUBSCRIBE, /* `filters` */
    DM_COMMAND_ACK,         /* `envelope`, `result` */
};

struct dm_command {
    enum dm_command_kind kind;
    struct dm_slice answer;  /* a whole message to send back, static storage */
    struct dm_slice filters; /* a JSON array */
    struct dm_uuid envelope;
    struct dm_slice result; /* JSON; absent: the ack had none */
};

#endif
