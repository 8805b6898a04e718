/* URLs, connecting, and reading and writing with deadlines on a socket that never blocks. */
#include "net/client_io.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

static bool fail(struct dm_buf *why, const char *what, const char *detail)
{
    dm_buf_printf(why, "%s: %s", what, detail);
    return false;
}

bool dm_client_wait(const struct dm_client *client, short events, uint64_t deadline)
{
    for (;;) {
        uint64_t now = dm_clock_mono_ms();
        struct pollfd one = {.fd = client->line.fd, .events = events};
        int wait = now >= deadline ? 0 : (int)(deadline - now < 60000 ? deadline - now : 60000);
        int ready = poll(&one, 1, wait);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready == 0 && dm_clock_mono_ms() >= deadline) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

static bool connect_to(struct dm_client *client, int family, const struct sockaddr *address,
                       socklen_t len)
{
    int err = 0;
    socklen_t size = sizeof err;
    client->line.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->line.fd < 0)
        return false;
    if (connect(client->line.fd, address, len) == 0)
        return true;
    if (errno == EINPROGRESS &&
        dm_client_wait(client, POLLOUT, dm_clock_mono_ms() + client->timeout_ms)) {
        if (getsockopt(client->line.fd, SOL_SOCKET, SO_ERROR, &err, &size) == 0 && err == 0)
            return true;
        errno = err;
    }
    err = errno;
    close(client->line.fd);
    client->line.fd = -1;
    errno = err;
    return false;
}

static bool dial_unix(struct dm_client *client, struct dm_slice path, struct dm_buf *why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path.len || path.len >= sizeof address.sun_path)
        return fail(why, "unix:", "the path is empty or too long");
    memcpy(address.sun_path, path.at, path.len);
    dm_buf_lit(&client->host, "localhost");
    if (!connect_to(client, AF_UNIX, (const struct sockaddr *)&address, sizeof address))
        return fail(why, address.sun_path, strerror(errno));
    return true;
}

static bool dial_tcp(struct dm_client *client, const char *host, const char *port,
                     struct dm_buf *why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int err = getaddrinfo(host, port, &hints, &found);
    if (err)
        return fail(why, host, gai_strerror(err));
    bool ok = false;
    for (const struct addrinfo *one = found; one && !ok; one = one->ai_next)
        ok = connect_to(client, one->ai_family, one->ai_addr, one->ai_addrlen);
    freeaddrinfo(found);
    if (!ok)
        dm_buf_printf(why, "%s:%s: %s", host, port, strerror(errno));
    return ok;
}

/* Takes host and port out of "host", "host:port" or "[v6]:port". */
static bool split_authority(struct dm_slice authority, const char *usual, struct dm_buf *host,
                            struct dm_buf *port)
{
    struct dm_slice rest = authority, name;
    if (rest.len && rest.at[0] == '[') {
        rest = dm_slice_from(rest, 1);
        name = dm_slice_split(&rest, ']');
        if (!rest.at || (rest.len && rest.at[0] != ':'))
            return false;
        rest = rest.len ? dm_slice_from(rest, 1) : DM_NO_SLICE;
    } else {
        name = dm_slice_split(&rest, ':');
    }
    dm_buf_add_slice(host, name);
    dm_buf_add_slice(port, rest.at ? rest : dm_slice_of(usual));
    return name.len > 0 && port->len > 0;
}

/* What a request line and a header field can hold without becoming another one. */
static bool printable(struct dm_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~')
            return false;
    return true;
}

static bool dial_url(struct dm_client *client, struct dm_slice rest, bool secure, const char *path,
                     struct dm_buf *why)
{
    struct dm_buf host = DM_BUF_INIT, port = DM_BUF_INIT;
    size_t end = 0;
    while (end < rest.len && !memchr("/?#", rest.at[end], 3))
        end++;
    struct dm_slice authority = dm_slice(rest.at, end), target = dm_slice_from(rest, end);
    if (target.len == 0 || dm_slice_eq(target, DM_SLICE("/")))
        target = dm_slice_of(path);
    else if (target.at[0] != '/')
        dm_buf_add_byte(&client->path, '/');
    dm_buf_add_slice(&client->path, target);
    dm_buf_add_slice(&client->host, authority);
    bool ok = split_authority(authority, secure ? "443" : "80", &host, &port) ||
              fail(why, "the URL", "it has no host, or a bad one");
    ok = ok && dial_tcp(client, dm_buf_text(&host), dm_buf_text(&port), why) &&
         (!secure || dm_client_secure(client, dm_buf_text(&host), why));
    dm_buf_dispose(&host);
    dm_buf_dispose(&port);
    return ok;
}

bool dm_client_dial(struct dm_client *client, const char *url, const char *path, struct dm_buf *why)
{
    static const struct {
        struct dm_slice name;
        bool secure;
    } schemes[] = {{{"ws://", 5}, false},
                   {{"http://", 7}, false},
                   {{"wss://", 6}, true},
                   {{"https://", 8}, true}};
    struct dm_slice text = dm_slice_of(url);
    if (!printable(text))
        return fail(why, "the URL", "it holds blanks or other characters that no URL has");
    if (dm_slice_starts(text, DM_SLICE("unix:"))) {
        dm_buf_add_slice(&client->path, dm_slice_of(path));
        return dial_unix(client, dm_slice_from(text, 5), why);
    }
    for (size_t i = 0; i < DM_COUNT(schemes); i++)
        if (dm_slice_starts(text, schemes[i].name))
            return dial_url(client, dm_slice_from(text, schemes[i].name.len), schemes[i].secure,
                            path, why);
    return fail(why, "the URL", "it must begin with ws://, wss://, http://, https:// or unix:/");
}

bool dm_client_flush(struct dm_client *client, struct dm_buf *why)
{
    uint64_t deadline = dm_clock_mono_ms() + client->timeout_ms;
    size_t sent = 0;
    while (sent < client->out.len) {
        ssize_t n = dm_line_send(client->line, client->out.bytes + sent, client->out.len - sent);
        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN && dm_client_wait(client, POLLOUT, deadline))
            continue;
        else if (errno != EINTR)
            return fail(why, "cannot send", strerror(errno));
    }
    dm_buf_clear(&client->out);
    return true;
}

enum dm_client_read dm_client_fill(struct dm_client *client, uint64_t deadline, struct dm_buf *why)
{
    const size_t chunk = 64 * 1024;
    dm_buf_consume(&client->in, client->at);
    client->at = 0;
    for (;;) {
        ssize_t n = dm_line_recv(client->line, dm_buf_reserve(&client->in, chunk), chunk);
        if (n > 0) {
            client->in.len += (size_t)n;
            return DM_CLIENT_READ_SOME;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN && dm_client_wait(client, POLLIN, deadline))
            continue;
        if (n < 0 && errno == ETIMEDOUT && dm_clock_mono_ms() >= deadline)
            return DM_CLIENT_READ_LATE;
        fail(why, "the connection ended", n ? strerror(errno) : "the server closed it");
        return DM_CLIENT_READ_END;
    }
}
