/* A wslay event context that is fed from memory and never has anything to send. */
#include "net/gather.h"

#include <stdlib.h>
#include <wslay/wslay.h>

#include "base/alloc.h"

struct dm_gather {
    wslay_event_context_ptr context;
    struct dm_buf message;
    const char *at; /* what is being fed */
    size_t left;
    enum dm_opcode opcode;
    bool done;
};

/* Hands out no byte past what was fed, so wslay never reads into the next frame. */
static ssize_t on_want_bytes(wslay_event_context_ptr context, uint8_t *out, size_t room, int flags,
                             void *self)
{
    struct dm_gather *gather = self;
    (void)flags;
    if (!gather->left) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t len = gather->left < room ? gather->left : room;
    memcpy(out, gather->at, len);
    gather->at += len;
    gather->left -= len;
    return (ssize_t)len;
}

static void on_chunk(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *self)
{
    struct dm_gather *gather = self;
    (void)context;
    dm_buf_add(&gather->message, chunk->data, chunk->data_length);
}

static void on_message(wslay_event_context_ptr context,
                       const struct wslay_event_on_msg_recv_arg *message, void *self)
{
    struct dm_gather *gather = self;
    (void)context;
    (void)message;
    gather->done = true;
}

struct dm_gather *dm_gather_create(enum dm_opcode opcode, bool from_clients, uint64_t max_message)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_want_bytes,
        .on_frame_recv_chunk_callback = on_chunk,
        .on_msg_recv_callback = on_message,
    };
    struct dm_gather *gather = DM_NEW(struct dm_gather);
    gather->opcode = opcode;
    int failed = from_clients
                     ? wslay_event_context_server_init(&gather->context, &callbacks, gather)
                     : wslay_event_context_client_init(&gather->context, &callbacks, gather);
    DM_CHECK(!failed); /* it has only memory to run out of */
    /* With its own buffering wslay takes what a header announces, and a chunk a fragment. */
    wslay_event_config_set_no_buffering(gather->context, 1);
    wslay_event_config_set_max_recv_msg_length(gather->context, max_message);
    return gather;
}

void dm_gather_destroy(struct dm_gather **gather)
{
    if (!*gather)
        return;
    wslay_event_context_free((*gather)->context);
    dm_buf_dispose(&(*gather)->message);
    free(*gather);
    *gather = NULL;
}

int dm_gather_feed(struct dm_gather *gather, const char *bytes, size_t len)
{
    DM_CHECK(!gather->done);
    gather->at = bytes;
    gather->left = len;
    int failed = wslay_event_recv(gather->context);
    DM_CHECK(failed != WSLAY_ERR_NOMEM);
    if (failed)
        return WSLAY_CODE_PROTOCOL_ERROR;
    /* Headers and sizes were seen to before: all that is left to be wrong is the text. */
    if (!wslay_event_get_read_enabled(gather->context))
        return gather->opcode == DM_OP_TEXT ? WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA
                                            : WSLAY_CODE_PROTOCOL_ERROR;
    return 0;
}

enum dm_opcode dm_gather_opcode(const struct dm_gather *gather)
{
    return gather->opcode;
}

size_t dm_gather_len(const struct dm_gather *gather)
{
    return gather->message.len;
}

bool dm_gather_done(const struct dm_gather *gather)
{
    return gather->done;
}

struct dm_buf dm_gather_take_message(struct dm_gather *gather)
{
    struct dm_buf message = gather->message;
    gather->message = DM_BUF_INIT;
    return message;
}
