/* What the floor does for its keep: frames out on a POST, an answer on an ack. */
#include <stdio.h>
#include <stdlib.h>

#include "floor/floor.h"
#include "lib/frame.h"
#include "lib/http.h"
#include "lib/sock.h"

enum { ID_DIGITS = 12, FRAME_HEAD = 4 };

void floor_frame_init(struct floor *floor, size_t frame_len)
{
    static const char start[] = "{\"envelopeId\":\"00000000-0000-7000-8000-";
    static const char middle[] = "000000000000\",\"type\":\"message\",\"payload\":\"";
    static const char end[] = "\"}";
    struct dm_buf text = DM_BUF_INIT;
    dm_buf_add(&text, start, sizeof start - 1);
    dm_buf_add(&text, middle, sizeof middle - 1);
    DM_CHECK(frame_len >= 130 && frame_len > FRAME_HEAD + text.len + sizeof end);
    while (FRAME_HEAD + text.len + sizeof end - 1 < frame_len)
        dm_buf_add_byte(&text, 'x');
    dm_buf_add(&text, end, sizeof end - 1);
    dm_bench_frame_write(&floor->frame, dm_buf_slice(&text), 0);
    dm_buf_dispose(&text);
    DM_CHECK(floor->frame.len == frame_len);
    floor->id_at = FRAME_HEAD + sizeof start - 1;
}

static void number_frame(struct floor *floor)
{
    uint64_t number = ++floor->published;
    for (size_t i = ID_DIGITS; i-- > 0; number /= 10)
        floor->frame.bytes[floor->id_at + i] = (char)('0' + number % 10);
}

static int answer(int fd, const char *id, struct dm_slice results)
{
    char body[512], text[768];
    int len = snprintf(body, sizeof body,
                       "{\"envelopeId\":\"00000000-0000-7000-8000-%.12s\",\"clientCount\":1,"
                       "\"delivered\":1,\"results\":[%.*s]}",
                       id, (int)(results.len < 256 ? results.len : 256), results.at);
    len = snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n"
                   "content-type: application/json; charset=utf-8\r\n"
                   "access-control-allow-origin: *\r\n\r\n%s",
                   len, body);
    return dm_sock_send_all(fd, text, (size_t)len);
}

/* The number after `before`: a user's. -1: none. */
static long user_after(struct dm_slice text, struct dm_slice before)
{
    const char *at = text.len ? memmem(text.at, text.len, before.at, before.len) : NULL;
    long user = at ? strtol(at + before.len, NULL, 10) : -1;
    return user < FLOOR_USERS ? user : -1;
}

static int publish(struct floor *floor, int fd, struct dm_slice body)
{
    number_frame(floor);
    if (!floor->acks) {
        for (uint32_t i = 0; i < floor->session_count; i++)
            if (floor->sessions[i] >= 0 &&
                dm_sock_send_all(floor->sessions[i], floor->frame.bytes, floor->frame.len) != 0)
                return -1;
        return answer(fd, floor->frame.bytes + floor->id_at, DM_SLICE(""));
    }
    long user = user_after(body, DM_SLICE("\"userId\":\"user-"));
    if (user < 0 || floor->by_user[user] < 0 || floor->wait_count == FLOOR_WAITING)
        return -1;
    int session = floor->by_user[user];
    floor->waiting[floor->wait_count++] = (struct floor_wait){session, fd};
    return dm_sock_send_all(session, floor->frame.bytes, floor->frame.len);
}

static int begin_session(struct floor *floor, int fd, struct dm_slice head)
{
    static const char text[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\n\r\n";
    long user = user_after(head, DM_SLICE("Bearer user-"));
    if (user < 0 || floor->session_count == FLOOR_FDS)
        return -1;
    floor->conns[fd].session = true;
    floor->sessions[floor->session_count++] = fd;
    floor->by_user[user] = fd;
    return dm_sock_send_all(fd, text, sizeof text - 1);
}

ssize_t floor_take_request(struct floor *floor, int fd, char *bytes, size_t len)
{
    struct dm_http_message request;
    ssize_t size = dm_http_read(dm_slice(bytes, len), &request);
    if (size <= 0)
        return size;
    int err;
    if (dm_slice_starts(request.head, DM_SLICE("POST ")))
        err = publish(floor, fd, request.body);
    else if (memmem(request.head.at, request.head.len, "Upgrade: websocket", 18))
        err = begin_session(floor, fd, request.head);
    else
        err = answer(fd, "000000000000", DM_SLICE(""));
    return err ? -1 : size;
}

/* The publisher that has waited longest for this session; -1: none. */
static int next_waiting(struct floor *floor, int session)
{
    for (uint32_t i = 0; i < floor->wait_count; i++) {
        if (floor->waiting[i].session != session)
            continue;
        int publisher = floor->waiting[i].publisher;
        floor->wait_count--;
        memmove(floor->waiting + i, floor->waiting + i + 1,
                (floor->wait_count - i) * sizeof *floor->waiting);
        return publisher;
    }
    return -1;
}

ssize_t floor_take_frame(struct floor *floor, int fd, char *bytes, size_t len)
{
    static const char id_key[] = "\"envelopeId\":\"00000000-0000-7000-8000-", key[] = "\"result\":";
    static const char pong[] = "\x81\x04pong";
    struct dm_bench_frame frame;
    ssize_t size = dm_bench_frame_read(bytes, len, &frame);
    if (size <= 0)
        return size;
    if (dm_slice_eq(dm_slice(frame.payload, frame.len), DM_SLICE("ping")))
        return dm_sock_send_all(fd, pong, sizeof pong - 1) ? -1 : size;
    const char *result = memmem(frame.payload, frame.len, key, sizeof key - 1);
    const char *id = memmem(frame.payload, frame.len, id_key, sizeof id_key - 1);
    if (!result || !id)
        return size; /* a subscribe */
    result += sizeof key - 1;
    int publisher = next_waiting(floor, fd);
    size_t result_len = (size_t)(frame.payload + frame.len - 1 - result);
    if (publisher >= 0 && answer(publisher, id + sizeof id_key - 1, dm_slice(result, result_len)))
        return -1;
    return size;
}
