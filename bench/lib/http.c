/* Reading HTTP/1.1 messages whose framing is known to be plain. */
#include "lib/http.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/sock.h"

static size_t content_length(struct dm_slice head)
{
    static const char name[] = "\r\ncontent-length:";
    size_t len = sizeof name - 1;
    for (const char *at = head.at; (at = memchr(at, '\r', head.len - (size_t)(at - head.at)));
         at++) {
        if ((size_t)(head.at + head.len - at) < len)
            return 0;
        if (strncasecmp(at, name, len) == 0)
            return strtoul(at + len, NULL, 10);
    }
    return 0;
}

ssize_t dm_http_read(struct dm_slice bytes, struct dm_http_message *message)
{
    const char *end = bytes.len ? memmem(bytes.at, bytes.len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return bytes.len > 16384 ? -1 : 0;
    size_t head = (size_t)(end - bytes.at) + 4;
    message->head = dm_slice(bytes.at, head);
    size_t body = content_length(message->head);
    if (body > (size_t)16 << 20)
        return -1;
    if (bytes.len - head < body)
        return 0;
    message->body = dm_slice(bytes.at + head, body);
    return (ssize_t)(head + body);
}

int dm_http_status(const struct dm_http_message *response)
{
    if (!dm_slice_starts(response->head, DM_SLICE("HTTP/1.1 ")))
        return 0;
    return (int)strtol(response->head.at + 9, NULL, 10);
}

static int read_answer(int fd, struct dm_buf *in, struct dm_http_message *answer)
{
    for (;;) {
        ssize_t size = dm_http_read(dm_buf_slice(in), answer);
        if (size != 0)
            return size < 0 ? -1 : 0;
        ssize_t got = recv(fd, dm_buf_reserve(in, 65536), 65536, 0);
        if (got <= 0)
            return -1;
        in->len += (size_t)got;
    }
}

int dm_http_get(uint16_t port, const char *path, struct dm_buf *body)
{
    int fd = dm_sock_connect(port, 0), status = 0;
    if (fd < 0)
        return 0;
    struct dm_buf text = DM_BUF_INIT;
    struct dm_http_message answer;
    dm_buf_printf(&text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n\r\n", path,
                  port);
    int err = dm_sock_send_all(fd, text.bytes, text.len);
    dm_buf_clear(&text);
    if (err == 0 && read_answer(fd, &text, &answer) == 0) {
        status = dm_http_status(&answer);
        dm_buf_clear(body);
        dm_buf_add_slice(body, answer.body);
    }
    dm_buf_dispose(&text);
    close(fd);
    return status;
}
