/*
 * Bytes to messages: whole frames in place, the rest through a gather. What
 * cannot be handled yet stays with the socket's live part.
 */
#include <errno.h>
#include <stdlib.h>

#include "codec/utf8.h"
#include "net/burrow_priv.h"

enum {
    PROTOCOL_ERROR = 1002,
    BAD_TEXT = 1007,
    TOO_BIG = 1009,
    MOST_PONGS = 32, /* answered one by one in one go; of more Pings only the last is */
};

/* Bytes at hand: at[..len) are still to be handled. Frames are unmasked in place. */
struct input {
    char *bytes;
    size_t at, len;
    struct dm_buf owned; /* where they are, if that is not the burrow's buffer */
    uint32_t pongs;
};

static void fail(struct dm_burrow *burrow, uint32_t sock, int code)
{
    struct dm_wire *wire = dm_wire_create_close(code, DM_NO_SLICE);
    dm_sock_queue(burrow, sock, wire);
    dm_wire_release(wire);
    dm_sock_linger(burrow, sock);
    dm_sock_live(burrow, sock)->deaf = true;
    dm_burrow_tell(burrow, dm_sock_at(burrow, sock)->owner, DM_BURROW_PROTOCOL, code);
}

/* RFC 6455 section 5.5.1: answered with its own code, or with none where it had none. */
static void take_close(struct dm_burrow *burrow, uint32_t sock, struct dm_slice payload)
{
    int code = 0;
    if (payload.len) {
        const unsigned char *at = (const unsigned char *)payload.at;
        if (payload.len >= 2)
            code = at[0] << 8 | at[1];
        if (payload.len < 2 || !dm_close_code_valid((unsigned)code) ||
            !dm_utf8_valid(dm_slice_from(payload, 2))) {
            fail(burrow, sock, PROTOCOL_ERROR);
            return;
        }
    }
    struct dm_wire *wire =
        code ? dm_wire_create_close(code, DM_NO_SLICE) : dm_wire_create(DM_OP_CLOSE, DM_NO_SLICE);
    dm_sock_queue(burrow, sock, wire);
    dm_wire_release(wire);
    dm_sock_linger(burrow, sock);
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    live->deaf = live->peer_closed = true;
    dm_burrow_tell(burrow, dm_sock_at(burrow, sock)->owner, DM_BURROW_BY_PEER, code);
}

/* A peer that pings without end and does not read costs one Pong's memory (section 5.5.3 allows
 * to answer only the latest). */
static void take_ping(struct dm_burrow *burrow, uint32_t sock, struct input *in,
                      struct dm_slice payload)
{
    struct dm_wire *pong = dm_wire_create(DM_OP_PONG, payload);
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    bool blocked = live && !dm_outq_empty(&live->out);
    if (!blocked && in->pongs < MOST_PONGS) {
        in->pongs++;
        dm_sock_queue(burrow, sock, pong);
        dm_wire_release(pong);
        return;
    }
    live = dm_sock_need_live(burrow, sock);
    dm_wire_release(live->pong);
    live->pong = pong;
}

static void take_control(struct dm_burrow *burrow, uint32_t sock, struct input *in, uint8_t opcode,
                         struct dm_slice payload)
{
    if (opcode == DM_OP_CLOSE)
        take_close(burrow, sock, payload);
    else if (opcode == DM_OP_PING)
        take_ping(burrow, sock, in, payload);
}

/* Returns true when the owner wants it again. */
static bool offer(struct dm_burrow *burrow, uint32_t sock, uint8_t opcode, struct dm_slice message)
{
    struct dm_offer here = {sock, false, burrow->offers};
    burrow->offers = &here;
    enum dm_burrow_answer answer = burrow->events.message(
        burrow->events.self, dm_sock_at(burrow, sock)->owner, opcode, message);
    burrow->offers = here.outer;
    if (answer != DM_BURROW_HOLD || dm_sock_life(burrow, sock) != DM_SOCK_OPEN)
        return false;
    dm_sock_need_live(burrow, sock)->opcode = opcode;
    dm_sock_flag(burrow, sock, DM_SOCK_HELD, true);
    if (here.resumed)
        dm_sock_mark_resumed(burrow, sock);
    return true;
}

static void take_whole(struct dm_burrow *burrow, uint32_t sock, uint8_t opcode,
                       struct dm_slice message)
{
    if (opcode == DM_OP_TEXT && !dm_utf8_valid(message)) {
        fail(burrow, sock, BAD_TEXT);
        return;
    }
    dm_metrics_add(burrow->metrics, DM_METRIC_FRAMES_IN, 1);
    if (!offer(burrow, sock, opcode, message))
        return;
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    dm_buf_reserve(&live->message, message.len);
    dm_buf_add_slice(&live->message, message);
}

static void take_gathered(struct dm_burrow *burrow, uint32_t sock, struct dm_sock_live *live)
{
    uint8_t opcode = (uint8_t)dm_gather_opcode(live->gather);
    live->message = dm_gather_take_message(live->gather);
    dm_buf_reserve(&live->message, 0); /* an empty message is not an absent one */
    dm_gather_destroy(&live->gather);
    dm_metrics_add(burrow->metrics, DM_METRIC_FRAMES_IN, 1);
    if (!offer(burrow, sock, opcode, dm_buf_slice(&live->message)))
        dm_buf_dispose(&live->message);
}

/* The next bytes of the data frame that is coming in part. */
static void feed(struct dm_burrow *burrow, uint32_t sock, struct dm_sock_live *live,
                 struct input *in)
{
    size_t len = in->len - in->at;
    if (len > live->frame_left)
        len = (size_t)live->frame_left;
    int wrong = dm_gather_feed(live->gather, in->bytes + in->at, len);
    in->at += len;
    live->frame_left -= len;
    if (wrong)
        fail(burrow, sock, wrong);
    else if (dm_gather_done(live->gather))
        take_gathered(burrow, sock, live);
}

static void take_data(struct dm_burrow *burrow, uint32_t sock, struct input *in,
                      const struct dm_frame_head *head)
{
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    struct dm_gather *gather = live ? live->gather : NULL;
    char *payload = in->bytes + in->at + head->size;
    if ((head->opcode == DM_OP_CONTINUATION) != (gather != NULL)) {
        fail(burrow, sock, PROTOCOL_ERROR);
        return;
    }
    uint64_t gathered = gather ? dm_gather_len(gather) : 0;
    if (head->payload > burrow->options.max_message - gathered) {
        fail(burrow, sock, TOO_BIG);
        return;
    }
    if (head->fin && !gather && head->payload <= in->len - in->at - head->size) {
        size_t len = (size_t)head->payload;
        if (head->masked)
            dm_frame_mask(payload, len, head->mask, 0);
        in->at += head->size + len;
        take_whole(burrow, sock, head->opcode, dm_slice(payload, len));
        return;
    }
    live = dm_sock_need_live(burrow, sock);
    if (!gather)
        live->gather = dm_gather_create(head->opcode, burrow->options.from_clients,
                                        burrow->options.max_message);
    live->frame_left = head->size + head->payload;
    feed(burrow, sock, live, in);
}

/* One frame, or what is there of it. Returns false when more must come first. */
static bool take_frame(struct dm_burrow *burrow, uint32_t sock, struct input *in)
{
    struct dm_frame_head head;
    size_t len = in->len - in->at;
    enum dm_frame_state state =
        dm_frame_read_head(in->bytes + in->at, len, burrow->options.from_clients, &head);
    if (state == DM_FRAME_PARTIAL)
        return false;
    if (state == DM_FRAME_INVALID) {
        fail(burrow, sock, PROTOCOL_ERROR);
    } else if (!dm_opcode_is_control(head.opcode)) {
        take_data(burrow, sock, in, &head);
    } else {
        if (len - head.size < head.payload)
            return false;
        struct dm_slice payload = {in->bytes + in->at + head.size, (size_t)head.payload};
        if (head.masked)
            dm_frame_mask(in->bytes + in->at + head.size, payload.len, head.mask, 0);
        in->at += head.size + payload.len;
        take_control(burrow, sock, in, head.opcode, payload);
    }
    return true;
}

/* Lingering: nothing counts any more but the peer's Close. */
static bool skip_frame(struct dm_burrow *burrow, struct dm_sock_live *live, struct input *in)
{
    size_t len = in->len - in->at;
    if (!live->frame_left && !live->deaf) {
        struct dm_frame_head head;
        enum dm_frame_state state =
            dm_frame_read_head(in->bytes + in->at, len, burrow->options.from_clients, &head);
        if (state == DM_FRAME_PARTIAL)
            return false;
        live->peer_closed = state == DM_FRAME_WHOLE && head.opcode == DM_OP_CLOSE;
        live->deaf = live->peer_closed || state == DM_FRAME_INVALID;
        if (!live->deaf)
            live->frame_left = head.size + head.payload;
    }
    if (!live->deaf && len > live->frame_left)
        len = (size_t)live->frame_left;
    in->at += len;
    live->frame_left -= live->deaf ? live->frame_left : len;
    return true;
}

/* Keeps what could not be handled. While the socket is held, bytes that are its own already stay
 * where they are, so that holding again and again copies nothing. */
static void keep(struct dm_burrow *burrow, uint32_t sock, struct input *in)
{
    size_t left = in->len - in->at;
    if (left && in->owned.bytes && dm_sock_held(burrow, sock)) {
        struct dm_sock_live *live = dm_sock_live(burrow, sock);
        live->rest = in->owned;
        live->rest_at = in->at;
        return;
    }
    if (left)
        dm_buf_add(&dm_sock_need_live(burrow, sock)->rest, in->bytes + in->at, left);
    dm_buf_dispose(&in->owned);
}

static void handle(struct dm_burrow *burrow, uint32_t sock, struct input *in)
{
    bool more = true;
    while (more && in->at < in->len && !dm_sock_held(burrow, sock)) {
        struct dm_sock_live *live = dm_sock_live(burrow, sock);
        if (dm_sock_life(burrow, sock) == DM_SOCK_LINGERING)
            more = skip_frame(burrow, live, in);
        else if (live && live->frame_left)
            feed(burrow, sock, live, in);
        else
            more = take_frame(burrow, sock, in);
    }
    keep(burrow, sock, in);
    dm_sock_settle(burrow, sock);
}

/* Puts what had come in part in front of what comes now. */
static size_t restore_rest(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (!live || !live->rest.bytes)
        return 0;
    size_t len = live->rest.len - live->rest_at;
    DM_CHECK(len <= DM_BURROW_FRONT);
    memcpy(burrow->buffer + DM_BURROW_FRONT - len, live->rest.bytes + live->rest_at, len);
    dm_buf_dispose(&live->rest);
    return len;
}

void dm_sock_read(struct dm_burrow *burrow, uint32_t sock)
{
    if (dm_sock_held(burrow, sock)) {
        dm_sock_mute(burrow, sock);
        return;
    }
    ssize_t len =
        dm_line_recv(dm_sock_line(burrow, sock), burrow->buffer + DM_BURROW_FRONT, DM_BURROW_READ);
    if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (len <= 0) {
        dm_sock_drop(burrow, sock);
        return;
    }
    size_t before = restore_rest(burrow, sock);
    struct input in = {.bytes = burrow->buffer + DM_BURROW_FRONT - before,
                       .len = before + (size_t)len};
    handle(burrow, sock, &in);
}

void dm_sock_take_early(struct dm_burrow *burrow, uint32_t sock, struct dm_slice early)
{
    struct input in = {.len = early.len};
    dm_buf_add_slice(&in.owned, early);
    in.bytes = in.owned.bytes;
    handle(burrow, sock, &in);
}

void dm_sock_offer_held(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    dm_sock_flag(burrow, sock, DM_SOCK_HELD, false);
    if (dm_sock_life(burrow, sock) == DM_SOCK_OPEN &&
        offer(burrow, sock, live->opcode, dm_buf_slice(&live->message)))
        return;
    dm_buf_dispose(&live->message);
    struct input in = {
        .bytes = live->rest.bytes, .at = live->rest_at, .len = live->rest.len, .owned = live->rest};
    live->rest = DM_BUF_INIT;
    live->rest_at = 0;
    handle(burrow, sock, &in);
}
