/* WebSocket client sessions: connect, subscribe or resume, count and ack. */
#include "lib/session.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/frame.h"
#include "lib/http.h"
#include "lib/load.h"
#include "lib/owed.h"
#include "lib/rows.h"
#include "lib/sock.h"

void dm_user_name(uint32_t user, char out[DM_USER_NAME_LEN + 1])
{
    snprintf(out, DM_USER_NAME_LEN + 1, "user-%05u", (user + 1) % 100000);
}

enum { TOKEN_SECONDS = 3600 };

/* The floor takes the user's bare name where the server takes a token. */
static void write_handshake(struct dm_load *load, const struct dm_session *session)
{
    char name[DM_USER_NAME_LEN + 1], secret[DM_RESUME_SECRET_LEN + 1];
    struct dm_buf *text = &load->scratch;
    dm_user_name(session->user, name);
    dm_rows_secret(session->user, secret);
    dm_buf_clear(text);
    dm_buf_printf(text,
                  "GET /%s%s%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: ZG9ybW91c2UgYmVuY2hlcw==\r\n%sAuthorization: Bearer ",
                  load->path       ? load->path
                  : load->notifier ? "ws"
                                   : "",
                  load->resumes ? "?resume=" : "", load->resumes ? secret : "", load->target->port,
                  load->native ? "Sec-WebSocket-Protocol: dormouse.v1\r\n" : "");
    if (load->target->floor)
        dm_buf_add(text, name, DM_USER_NAME_LEN);
    else
        dm_token_mint(text, load->target->secret, name, load->endless ? 0 : TOKEN_SECONDS);
    dm_buf_lit(text, "\r\n\r\n");
}

int dm_session_connect(struct dm_load *load, uint32_t number)
{
    struct dm_session *session = &load->sessions[number];
    session->fd = dm_sock_begin_connect(load->target->port, number);
    if (session->fd < 0) {
        dm_load_fail(load, "session %u cannot connect: %s", number, strerror(errno));
        return -1;
    }
    session->connected = false;
    dm_load_watch_session(load, number, false);
    load->waiting++;
    return 0;
}

/* If it could not be connected, sending says why. */
void dm_session_connected(struct dm_load *load, uint32_t number)
{
    struct dm_session *session = &load->sessions[number];
    write_handshake(load, session);
    if (dm_sock_send_all(session->fd, load->scratch.bytes, load->scratch.len) != 0) {
        if (load->patient)
            dm_load_refused(load, number);
        else
            dm_load_fail(load, "session %u cannot send its handshake: %s", number, strerror(errno));
        return;
    }
    session->connected = true;
    dm_load_watch_session(load, number, true);
}

void dm_session_send(struct dm_load *load, struct dm_session *session, struct dm_slice text)
{
    dm_buf_clear(&load->scratch);
    dm_bench_frame_write(&load->scratch, text, dm_load_random(load, UINT32_MAX) | 1);
    if (dm_sock_send_all(session->fd, load->scratch.bytes, load->scratch.len) != 0)
        dm_load_fail(load, "a session cannot send: %s", strerror(errno));
}

/* How much of `bytes` the handshake's answer took; 0 while it is not all there. */
static size_t finish_handshake(struct dm_load *load, struct dm_session *session,
                               struct dm_slice bytes)
{
    struct dm_http_message answer;
    ssize_t size = dm_http_read(bytes, &answer);
    if (size == 0)
        return 0;
    if (size > 0 && dm_http_status(&answer) == 503 && load->patient) {
        dm_load_refused(load, (uint32_t)(session - load->sessions));
        return bytes.len;
    }
    if (size < 0 || dm_http_status(&answer) != 101) {
        dm_load_fail(load, "a handshake was refused: %.*s",
                     (int)(bytes.len < 160 ? bytes.len : 160), bytes.at);
        return 0;
    }
    session->upgraded = true;
    if (load->silent) {
        session->open = true;
        load->waiting--;
    } else if (load->notifier) {
        dm_session_send(load, session, DM_SLICE("{\"type\":\"ping\"}"));
    } else if (!load->native) {
        dm_session_send(load, session,
                        DM_SLICE("{\"type\":\"subscribe\",\"filters\":[{\"type\":\"message\"}]}"));
        dm_session_send(load, session, DM_SLICE("ping"));
    }
    return (size_t)size;
}

static void ack(struct dm_load *load, struct dm_session *session, struct dm_slice envelope)
{
    static const char key[] = "\"envelopeId\":\"", head[] = "{\"type\":\"ack\",\"envelopeId\":\"";
    enum { ID_LEN = 36 };
    const char *id = memmem(envelope.at, envelope.len, key, sizeof key - 1);
    if (!id || (size_t)(envelope.at + envelope.len - id) < sizeof key + ID_LEN) {
        dm_load_fail(load, "an envelope without an id");
        return;
    }
    char text[sizeof head + ID_LEN + sizeof "\",\"result\":\"ok\"}"];
    int len = snprintf(text, sizeof text, "%s%.*s\",\"result\":\"ok\"}", head, ID_LEN,
                       id + sizeof key - 1);
    dm_session_send(load, session, dm_slice(text, (size_t)len));
}

/* One that resumes has its filters; its first frame confirms the new secret. */
static bool take_welcome(struct dm_load *load, struct dm_session *session, struct dm_slice text)
{
    static const char back[] = "\"resumed\":true";
    if (!dm_slice_starts(text, DM_SLICE("{\"type\":\"welcome\",")) ||
        load->resumes != (memmem(text.at, text.len, back, sizeof back - 1) != NULL))
        return false;
    session->welcomed = true;
    load->welcomed_us = dm_clock_mono_us();
    if (++load->welcomes == (load->session_count + 1) / 2)
        load->welcomed_half_us = load->welcomed_us;
    dm_session_send(
        load, session,
        load->resumes
            ? DM_SLICE("{\"type\":\"ping\",\"ref\":1}")
            : DM_SLICE("{\"type\":\"subscribe\",\"ref\":1,\"filters\":" DM_ROWS_FILTERS "}"));
    return true;
}

/* What comes before the session is open; false: it should not have. */
static bool take_opening(struct dm_load *load, struct dm_session *session, struct dm_slice text)
{
    if (load->native && !session->welcomed)
        return take_welcome(load, session, text);
    session->open = dm_slice_eq(text, load->native     ? DM_SLICE("{\"type\":\"ok\",\"ref\":1}")
                                      : load->notifier ? DM_SLICE("{\"type\":\"pong\"}")
                                                       : DM_SLICE("pong"));
    load->waiting -= session->open;
    return session->open;
}

static bool is_envelope(struct dm_slice text)
{
    return dm_slice_starts(text, DM_SLICE("{\"envelopeId\":"));
}

static void take_text(struct dm_load *load, struct dm_session *session, struct dm_slice text,
                      size_t size)
{
    if (load->owed && dm_owed_take(load, session, text))
        return;
    if (!session->open && !is_envelope(text)) { /* one that was owed may come first */
        if (!take_opening(load, session, text))
            dm_load_fail(load, "a session that opens got: %.*s", (int)text.len, text.at);
        return;
    }
    if (load->on_answer && !is_envelope(text)) {
        load->on_answer(load, (uint32_t)(session - load->sessions), text);
        return;
    }
    session->frames++;
    load->frames++;
    load->frame_bytes += size;
    if (load->burst)
        dm_publisher_frame(load);
    if (load->acks)
        ack(load, session, text);
}

/* Handles the whole frames at the start of `bytes`; how many bytes they took. */
static size_t take_frames(struct dm_load *load, struct dm_session *session, char *bytes, size_t len)
{
    size_t at = 0;
    struct dm_bench_frame frame;
    for (ssize_t size; (size = dm_bench_frame_read(bytes + at, len - at, &frame)) != 0;) {
        if (size < 0 || frame.opcode != 1) {
            dm_load_fail(load, "a session got something that is no text frame (opcode %d)",
                         size < 0 ? -1 : frame.opcode);
            return len;
        }
        at += (size_t)size;
        take_text(load, session, dm_slice(frame.payload, frame.len), (size_t)size);
    }
    return at;
}

void dm_session_input(struct dm_load *load, uint32_t number, size_t len)
{
    struct dm_session *session = &load->sessions[number];
    char *bytes = load->input;
    bool gathered = session->rest.len > 0;
    size_t taken = 0;
    if (gathered) {
        dm_buf_add(&session->rest, bytes, len);
        bytes = session->rest.bytes;
        len = session->rest.len;
    }
    if (!session->upgraded)
        taken = finish_handshake(load, session, dm_slice(bytes, len));
    if (session->upgraded)
        taken += take_frames(load, session, bytes + taken, len - taken);
    if (gathered)
        dm_buf_consume(&session->rest, taken);
    else
        dm_buf_add(&session->rest, bytes + taken, len - taken);
    if (session->rest.len == 0)
        dm_buf_dispose(&session->rest);
}
