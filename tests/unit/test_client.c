/* The command line's client against a scripted peer on a real socket. */
#include "lib/peer.h"

#include "net/client.h"

struct session {
    struct peer peer;
    struct dm_client *client;
    struct dm_client_answer answer;
    struct dm_buf why;
    bool ok;
};

static void begin(struct session *session, struct dm_slice answer, bool drip, bool hold)
{
    *session = (struct session){.peer = {.answer = answer, .drip = drip, .hold = hold}};
    peer_start(&session->peer);
    session->client = dm_client_connect(session->peer.url, "/publish", 300, &session->why);
    assert_non_null(session->client);
}

/* Only now may what the peer got be looked at: its thread has ended. */
static void hang_up(struct session *session)
{
    dm_client_destroy(&session->client);
    assert_null(session->client);
    peer_join(&session->peer);
}

static void put_away(struct session *session)
{
    peer_dispose(&session->peer);
    dm_buf_dispose(&session->why);
}

static void end(struct session *session)
{
    hang_up(session);
    put_away(session);
}

static void post(struct session *session, struct dm_slice answer, bool drip, bool hold)
{
    begin(session, answer, drip, hold);
    session->ok = dm_client_post(session->client, DM_SLICE("tok"), DM_SLICE("{\"a\":1}"),
                                 &session->answer, &session->why);
}

static void expect_post(struct dm_slice answer, bool hold, int status, const char *body)
{
    for (int drip = 0; drip < 2; drip++) {
        struct session session;
        post(&session, answer, drip, hold);
        assert_string_equal(dm_buf_text(&session.why), "");
        assert_true(session.ok);
        assert_int_equal(session.answer.status, status);
        assert_true(dm_slice_eq(session.answer.body, dm_slice_of(body)));
        end(&session);
    }
}

static void expect_no_answer(struct dm_slice answer, bool hold, const char *error)
{
    struct session session;
    post(&session, answer, false, hold);
    assert_false(session.ok);
    assert_string_equal(dm_buf_text(&session.why), error);
    end(&session);
}

static void a_request_is_plain_http(void **state)
{
    (void)state;
    struct session session;
    char expected[512];
    post(&session, DM_SLICE("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"), false, false);
    assert_true(session.ok);
    hang_up(&session);
    snprintf(expected, sizeof expected,
             "POST /publish HTTP/1.1\r\nHost: %s\r\nUser-Agent: dormouse/" DM_VERSION "\r\n"
             "Authorization: Bearer tok\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
             "Connection: close\r\n\r\n{\"a\":1}",
             session.peer.url + 7);
    assert_string_equal(dm_buf_text(&session.peer.got), expected);
    put_away(&session);
}

static void answers_are_read_whole(void **state)
{
    (void)state;
    expect_post(DM_SLICE("HTTP/1.1 200 OK\r\ncontent-LENGTH:  4 \r\nx: y\r\n\r\n{ }\nrest"), true,
                200, "{ }\n");
    expect_post(DM_SLICE("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), true, 401, "");
    expect_post(DM_SLICE("HTTP/1.0 503 x\r\n\r\nto the end"), false, 503, "to the end");
}

static void bad_answers_are_named(void **state)
{
    (void)state;
    expect_no_answer(DM_SLICE("SSH-2.0-x\r\n\r\n"), false, "the answer is not HTTP");
    expect_no_answer(DM_SLICE("HTTP/1.1 2x0 OK\r\n\r\n"), false, "the answer is not HTTP");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), false,
                     "the answer is not HTTP");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 4x\r\n\r\n1234"), false,
                     "the answer is not HTTP");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n"), false,
                     "the answer is not HTTP");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551620\r\n\r\n"),
                     false, "the answer is not HTTP");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
                     false, "the answer is chunked, which this client does not read");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12"), false,
                     "the connection ended: the server closed it");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\n"), true, "no answer in time");
    expect_no_answer(DM_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12"), true,
                     "no whole answer in time");
    struct dm_buf huge = DM_BUF_INIT;
    dm_buf_lit(&huge, "HTTP/1.1 200 OK\r\nx: ");
    memset(dm_buf_reserve(&huge, 300000), 'x', 300000);
    huge.len += 300000;
    expect_no_answer(dm_buf_slice(&huge), false, "the answer's header is too large");
    dm_buf_dispose(&huge);
}

static void urls_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *url, *error;
    } cases[] = {
        {"ftp://localhost/",
         "the URL: it must begin with ws://, wss://, http://, https:// or unix:/"},
        {"localhost:8080",
         "the URL: it must begin with ws://, wss://, http://, https:// or unix:/"},
        {"https://:443/", "the URL: it has no host, or a bad one"},
        {"wss://127.0.0.1:1/", "127.0.0.1:1: Connection refused"},
        {"http://", "the URL: it has no host, or a bad one"},
        {"http://:80/", "the URL: it has no host, or a bad one"},
        {"http://[::1/", "the URL: it has no host, or a bad one"},
        {"http://[::1]8080/", "the URL: it has no host, or a bad one"},
        {"http://a b/", "the URL: it holds blanks or other characters that no URL has"},
        {"http://a/\r\nx: y", "the URL: it holds blanks or other characters that no URL has"},
        {"unix:", "unix:: the path is empty or too long"},
        {"unix:/nonexistent/socket", "/nonexistent/socket: No such file or directory"},
        {"http://127.0.0.1:1/", "127.0.0.1:1: Connection refused"},
    };
    for (size_t i = 0; i < DM_COUNT(cases); i++) {
        struct dm_buf why = DM_BUF_INIT;
        assert_null(dm_client_connect(cases[i].url, "/", 1000, &why));
        assert_string_equal(dm_buf_text(&why), cases[i].error);
        dm_buf_dispose(&why);
    }
}

static void a_token_cannot_add_a_header(void **state)
{
    (void)state;
    struct session session;
    begin(&session, DM_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), false, false);
    assert_false(dm_client_post(session.client, DM_SLICE("a\r\nx: y"), DM_SLICE("{}"),
                                &session.answer, &session.why));
    end(&session);
}

static void open_socket(struct session *session, struct dm_slice answer, bool drip)
{
    begin(session, answer, drip, true);
    session->ok = dm_client_upgrade(session->client, DM_NO_SLICE, &session->answer, &session->why);
}

static void a_handshake_is_checked(void **state)
{
    (void)state;
    struct session session;
    open_socket(&session, DM_SLICE(PEER_SWITCH), true);
    assert_true(session.ok);
    assert_int_equal(session.answer.status, 101);
    hang_up(&session);
    assert_non_null(strstr(dm_buf_text(&session.peer.got), "Sec-WebSocket-Version: 13\r\n"));
    assert_null(strstr(dm_buf_text(&session.peer.got), "Authorization"));
    put_away(&session);
    open_socket(&session, DM_SLICE("HTTP/1.1 401 x\r\nContent-Length: 2\r\n\r\n{}"), false);
    assert_true(session.ok);
    assert_int_equal(session.answer.status, 401);
    assert_true(dm_slice_eq(session.answer.body, DM_SLICE("{}")));
    end(&session);
    const struct dm_slice bad[] = {
        DM_SLICE("HTTP/1.1 101 x\r\n\r\n"),
        DM_SLICE("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
        DM_SLICE("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: $ACCEPT\r\n"
                 "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    };
    for (size_t i = 0; i < DM_COUNT(bad); i++) {
        open_socket(&session, bad[i], false);
        assert_false(session.ok);
        assert_string_equal(dm_buf_text(&session.why),
                            "the answer to the WebSocket handshake is wrong");
        end(&session);
    }
}

/* Takes the next frame, which a client must have masked, off what the peer got. */
static void expect_frame(struct dm_buf *got, unsigned opcode, struct dm_slice payload)
{
    struct dm_frame_head head;
    assert_int_equal(dm_frame_read(got->bytes, got->len, true, &head), DM_FRAME_WHOLE);
    assert_true(head.fin && head.masked);
    assert_int_equal(head.opcode, opcode);
    assert_true(dm_slice_eq(dm_slice(got->bytes + head.size, head.payload), payload));
    dm_buf_consume(got, head.size + head.payload);
}

/* Ends the session, and leaves in `got` what the client sent behind its handshake. */
static void finish(struct session *session)
{
    struct dm_buf *got = &session->peer.got;
    hang_up(session);
    char *head_end = strstr(dm_buf_text(got), "\r\n\r\n");
    assert_non_null(head_end);
    dm_buf_consume(got, (size_t)(head_end - got->bytes) + 4);
}

static void messages_arrive_however_they_are_cut(void **state)
{
    (void)state;
    for (int drip = 0; drip < 2; drip++) {
        struct session session;
        struct dm_client_frame frame;
        open_socket(&session,
                    DM_SLICE(PEER_SWITCH "\x81\x02hi"
                                         "\x01\x02\xe2\x82" /* a fragment ends within a character */
                                         "\x89\x01p"
                                         "\x80\x01\xac"
                                         "\x8a\x00"
                                         "\x82\x01\xff"
                                         "\x88\x05\x03\xf4"
                                         "bye"),
                    drip);
        assert_true(session.ok);
        assert_int_equal(dm_client_next(session.client, 1000, &frame, &session.why),
                         DM_CLIENT_MESSAGE);
        assert_true(dm_slice_eq(frame.text, DM_SLICE("hi")));
        assert_int_equal(dm_client_next(session.client, 1000, &frame, &session.why),
                         DM_CLIENT_MESSAGE);
        assert_true(dm_slice_eq(frame.text, DM_SLICE("\xe2\x82\xac")));
        assert_int_equal(dm_client_next(session.client, 1000, &frame, &session.why),
                         DM_CLIENT_MESSAGE);
        assert_true(dm_slice_eq(frame.text, DM_SLICE("\xff")));
        assert_int_equal(dm_client_next(session.client, 1000, &frame, &session.why),
                         DM_CLIENT_CLOSED);
        assert_int_equal(frame.code, 1012);
        assert_true(dm_slice_eq(frame.text, DM_SLICE("bye")));
        finish(&session);
        expect_frame(&session.peer.got, DM_OP_PONG, DM_SLICE("p"));
        expect_frame(&session.peer.got, DM_OP_CLOSE, DM_SLICE("\x03\xf4"));
        assert_int_equal(session.peer.got.len, 0);
        put_away(&session);
    }
}

static void a_quiet_socket_is_quiet(void **state)
{
    (void)state;
    struct session session;
    struct dm_client_frame frame;
    open_socket(&session, DM_SLICE(PEER_SWITCH "\x81\x05hi"), false);
    assert_int_equal(dm_client_next(session.client, 50, &frame, &session.why), DM_CLIENT_QUIET);
    assert_string_equal(dm_buf_text(&session.why), "");
    end(&session);
}

static void expect_broken(struct dm_slice answer, const char *error)
{
    struct session session;
    struct dm_client_frame frame;
    open_socket(&session, answer, false);
    assert_true(session.ok);
    assert_int_equal(dm_client_next(session.client, 1000, &frame, &session.why), DM_CLIENT_FAILED);
    assert_string_equal(dm_buf_text(&session.why), error);
    end(&session);
}

static void a_broken_protocol_is_the_end(void **state)
{
    (void)state;
    expect_broken(DM_SLICE(PEER_SWITCH "\x81\x81mask "), "the server broke the protocol (1002)");
    expect_broken(DM_SLICE(PEER_SWITCH "\xc1\x01x"), "the server broke the protocol (1002)");
    expect_broken(DM_SLICE(PEER_SWITCH "\x80\x01x"), "the server broke the protocol (1002)");
    expect_broken(DM_SLICE(PEER_SWITCH "\x01\x01x\x81\x01x"),
                  "the server broke the protocol (1002)");
    expect_broken(DM_SLICE(PEER_SWITCH "\x88\x01x"), "the server broke the protocol (1002)");
    expect_broken(DM_SLICE(PEER_SWITCH "\x88\x02\x03\xed"), "the server broke the protocol (1002)");
    expect_broken(DM_SLICE(PEER_SWITCH "\x81\x01\xff"), "the server broke the protocol (1007)");
    expect_broken(DM_SLICE(PEER_SWITCH "\x82\x7f\x00\x00\x00\x00\x01\x00\x00\x01"),
                  "the server broke the protocol (1009)");
}

static void what_it_sends_is_masked(void **state)
{
    (void)state;
    struct session session;
    struct dm_client_frame frame;
    struct dm_buf large = DM_BUF_INIT;
    memset(dm_buf_reserve(&large, 70000), 'y', 70000);
    large.len = 70000;
    open_socket(&session, DM_SLICE(PEER_SWITCH "\x89\x02pq\x81\x01x\x88\x02\x03\xe8"), false);
    assert_int_equal(dm_client_next(session.client, 1000, &frame, &session.why), DM_CLIENT_MESSAGE);
    assert_true(dm_client_send(session.client, DM_OP_TEXT, DM_SLICE("hello"), &session.why));
    assert_true(dm_client_send(session.client, DM_OP_TEXT, dm_buf_slice(&large), &session.why));
    dm_client_close(session.client); /* finds the peer's Close, and sends no second one */
    finish(&session);
    struct dm_buf *got = &session.peer.got;
    expect_frame(got, DM_OP_PONG, DM_SLICE("pq"));
    expect_frame(got, DM_OP_TEXT, DM_SLICE("hello"));
    expect_frame(got, DM_OP_TEXT, dm_buf_slice(&large));
    expect_frame(got, DM_OP_CLOSE, DM_SLICE("\x03\xe8"));
    assert_int_equal(got->len, 0);
    peer_dispose(&session.peer);
    dm_buf_dispose(&large);
    dm_buf_dispose(&session.why);
}

DM_UNIT_MAIN(cmocka_unit_test(a_request_is_plain_http), cmocka_unit_test(answers_are_read_whole),
             cmocka_unit_test(bad_answers_are_named), cmocka_unit_test(urls_are_checked),
             cmocka_unit_test(a_token_cannot_add_a_header),
             cmocka_unit_test(a_handshake_is_checked),
             cmocka_unit_test(messages_arrive_however_they_are_cut),
             cmocka_unit_test(a_quiet_socket_is_quiet),
             cmocka_unit_test(a_broken_protocol_is_the_end),
             cmocka_unit_test(what_it_sends_is_masked))
