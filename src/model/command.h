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
    DM_COMMAND_ATTACH,      /* `attachment` */
    DM_COMMAND_REFRESH,     /* `token` */
    DM_COMMAND_PUBLISH,     /* `body` */
    DM_COMMAND_JOIN,        /* `channel` */
    DM_COMMAND_LEAVE,       /* `channel` */
    DM_COMMAND_WHISPER,     /* `channel`, or the one that its session is in; `payload` */
    DM_COMMAND_PRESENCE,    /* `channel` */
    DM_COMMAND_PING,        /* answered, and wakes nothing */
    DM_COMMAND_REFUSED,     /* answered with `err`, and `why` where there is more to say */
};

struct dm_command {
    enum dm_command_kind kind;
    struct dm_slice ref;     /* JSON by which the client knows the answer; absent: it wants none */
    struct dm_slice answer;  /* a whole message to send back, static storage */
    struct dm_slice filters; /* a JSON array */
    struct dm_uuid envelope;
    struct dm_slice result;     /* JSON; absent: the ack had none */
    struct dm_slice attachment; /* JSON; absent: from here on there is none */
    struct dm_slice token;      /* decoded; a secret */
    struct dm_slice body;       /* a JSON object with the fields of a publish */
    struct dm_slice channel;    /* decoded, trimmed and valid; absent: it names none */
    struct dm_slice payload;    /* JSON; absent: there is none */
    int err;
    struct dm_slice why; /* static storage */
};

#endif
