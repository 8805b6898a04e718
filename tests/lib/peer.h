/*
 * A scripted peer for the client: a thread that takes one connection on a
 * loopback port, reads a request, answers with given bytes (all at once or one
 * at a time), and keeps what it then reads until the other side closes.
 */
#ifndef DM_TESTS_LIB_PEER_H
#define DM_TESTS_LIB_PEER_H

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "codec/frame.h"
#include "lib/unit.h"

struct peer {
    struct dm_slice answer; /* "$ACCEPT" in it becomes the handshake's */
    bool drip;              /* one byte at a time */
    bool hold;              /* keep the connection open until the client closes */
    struct dm_buf got;      /* everything that was read */
    char url[64];
    int listener;
    pthread_t thread;
};

static inline void peer_write(int fd, struct dm_slice bytes, bool drip)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.at, drip ? 1 : bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes = dm_slice_from(bytes, (size_t)n);
        if (drip)
            usleep(100); /* so that the other side reads in between */
    }
}

static inline bool peer_read(int fd, struct dm_buf *got)
{
    ssize_t n = recv(fd, dm_buf_reserve(got, 65536), 65536, 0);
    if (n > 0)
        got->len += (size_t)n;
    return n > 0;
}

static inline bool peer_has_request(struct dm_buf *got)
{
    const char *text = dm_buf_text(got);
    const char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
    if (!end)
        return false;
    size_t body = length ? (size_t)atoi(length + 16) : 0;
    return got->len >= (size_t)(end - text) + 4 + body;
}

static inline void peer_add_answer(const struct peer *peer, struct dm_buf *got, struct dm_buf *out)
{
    unsigned char hash[EVP_MAX_MD_SIZE], text[40];
    unsigned len = 0;
    struct dm_buf key = DM_BUF_INIT;
    const char *mark = memmem(peer->answer.at, peer->answer.len, "$ACCEPT", 7);
    const char *field = strstr(dm_buf_text(got), "Sec-WebSocket-Key: ");
    if (!mark || !field) {
        dm_buf_add_slice(out, peer->answer);
        return;
    }
    dm_buf_printf(&key, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", field + 19);
    EVP_Digest(key.bytes, key.len, hash, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock(text, hash, (int)len);
    size_t before = (size_t)(mark - peer->answer.at);
    dm_buf_add(out, peer->answer.at, before);
    dm_buf_add(out, text, 28);
    dm_buf_add_slice(out, dm_slice_from(peer->answer, before + 7));
    dm_buf_dispose(&key);
}

static inline void *peer_run(void *arg)
{
    struct peer *peer = arg;
    struct dm_buf out = DM_BUF_INIT;
    int fd = accept(peer->listener, NULL, NULL), on = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    while (!peer_has_request(&peer->got) && peer_read(fd, &peer->got))
        ;
    peer_add_answer(peer, &peer->got, &out);
    peer_write(fd, dm_buf_slice(&out), peer->drip);
    if (!peer->hold)
        shutdown(fd, SHUT_WR);
    while (peer_read(fd, &peer->got))
        ;
    close(fd);
    dm_buf_dispose(&out);
    return NULL;
}

static inline void peer_start(struct peer *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 8), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &len), 0);
    snprintf(peer->url, sizeof peer->url, "http://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    assert_int_equal(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

/* After the client has closed: `got` is then complete. */
static inline void peer_join(struct peer *peer)
{
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    close(peer->listener);
}

static inline void peer_dispose(struct peer *peer)
{
    dm_buf_dispose(&peer->got);
}

#define PEER_SWITCH                                                                                \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: $ACCEPT\r\n\r\n"

#endif
