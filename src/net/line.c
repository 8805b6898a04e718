/*
 * TLS on a descriptor of our own, as recv and send, and what bare and TLS
 * lines have in common. OpenSSL's error queue is empty after each call: other
 * code of this thread reads it too.
 */
#include "net/line.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* What a call that gave no bytes means. Wanting the other direction is left to nobody: waiting for
 * it would be a state more for every socket, and no client needs it. */
static ssize_t no_bytes(SSL *tls, int result, int expected)
{
    int system_error = errno, error = SSL_get_error(tls, result);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == expected)
        errno = EAGAIN;
    else if (error == SSL_ERROR_SYSCALL && system_error && system_error != EAGAIN)
        errno = system_error;
    else
        errno = EPROTO;
    return -1;
}

ssize_t dm_line_recv_tls(SSL *tls, void *to, size_t room)
{
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(tls, to, room < INT32_MAX ? (int)room : INT32_MAX);
    return got > 0 ? got : no_bytes(tls, got, SSL_ERROR_WANT_READ);
}

ssize_t dm_line_send_tls(SSL *tls, const void *bytes, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        size_t part = len - sent < DM_LINE_RECORD ? len - sent : DM_LINE_RECORD;
        ERR_clear_error();
        errno = 0;
        int taken = SSL_write(tls, (const char *)bytes + sent, (int)part);
        if (taken > 0) {
            sent += (size_t)taken;
            continue;
        }
        ssize_t none = no_bytes(tls, taken, SSL_ERROR_WANT_WRITE);
        if (none < 0 && errno == EAGAIN && sent)
            break;
        if (none == 0)
            errno = EPIPE;
        return -1;
    }
    return (ssize_t)sent;
}

static ssize_t send_parts_tls(SSL *tls, const struct iovec *parts, size_t count)
{
    size_t sent = 0;
    for (size_t i = 0; i < count; i++) {
        ssize_t taken = dm_line_send_tls(tls, parts[i].iov_base, parts[i].iov_len);
        if (taken < 0 && (!sent || errno != EAGAIN))
            return -1;
        if (taken > 0)
            sent += (size_t)taken;
        if (taken < (ssize_t)parts[i].iov_len)
            break;
    }
    return (ssize_t)sent;
}

ssize_t dm_line_send_parts(struct dm_line line, const struct iovec *parts, size_t count)
{
    if (line.tls)
        return send_parts_tls(line.tls, parts, count);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = count};
    return sendmsg(line.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool dm_line_has_unread(struct dm_line line)
{
    int unread = 0;
    return line.tls || ioctl(line.fd, FIONREAD, &unread) != 0 || unread != 0;
}

/* close_notify, if the kernel takes it: it is a courtesy, and nobody waits for it. */
static void notify(SSL *tls)
{
    if (SSL_get_shutdown(tls) & SSL_SENT_SHUTDOWN)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(tls);
    ERR_clear_error();
}

int dm_line_shut(struct dm_line line)
{
    if (line.tls)
        notify(line.tls);
    return shutdown(line.fd, SHUT_WR);
}

void dm_line_close(struct dm_line line)
{
    if (line.tls) {
        notify(line.tls);
        SSL_free(line.tls);
    }
    close(line.fd);
}
