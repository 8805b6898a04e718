/*
 * A connected stream that is ours alone, after its handshake: a descriptor,
 * with TLS on it or bare. These few calls are all that the two kinds differ
 * in; they never block and set errno as recv(2) and send(2) do. A line is a
 * value; whoever holds it closes it once. One thread at a time.
 *
 * Over TLS:
 *   recv    gives what one record holds. It leaves no plaintext inside OpenSSL, where no poll
 *           would find it: give it room for DM_LINE_RECORD bytes.
 *   send    seals up to DM_LINE_RECORD bytes at once. Those that it has sealed and the kernel would
 *           not take must be what is sent next, though they do not count as sent: see
 *           dm_line_begun.
 *   A peer that asks for new keys while it does not read what we send is cut off: EPROTO.
 */
#ifndef DM_NET_LINE_H
#define DM_NET_LINE_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct ssl_st;

struct dm_line {
    int fd;
    struct ssl_st *tls; /* NULL: bare */
};

enum { DM_LINE_RECORD = 16384 };

ssize_t dm_line_recv_tls(struct ssl_st *tls, void *to, size_t room);
ssize_t dm_line_send_tls(struct ssl_st *tls, const void *bytes, size_t len);
ssize_t dm_line_send_parts(struct dm_line line, const struct iovec *parts, size_t count);

static inline ssize_t dm_line_recv(struct dm_line line, void *to, size_t room)
{
    return line.tls ? dm_line_recv_tls(line.tls, to, room) : recv(line.fd, to, room, MSG_DONTWAIT);
}

static inline ssize_t dm_line_send(struct dm_line line, const void *bytes, size_t len)
{
    return line.tls ? dm_line_send_tls(line.tls, bytes, len)
                    : send(line.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Of `left` bytes that a send did not take: at most so many may have been sealed. */
static inline size_t dm_line_begun(struct dm_line line, size_t left)
{
    return !line.tls ? 0 : left < DM_LINE_RECORD ? left : DM_LINE_RECORD;
}

/* Would closing it now leave something unread, which turns a close into a reset? Over TLS always:
 * the peer's close_notify is still to come. */
bool dm_line_has_unread(struct dm_line line);

/* Says to the peer that nothing more is sent. -1: it is gone. */
int dm_line_shut(struct dm_line line);
void dm_line_close(struct dm_line line);

#endif
