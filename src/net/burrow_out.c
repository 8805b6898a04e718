/*
 * Frames to bytes: what a turn has queued is written once a socket, and what
 * the kernel would not take waits as references to the shared frames.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/alloc.h"
#include "net/burrow_priv.h"

enum {
    SLOW_CLOSE = 4008,
    WRITTEN_AT_ONCE = 64,
    SORTED_FROM = 64,
    WRITTEN_A_TURN = 256, /* sockets: about a millisecond; then others have their turn */
    RUNS_MOST = 1 << 16,  /* more are not kept for sockets that are still to be written to; */
    RUNS_BYTES_MOST = 8 * 1024 * 1024, /* nor more of their frames */
};

void dm_sock_queue(struct dm_burrow *burrow, uint32_t sock, struct dm_wire *wire)
{
    struct dm_sock *record = dm_sock_at(burrow, sock);
    if (!record->turn)
        dm_sock_list_push(&burrow->dirty, sock);
    record->turn = dm_runs_add(&burrow->runs, record->turn, wire);
}

static void outq_make_room(struct dm_outq *out)
{
    if (out->end < out->room)
        return;
    uint32_t waiting = out->end - out->first;
    if (out->first > out->room / 2) {
        memmove(out->at, out->at + out->first, waiting * sizeof *out->at);
        out->first = 0;
        out->end = waiting;
        return;
    }
    out->room = out->room ? 2 * out->room : 4;
    out->at = dm_realloc(out->at, out->room * sizeof *out->at);
}

static void outq_add(struct dm_burrow *burrow, struct dm_outq *out, struct dm_unsent unsent)
{
    outq_make_room(out);
    dm_wire_retain(unsent.wire);
    out->at[out->end++] = unsent;
    out->bytes += unsent.to - unsent.from;
    dm_metrics_add(burrow->metrics, DM_METRIC_UNSENT_BYTES, unsent.to - unsent.from);
}

static void outq_forget(struct dm_burrow *burrow, struct dm_outq *out, uint64_t bytes)
{
    out->bytes -= bytes;
    dm_metrics_sub(burrow->metrics, DM_METRIC_UNSENT_BYTES, bytes);
}

static void outq_shift(struct dm_burrow *burrow, struct dm_outq *out)
{
    struct dm_unsent *first = &out->at[out->first++];
    outq_forget(burrow, out, first->to - first->from);
    dm_wire_release(first->wire);
    if (dm_outq_empty(out)) {
        free(out->at);
        *out = (struct dm_outq){0};
    }
}

void dm_sock_drop_output(struct dm_burrow *burrow, struct dm_sock_live *live)
{
    while (!dm_outq_empty(&live->out))
        outq_shift(burrow, &live->out);
}

uint64_t dm_burrow_unsent(struct dm_burrow *burrow, uint32_t sock)
{
    const struct dm_sock_live *live = dm_sock_live(burrow, sock);
    return live ? live->out.bytes : 0;
}

/* Where the frame ends in whose middle `at` is; `at` itself between two frames. */
static uint32_t frame_end(const struct dm_wire *wire, uint32_t at, uint32_t *frames)
{
    uint32_t end = 0;
    for (*frames = 0; end < at; ++*frames) {
        struct dm_frame_head head;
        DM_CHECK(dm_frame_read_head(wire->bytes + end, wire->len - end, false, &head) ==
                 DM_FRAME_WHOLE);
        end += head.size + (uint32_t)head.payload;
    }
    return end;
}

/* Drops all that waits but the frame that the kernel, or TLS, has a part of. */
static void outq_cut(struct dm_burrow *burrow, struct dm_sock_live *live)
{
    struct dm_unsent begun = live->out.at[live->out.first];
    struct dm_line line = dm_sock_line(burrow, live->sock);
    uint32_t at = begun.from + (uint32_t)dm_line_begun(line, begun.to - begun.from);
    begun.to = at ? frame_end(begun.wire, at, &begun.frames) : 0;
    dm_wire_retain(begun.wire);
    dm_sock_drop_output(burrow, live);
    if (begun.to > begun.from)
        outq_add(burrow, &live->out, begun);
    dm_wire_release(begun.wire);
}

static void close_slow(struct dm_burrow *burrow, uint32_t sock, struct dm_sock_live *live)
{
    struct dm_wire *wire = dm_wire_create_close(SLOW_CLOSE, DM_NO_SLICE);
    outq_cut(burrow, live);
    outq_add(burrow, &live->out, (struct dm_unsent){wire, 0, wire->len, 1});
    dm_wire_release(wire);
    dm_burrow_tell_later(burrow, sock, DM_BURROW_SLOW, SLOW_CLOSE);
    dm_sock_linger(burrow, sock);
}

/* A queue of many small frames costs more than their bytes. */
static bool is_slow(const struct dm_burrow *burrow, const struct dm_outq *out)
{
    uint64_t records = (uint64_t)(out->end - out->first) * sizeof *out->at;
    return out->bytes > burrow->options.max_unsent || records > burrow->options.max_unsent;
}

static bool is_later(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR || error == ENOBUFS ||
           error == ENOMEM;
}

/* Nothing more can be written. Reading says the rest: what the peer sent before is still handled,
 * and its end of file ends the socket. */
static void give_up_writing(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (dm_sock_life(burrow, sock) == DM_SOCK_LINGERING) {
        dm_sock_finish(burrow, sock);
        return;
    }
    if (live)
        dm_sock_drop_output(burrow, live);
    shutdown(dm_sock_at(burrow, sock)->fd, SHUT_RDWR);
    dm_sock_settle(burrow, sock);
}

static void count_written(struct dm_burrow *burrow, struct dm_outq *out, size_t written)
{
    while (written) {
        struct dm_unsent *first = &out->at[out->first];
        size_t left = first->to - first->from;
        if (written < left) {
            first->from += (uint32_t)written;
            outq_forget(burrow, out, written);
            return;
        }
        written -= left;
        dm_metrics_add(burrow->metrics, DM_METRIC_FRAMES_OUT, first->frames);
        outq_shift(burrow, out);
    }
}

void dm_sock_write_unsent(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (!live || dm_outq_empty(&live->out))
        return;
    struct dm_outq *out = &live->out;
    struct iovec parts[WRITTEN_AT_ONCE];
    size_t count = 0;
    for (uint32_t i = out->first; i < out->end && count < WRITTEN_AT_ONCE; i++, count++)
        parts[count] = (struct iovec){out->at[i].wire->bytes + out->at[i].from,
                                      out->at[i].to - out->at[i].from};
    ssize_t written = dm_line_send_parts(dm_sock_line(burrow, sock), parts, count);
    if (written < 0 && !is_later(errno)) {
        give_up_writing(burrow, sock);
        return;
    }
    if (written > 0) {
        dm_metrics_add(burrow->metrics, DM_METRIC_WRITES_OUT, 1);
        count_written(burrow, out, (size_t)written);
    }
    if (live->pong && dm_outq_empty(out)) {
        dm_sock_queue(burrow, sock, live->pong);
        dm_wire_release(live->pong);
        live->pong = NULL;
    }
    dm_sock_settle(burrow, sock);
}

/* The segments of `run`, the last one first. */
static uint32_t list_segments(struct dm_burrow *burrow, uint32_t run)
{
    burrow->segments.count = 0;
    for (; run; run = dm_run_before(&burrow->runs, run))
        dm_sock_list_push(&burrow->segments, run);
    return burrow->segments.count;
}

/* Sends one segment, or queues what the kernel does not take of it. Returns -1 when the socket is
 * broken. */
static int write_segment(struct dm_burrow *burrow, uint32_t sock, uint32_t segment)
{
    const struct dm_sock *record = dm_sock_at(burrow, sock);
    struct dm_wire *wire = dm_run_bytes(&burrow->runs, segment);
    uint32_t frames = dm_run_frames(&burrow->runs, segment), from = 0;
    if (!record->live || dm_outq_empty(&dm_sock_live(burrow, sock)->out)) {
        ssize_t written = dm_line_send(dm_sock_line(burrow, sock), wire->bytes, wire->len);
        if (written < 0 && !is_later(errno))
            return -1;
        if (written > 0) {
            dm_metrics_add(burrow->metrics, DM_METRIC_WRITES_OUT, 1);
            from = (uint32_t)written;
        }
        if (from == wire->len) {
            dm_metrics_add(burrow->metrics, DM_METRIC_FRAMES_OUT, frames);
            return 0;
        }
    }
    struct dm_sock_live *live = dm_sock_need_live(burrow, sock);
    outq_add(burrow, &live->out, (struct dm_unsent){wire, from, wire->len, frames});
    return 0;
}

/* The answer to the last of too many Pings, behind all else of this turn. */
static uint32_t add_pong(struct dm_burrow *burrow, struct dm_sock_live *live, uint32_t run)
{
    run = dm_runs_add(&burrow->runs, run, live->pong);
    dm_wire_release(live->pong);
    live->pong = NULL;
    return run;
}

static void count_users(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock *record = dm_sock_at(burrow, sock);
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (live && live->pong && dm_outq_empty(&live->out))
        record->turn = add_pong(burrow, live, record->turn);
    for (uint32_t run = record->turn; run; run = dm_run_before(&burrow->runs, run))
        dm_run_count_user(&burrow->runs, run);
}

static void write_turn(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock *record = dm_sock_at(burrow, sock);
    uint32_t segments = list_segments(burrow, record->turn);
    bool gone = dm_sock_life(burrow, sock) == DM_SOCK_GONE, broken = false;
    record->turn = 0;
    for (uint32_t i = segments; i-- > 0;) {
        uint32_t segment = burrow->segments.at[i];
        if (!gone && !broken)
            broken = write_segment(burrow, sock, segment) != 0;
        dm_run_done(&burrow->runs, segment);
    }
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (gone)
        return;
    if (broken) {
        give_up_writing(burrow, sock);
        return;
    }
    if (!live)
        return; /* nothing waits, so nothing has changed */
    if (dm_sock_life(burrow, sock) == DM_SOCK_OPEN && is_slow(burrow, &live->out))
        close_slow(burrow, sock, live);
    dm_sock_settle(burrow, sock);
}

static int by_number(const void *left, const void *right)
{
    uint32_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

/* Many sockets in the order of their numbers: then the kernel's own records of them, and ours, come
 * as they lie in memory. In the order of a channel's members the same sends cost 1.4 times as much.
 */
static void put_in_order(struct dm_sock_list *list)
{
    if (list->count >= SORTED_FROM)
        qsort(list->at, list->count, sizeof *list->at, by_number);
}

/* The next so many of those that are being written. */
static void write_some(struct dm_burrow *burrow, uint32_t most)
{
    uint32_t left = burrow->writing.count - burrow->written, count = left < most ? left : most;
    const uint32_t *socks = burrow->writing.at + burrow->written;
    for (uint32_t i = 0; i < count; i++)
        count_users(burrow, socks[i]);
    for (uint32_t i = 0; i < count; i++)
        write_turn(burrow, socks[i]);
    burrow->written += count;
}

bool dm_burrow_writes(const struct dm_burrow *burrow)
{
    return burrow->dirty.count || burrow->written < burrow->writing.count;
}

/* Those that became dirty meanwhile come after all that are being written: nobody waits for ever.
 */
static void take_dirty(struct dm_burrow *burrow)
{
    struct dm_sock_list empty = burrow->writing;
    burrow->writing = burrow->dirty;
    burrow->dirty = empty;
    burrow->dirty.count = burrow->written = 0;
    put_in_order(&burrow->writing);
}

void dm_burrow_write(struct dm_burrow *burrow)
{
    bool overdue = burrow->runs.count > RUNS_MOST || burrow->runs.bytes > RUNS_BYTES_MOST;
    uint32_t left = overdue ? UINT32_MAX : WRITTEN_A_TURN;
    while (left && dm_burrow_writes(burrow)) {
        if (burrow->written == burrow->writing.count)
            take_dirty(burrow);
        uint32_t before = burrow->written;
        write_some(burrow, left);
        left -= burrow->written - before;
    }
    if (!dm_burrow_writes(burrow))
        dm_runs_clear(&burrow->runs);
}
