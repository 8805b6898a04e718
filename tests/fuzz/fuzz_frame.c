/*
 * Frames, with wslay as the oracle: it and our reader agree on which single
 * frames are good and on their payload. The first byte of the input picks the
 * side that is read. wslay judges more than frames (UTF-8 of text, the body of
 * a Close): where it stops inside a good frame for that, only the frame counts.
 */
#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "codec/frame.h"

struct oracle {
    struct dm_slice input;
    size_t frames, ended; /* frames begun and ended */
    struct dm_buf payload;
    struct wslay_event_on_frame_recv_start_arg start;
};

static ssize_t receive(wslay_event_context_ptr context, uint8_t *out, size_t len, int flags,
                       void *self)
{
    struct oracle *oracle = self;
    (void)flags;
    if (!oracle->input.len) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    len = len < oracle->input.len ? len : oracle->input.len;
    memcpy(out, oracle->input.at, len);
    oracle->input = dm_slice_from(oracle->input, len);
    return (ssize_t)len;
}

static void on_start(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_start_arg *arg, void *self)
{
    struct oracle *oracle = self;
    (void)context;
    oracle->frames++;
    oracle->start = *arg;
    dm_buf_clear(&oracle->payload);
}

static void on_chunk(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_chunk_arg *arg, void *self)
{
    struct oracle *oracle = self;
    (void)context;
    dm_buf_add(&oracle->payload, arg->data, arg->data_length);
}

static void on_end(wslay_event_context_ptr context, void *self)
{
    (void)context;
    ((struct oracle *)self)->ended++;
}

/* Has wslay read `input`: does it take it, and want more? A continuation first gets a message to
 * continue. */
static bool ask(struct oracle *oracle, bool from_client, struct dm_slice input)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = receive,
        .on_frame_recv_start_callback = on_start,
        .on_frame_recv_chunk_callback = on_chunk,
        .on_frame_recv_end_callback = on_end,
    };
    wslay_event_context_ptr context = NULL;
    int failed = from_client ? wslay_event_context_server_init(&context, &callbacks, oracle)
                             : wslay_event_context_client_init(&context, &callbacks, oracle);
    DM_CHECK(failed == 0);
    wslay_event_config_set_no_buffering(context, 1);
    wslay_event_config_set_max_recv_msg_length(context, UINT64_MAX);
    if (input.len && (input.at[0] & 15) == DM_OP_CONTINUATION) {
        oracle->input = from_client ? DM_SLICE("\x02\x80mask") : DM_SLICE("\x02\x00");
        DM_CHECK(wslay_event_recv(context) == 0 && oracle->frames == 1);
    }
    oracle->input = input;
    oracle->frames = oracle->ended = 0;
    bool reads_on = wslay_event_recv(context) == 0 && wslay_event_want_read(context);
    wslay_event_context_free(context);
    return reads_on;
}

/* Any continuation of an invalid beginning is invalid: here one of zeros. */
static void check_invalid(struct dm_slice bytes, bool from_client)
{
    struct oracle oracle = {.frames = 0};
    char padded[2 * DM_FRAME_MAX_HEAD] = {0};
    memcpy(padded, bytes.at, bytes.len < DM_FRAME_MAX_HEAD ? bytes.len : DM_FRAME_MAX_HEAD);
    DM_CHECK(!ask(&oracle, from_client, dm_slice(padded, sizeof padded)));
    DM_CHECK(oracle.frames == 0);
    dm_buf_dispose(&oracle.payload);
}

/* wslay tells of a frame with the first byte of its payload. */
static void check_partial(struct dm_slice bytes, bool from_client, bool payload_begun)
{
    struct oracle oracle = {.frames = 0};
    bool reads_on = ask(&oracle, from_client, bytes);
    DM_CHECK(oracle.ended == 0);
    DM_CHECK(oracle.frames == (payload_begun ? 1u : 0u));
    DM_CHECK(reads_on || payload_begun);
    dm_buf_dispose(&oracle.payload);
}

static void check_whole(struct dm_slice bytes, bool from_client, const struct dm_frame_head *head,
                        const char *unmasked)
{
    struct oracle oracle = {.frames = 0};
    bool reads_on = ask(&oracle, from_client, dm_slice(bytes.at, head->size + head->payload));
    DM_CHECK(oracle.frames == 1 && oracle.start.opcode == head->opcode);
    DM_CHECK(oracle.start.fin == head->fin && oracle.start.payload_length == head->payload);
    DM_CHECK(oracle.payload.len <= head->payload);
    if (oracle.payload.len)
        DM_CHECK(memcmp(oracle.payload.bytes, unmasked, oracle.payload.len) == 0);
    if (reads_on) {
        DM_CHECK(oracle.ended == 1 && oracle.payload.len == head->payload);
    } else {
        DM_CHECK(head->opcode == DM_OP_TEXT || head->opcode == DM_OP_CLOSE);
    }
    dm_buf_dispose(&oracle.payload);
}

/* Every prefix says partial until one says what all longer ones say. */
static enum dm_frame_state check_prefixes(struct dm_slice bytes, bool from_client,
                                          struct dm_frame_head *head)
{
    enum dm_frame_state settled = DM_FRAME_PARTIAL;
    for (size_t len = 0; len <= bytes.len && len <= DM_FRAME_MAX_HEAD + 2; len++) {
        char *copy = dm_memdup(bytes.at, len);
        enum dm_frame_state state = dm_frame_read_head(copy, len, from_client, head);
        DM_CHECK(settled == DM_FRAME_PARTIAL || state == settled);
        DM_CHECK(state != DM_FRAME_WHOLE || head->size <= len);
        settled = state;
        free(copy);
    }
    return settled;
}

static void check(struct dm_slice bytes, bool from_client)
{
    struct dm_frame_head head, again;
    enum dm_frame_state of_head = check_prefixes(bytes, from_client, &head);
    char *copy = dm_memdup(bytes.at, bytes.len);
    enum dm_frame_state state = dm_frame_read(copy, bytes.len, from_client, &again);
    DM_CHECK(of_head == DM_FRAME_WHOLE || state == of_head);
    if (state != DM_FRAME_WHOLE) /* nothing is unmasked before all of it is there */
        DM_CHECK(!bytes.len || memcmp(copy, bytes.at, bytes.len) == 0);
    if (state == DM_FRAME_INVALID)
        check_invalid(bytes, from_client);
    else if (state == DM_FRAME_PARTIAL)
        check_partial(bytes, from_client, of_head == DM_FRAME_WHOLE && bytes.len > again.size);
    else
        check_whole(bytes, from_client, &again, copy + again.size);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size)
        check(dm_slice((const char *)data + 1, size - 1), data[0] & 1);
    return 0;
}
