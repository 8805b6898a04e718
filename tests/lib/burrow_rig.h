/*
 * A burrow with one peer or many at the other ends of real sockets. What the
 * burrow tells its owner, and what a peer gets, are written down as lines of
 * text, so that a test compares whole stories:
 *
 *   owner:  "1 text hello\n" "1 binary #70000 1a2b3c4d\n" "1 end by-peer 1000\n"
 *   peer:   "text hello\n" "pong x\n" "close 1000\n" "eof\n" ("reset\n")
 */
#ifndef DM_TESTS_LIB_BURROW_RIG_H
#define DM_TESTS_LIB_BURROW_RIG_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "net/burrow.h"

struct rig {
    struct dm_burrow *burrow;
    struct dm_metrics metrics;
    struct dm_buf told;
    /* What the owner does with a message; NULL takes it. Called after it is written down. */
    enum dm_burrow_answer (*on_message)(struct rig *rig, uint32_t owner, struct dm_slice message);
    void (*on_closed)(struct rig *rig, uint32_t owner);
    uint32_t socks[8], calls; /* for the hooks' use */
    int hold;                 /* that many messages are answered with HOLD */
};

static inline void rig_write_down(struct dm_buf *out, const char *what, struct dm_slice bytes)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.at[i]) * 16777619u;
    dm_buf_printf(out, "%s", what);
    if (bytes.len > 60)
        dm_buf_printf(out, " #%zu %08x\n", bytes.len, hash);
    else
        dm_buf_printf(out, bytes.len ? " %.*s\n" : "\n", (int)bytes.len, bytes.at);
}

static inline enum dm_burrow_answer rig_message(void *self, uint32_t owner, enum dm_opcode opcode,
                                                struct dm_slice message)
{
    struct rig *rig = self;
    DM_CHECK(message.at);
    dm_buf_printf(&rig->told, "%u ", owner);
    rig_write_down(&rig->told, opcode == DM_OP_TEXT ? "text" : "binary", message);
    rig->calls++;
    if (rig->on_message)
        return rig->on_message(rig, owner, message);
    return rig->hold > 0 && rig->hold-- ? DM_BURROW_HOLD : DM_BURROW_TAKEN;
}

static inline void rig_closed(void *self, uint32_t owner, enum dm_burrow_end how, int code)
{
    static const char *const names[] = {"by-peer", "dropped", "protocol", "slow"};
    struct rig *rig = self;
    dm_buf_printf(&rig->told, "%u end %s %d\n", owner, names[how], code);
    if (rig->on_closed)
        rig->on_closed(rig, owner);
}

static inline void rig_init_with(struct rig *rig, struct dm_burrow_options options)
{
    *rig = (struct rig){.hold = 0};
    struct dm_burrow_events events = {rig, rig_message, rig_closed};
    rig->burrow = dm_burrow_create(&options, &events, &rig->metrics);
}

static inline void rig_init(struct rig *rig)
{
    rig_init_with(rig, (struct dm_burrow_options){.max_message = 1 << 20,
                                                  .max_unsent = 1 << 20,
                                                  .linger_ms = 1000,
                                                  .from_clients = true});
}

static inline uint64_t rig_metric(struct rig *rig, enum dm_metric id)
{
    return rig->metrics.values[id];
}

static inline void rig_dispose(struct rig *rig)
{
    dm_burrow_destroy(&rig->burrow);
    DM_CHECK(rig_metric(rig, DM_METRIC_UNSENT_BYTES) == 0);
    dm_buf_dispose(&rig->told);
}

static inline void rig_pair(int ends[2])
{
    DM_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    DM_CHECK(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
}

static inline void rig_tcp_pair(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    DM_CHECK(bind(listener, (struct sockaddr *)&at, len) == 0 && listen(listener, 1) == 0);
    DM_CHECK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    DM_CHECK(connect(ends[1], (struct sockaddr *)&at, len) == 0);
    ends[0] = accept(listener, NULL, NULL);
    DM_CHECK(ends[0] >= 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    DM_CHECK(setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    DM_CHECK(setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    close(listener);
}

/* Adopts one end and starts it for `owner`; returns the socket's number, and the peer's end. */
static inline uint32_t rig_open_on(struct rig *rig, uint32_t owner, const int ends[2],
                                   struct dm_slice early, int *peer)
{
    uint32_t sock = dm_burrow_adopt(rig->burrow, ends[0]);
    dm_burrow_start(rig->burrow, sock, owner, early);
    *peer = ends[1];
    return sock;
}

static inline uint32_t rig_open(struct rig *rig, uint32_t owner, int *peer)
{
    int ends[2];
    rig_pair(ends);
    return rig_open_on(rig, owner, ends, DM_NO_SLICE, peer);
}

static inline bool rig_is_ready(struct rig *rig)
{
    struct pollfd wait = {.fd = dm_burrow_fd(rig->burrow), .events = POLLIN};
    return poll(&wait, 1, 0) == 1;
}

/* Turns of a loop until there is nothing more to do; returns how many woke it. */
static inline int rig_run(struct rig *rig)
{
    int turns = 0;
    dm_burrow_flush(rig->burrow);
    for (; rig_is_ready(rig) && turns < 10000; turns++) {
        dm_burrow_ready(rig->burrow);
        dm_burrow_flush(rig->burrow);
    }
    return turns;
}

/* One frame as a client sends it. The mask is neither 0 nor the same for every frame. */
static inline void rig_frame(struct dm_buf *out, bool fin, unsigned opcode, struct dm_slice payload)
{
    char head[14];
    size_t len = dm_frame_write_head(head, DM_OP_TEXT, payload.len);
    uint8_t mask[4] = {0xa1, (uint8_t)(out->len + 1), 0x3c, 0x77};
    head[0] = (char)((fin ? 0x80 : 0) | opcode);
    head[1] = (char)(head[1] | 0x80);
    memcpy(head + len, mask, 4);
    dm_buf_add(out, head, len + 4);
    dm_buf_add_slice(out, payload);
    if (payload.len)
        dm_frame_mask(out->bytes + out->len - payload.len, payload.len, mask, 0);
}

static inline void rig_text(struct dm_buf *out, const char *text)
{
    rig_frame(out, true, DM_OP_TEXT, dm_slice_of(text));
}

static inline void rig_close_frame(struct dm_buf *out, int code, const char *reason)
{
    char payload[125] = {(char)(code >> 8), (char)code};
    memcpy(payload + 2, reason, strlen(reason));
    rig_frame(out, true, DM_OP_CLOSE, dm_slice(payload, 2 + strlen(reason)));
}

/* Sends all of it, turning the loop whenever the kernel's buffer is full; false when that does not
 * help. */
static inline bool rig_push(struct rig *rig, int peer, struct dm_slice bytes)
{
    int stuck = 0;
    while (bytes.len && stuck < 3) {
        ssize_t sent = send(peer, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        stuck = sent > 0 ? 0 : stuck + 1;
        if (sent > 0)
            bytes = dm_slice_from(bytes, (size_t)sent);
        else
            rig_run(rig);
    }
    rig_run(rig);
    return !bytes.len;
}

static inline bool rig_push_buf(struct rig *rig, int peer, struct dm_buf *buf)
{
    bool all = rig_push(rig, peer, dm_buf_slice(buf));
    dm_buf_dispose(buf);
    return all;
}

/* Reads until there is nothing more; says how the stream ended, if it did. */
static inline const char *rig_drain(int peer, struct dm_buf *raw)
{
    for (;;) {
        ssize_t len = recv(peer, dm_buf_reserve(raw, 65536), 65536, MSG_DONTWAIT);
        if (len <= 0)
            return len == 0 ? "eof\n" : errno == EAGAIN ? "" : "reset\n";
        raw->len += (size_t)len;
    }
}

static inline void rig_tell_frames(struct dm_buf *story, struct dm_slice raw)
{
    static const char *const names[] = {
        "continuation", "text", "binary", [8] = "close", "ping", "pong"};
    while (raw.len) {
        struct dm_frame_head head;
        if (dm_frame_read_head(raw.at, raw.len, false, &head) != DM_FRAME_WHOLE ||
            head.payload > raw.len - head.size) {
            dm_buf_printf(story, "part of %zu\n", raw.len);
            return;
        }
        struct dm_slice payload = {raw.at + head.size, (size_t)head.payload};
        const unsigned char *at = (const unsigned char *)payload.at;
        if (head.opcode == DM_OP_CLOSE && payload.len >= 2)
            dm_buf_printf(story, "close %d%.*s\n", at[0] << 8 | at[1], (int)payload.len - 2,
                          payload.at + 2);
        else
            rig_write_down(story, names[head.opcode], payload);
        raw = dm_slice_from(raw, head.size + payload.len);
    }
}

/* All that the peer got, told; turns the loop meanwhile. Free the text with free(). */
static inline char *rig_story(struct rig *rig, int peer)
{
    struct dm_buf raw = DM_BUF_INIT, story = DM_BUF_INIT;
    const char *end;
    size_t before;
    do {
        before = raw.len;
        rig_run(rig);
        end = rig_drain(peer, &raw);
    } while (raw.len > before && !*end);
    rig_tell_frames(&story, dm_buf_slice(&raw));
    dm_buf_printf(&story, "%s", end);
    dm_buf_text(&story);
    dm_buf_dispose(&raw);
    return story.bytes;
}

static inline char *rig_told(struct rig *rig)
{
    char *text = dm_strndup(rig->told.bytes ? rig->told.bytes : "", rig->told.len);
    dm_buf_clear(&rig->told);
    return text;
}

#define rig_expect(got, expected)                                                                  \
    do {                                                                                           \
        char *rig_text_got = (got);                                                                \
        assert_string_equal(rig_text_got, (expected));                                             \
        free(rig_text_got);                                                                        \
    } while (0)

static inline void rig_send(struct rig *rig, uint32_t sock, const char *text)
{
    struct dm_wire *wire = dm_wire_create(DM_OP_TEXT, dm_slice_of(text));
    dm_burrow_send(rig->burrow, sock, wire);
    dm_wire_release(wire);
}

#endif
