/*
 * One stream of bytes, three ways: to a burrow in one piece, to a burrow in
 * pieces (and with messages held), and to a wslay event context. All must tell
 * the same messages and the same end.
 *
 * The input: a byte of flags, a byte that counts the sizes of pieces, those,
 * and the stream; raw, or as a list of frames to be made (which reaches deeper).
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "net/burrow.h"

enum { MAX_MESSAGE = 600, MOST_BYTES = 4096, LONG_AGO = 1000 };
enum { FLAG_FRAMES = 1, FLAG_HOLD = 2, FLAG_EARLY = 4 };

struct listener {
    struct dm_burrow *burrow;
    struct dm_buf told;
    uint32_t sock;
    bool holds, held;
    int end; /* the code the story ended with, 0 for none; negative: by the peer */
    bool ended;
};

static void write_down(struct dm_buf *told, int opcode, const void *bytes, size_t len)
{
    dm_buf_printf(told, "%d %zu ", opcode, len);
    dm_buf_add(told, bytes, len);
    dm_buf_add_byte(told, '\n');
}

static enum dm_burrow_answer on_message(void *self, uint32_t owner, enum dm_opcode opcode,
                                        struct dm_slice message)
{
    struct listener *listener = self;
    DM_CHECK(owner == 1 && !listener->ended);
    listener->held = listener->holds && !listener->held;
    if (listener->held) {
        dm_burrow_resume(listener->burrow, listener->sock);
        return DM_BURROW_HOLD;
    }
    write_down(&listener->told, (int)opcode, message.at, message.len);
    return DM_BURROW_TAKEN;
}

static void on_closed(void *self, uint32_t owner, enum dm_burrow_end how, int code)
{
    struct listener *listener = self;
    DM_CHECK(owner == 1 && !listener->ended && how != DM_BURROW_SLOW);
    listener->ended = true;
    listener->end = how == DM_BURROW_BY_PEER ? -code : code;
    if (how == DM_BURROW_BY_PEER && !code)
        listener->end = -1;
}

static void turn(struct dm_burrow *burrow)
{
    struct pollfd wait = {.fd = dm_burrow_fd(burrow), .events = POLLIN};
    int turns = 0;
    for (; poll(&wait, 1, 0) == 1; turns++) {
        DM_CHECK(turns < 100000); /* it spins */
        dm_burrow_ready(burrow);
        dm_burrow_flush(burrow);
    }
}

/* What the peer is sent must be whole frames, and a Close the last of them. */
static void check_output(int peer, bool ended)
{
    static char bytes[1 << 20];
    ssize_t got = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);
    struct dm_slice rest = {bytes, got > 0 ? (size_t)got : 0};
    bool closed = false;
    while (rest.len) {
        struct dm_frame_head head;
        DM_CHECK(!closed);
        DM_CHECK(dm_frame_read_head(rest.at, rest.len, false, &head) == DM_FRAME_WHOLE);
        DM_CHECK(head.payload <= rest.len - head.size);
        DM_CHECK(head.opcode == DM_OP_PONG || head.opcode == DM_OP_CLOSE);
        closed = head.opcode == DM_OP_CLOSE;
        rest = dm_slice_from(rest, head.size + head.payload);
    }
    DM_CHECK(closed == ended);
}

static void listen_to(struct listener *listener, struct dm_slice stream, const uint8_t *sizes,
                      size_t size_count, int flags)
{
    struct dm_burrow_options options = {MAX_MESSAGE, 1 << 20, LONG_AGO, true};
    struct dm_burrow_events events = {listener, on_message, on_closed};
    struct dm_metrics *metrics = calloc(1, sizeof *metrics);
    int ends[2];
    *listener = (struct listener){.holds = flags & FLAG_HOLD};
    DM_CHECK(metrics && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    listener->burrow = dm_burrow_create(&options, &events, metrics);
    listener->sock = dm_burrow_adopt(listener->burrow, ends[0]);
    size_t at = 0;
    if (flags & FLAG_EARLY)
        at = stream.len / 2;
    dm_burrow_start(listener->burrow, listener->sock, 1, dm_slice(stream.at, at));
    dm_burrow_flush(listener->burrow);
    for (size_t i = 0; at < stream.len; i++) {
        size_t len = size_count ? sizes[i % size_count] + 1u : stream.len;
        if (len > stream.len - at)
            len = stream.len - at;
        ssize_t sent = send(ends[1], stream.at + at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            break; /* it was closed */
        DM_CHECK((size_t)sent == len);
        at += len;
        turn(listener->burrow);
    }
    check_output(ends[1], listener->ended);
    close(ends[1]);
    turn(listener->burrow);
    DM_CHECK(listener->ended && dm_burrow_count(listener->burrow) == 0);
    DM_CHECK(metrics->values[DM_METRIC_UNSENT_BYTES] == 0);
    dm_burrow_destroy(&listener->burrow);
    free(metrics);
}

struct oracle {
    struct dm_slice left;
    struct dm_buf told, sent;
    int opcode; /* of the frame that is coming */
    int end;    /* as the listener's */
};

static ssize_t oracle_read(wslay_event_context_ptr context, uint8_t *out, size_t room, int flags,
                           void *self)
{
    struct oracle *oracle = self;
    size_t len = oracle->left.len < room ? oracle->left.len : room;
    (void)flags;
    if (!len) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(out, oracle->left.at, len);
    oracle->left = dm_slice_from(oracle->left, len);
    return (ssize_t)len;
}

static ssize_t oracle_write(wslay_event_context_ptr context, const uint8_t *bytes, size_t len,
                            int flags, void *self)
{
    (void)context, (void)flags;
    dm_buf_add(&((struct oracle *)self)->sent, bytes, len);
    return (ssize_t)len;
}

/* Of all that it sends (there may be Pongs) the Close is what counts. */
static void oracle_end(struct oracle *oracle)
{
    const uint8_t *at = (const uint8_t *)dm_buf_text(&oracle->sent), *end = at + oracle->sent.len;
    for (; at + 1 < end && !oracle->end; at += 2u + at[1])
        if (at[0] == 0x88 && at[1] >= 2)
            oracle->end = at[2] << 8 | at[3];
    dm_buf_dispose(&oracle->sent);
}

static void oracle_frame(wslay_event_context_ptr context,
                         const struct wslay_event_on_frame_recv_start_arg *frame, void *self)
{
    (void)context;
    ((struct oracle *)self)->opcode = frame->opcode;
}

static void oracle_message(wslay_event_context_ptr context,
                           const struct wslay_event_on_msg_recv_arg *message, void *self)
{
    struct oracle *oracle = self;
    (void)context;
    if (message->opcode == WSLAY_CONNECTION_CLOSE)
        oracle->end = message->msg_length == 1  ? 1002 /* half a code, which wslay lets pass */
                      : message->msg_length > 1 ? -message->status_code
                                                : -1;
    else if (!wslay_is_ctrl_frame(message->opcode))
        write_down(&oracle->told, message->opcode, message->msg, message->msg_length);
}

/* `filler` is for what the burrow sees in a header, or in a part of one: wslay waits for the
 * payload. */
static void ask_oracle(struct oracle *oracle, struct dm_slice stream, bool filler)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = oracle_read,
        .send_callback = oracle_write,
        .on_frame_recv_start_callback = oracle_frame,
        .on_msg_recv_callback = oracle_message,
    };
    static const char zeros[16];
    wslay_event_context_ptr context;
    *oracle = (struct oracle){.left = stream, .opcode = -1};
    DM_CHECK(wslay_event_context_server_init(&context, &callbacks, oracle) == 0);
    wslay_event_config_set_max_recv_msg_length(context, MAX_MESSAGE);
    int failed = wslay_event_recv(context);
    if (filler && !failed && wslay_event_get_read_enabled(context)) {
        oracle->left = dm_slice(zeros, sizeof zeros);
        failed = wslay_event_recv(context);
    }
    if (!wslay_event_get_read_enabled(context))
        (void)wslay_event_send(context);
    if (failed)
        oracle->end = 1002; /* of a header it just says that it is wrong */
    wslay_event_context_free(context);
    oracle_end(oracle);
}

static bool same_end(const struct listener *listener, const struct oracle *oracle)
{
    if (listener->end == oracle->end)
        return true;
    if (oracle->opcode != WSLAY_CONNECTION_CLOSE)
        return false;
    /* In a Close wslay calls a bad reason 1007, and says so before the frame is whole. */
    if (oracle->end == 1007 && (listener->end == 1002 || listener->end == 0))
        return true;
    /* These codes were registered later than its table is old. */
    return oracle->end == 1002 && listener->end <= -1012 && listener->end >= -1014;
}

/* The fuzzer's bytes as frames: which, how long, what. */
static void make_frames(struct dm_buf *out, const uint8_t *data, size_t size)
{
    while (size >= 2 && out->len < MOST_BYTES) {
        static const uint8_t mask[4] = {0x5a, 0, 0xc3, 0x11};
        uint8_t kind = data[0];
        size_t len = data[1] & 0x80 ? (size_t)(data[1] & 0x7f) * 8 : data[1];
        char head[10];
        size_t head_len = dm_frame_write_head(head, DM_OP_TEXT, len);
        data += 2, size -= 2;
        head[0] = (char)kind;
        head[1] = (char)(head[1] | 0x80);
        dm_buf_add(out, head, head_len);
        dm_buf_add(out, mask, sizeof mask);
        size_t given = len < size ? len : size;
        dm_buf_add(out, data, given);
        for (size_t i = given; i < len; i++)
            dm_buf_add_byte(out, 'a');
        dm_frame_mask(out->bytes + out->len - len, len, mask, 0);
        data += given, size -= given;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > MOST_BYTES)
        return 0;
    int flags = data[0];
    size_t count = data[1] % 16;
    if (size < 2 + count)
        return 0;
    const uint8_t *sizes = data + 2;
    struct dm_buf bytes = DM_BUF_INIT;
    if (flags & FLAG_FRAMES)
        make_frames(&bytes, sizes + count, size - 2 - count);
    else
        dm_buf_add(&bytes, sizes + count, size - 2 - count);
    struct listener whole, split;
    struct oracle oracle;
    listen_to(&whole, dm_buf_slice(&bytes), NULL, 0, 0);
    listen_to(&split, dm_buf_slice(&bytes), sizes, count, flags);
    DM_CHECK(whole.end == split.end);
    DM_CHECK(dm_slice_eq(dm_buf_slice(&whole.told), dm_buf_slice(&split.told)));
    ask_oracle(&oracle, dm_buf_slice(&bytes), whole.end == 1002 || whole.end == 1009);
    DM_CHECK(same_end(&whole, &oracle));
    DM_CHECK(dm_slice_eq(dm_buf_slice(&whole.told), dm_buf_slice(&oracle.told)));
    dm_buf_dispose(&bytes);
    dm_buf_dispose(&whole.told);
    dm_buf_dispose(&split.told);
    dm_buf_dispose(&oracle.told);
    return 0;
}
