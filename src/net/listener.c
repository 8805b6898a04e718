/* Binding and listening: TCP, Unix sockets, and sockets from systemd. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"

enum { BACKLOG = 4096, FIRST_HANDED_FD = 3 };

static int fail(int fd, struct dm_buf *why, const char *address, const char *what)
{
    dm_buf_printf(why, "cannot listen on %s: %s", address, what);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* sd_listen_fds(3): LISTEN_PID names us, LISTEN_FDS counts from descriptor 3. */
static int handed_over(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || atol(pid) != (long)getpid() || atol(count) < 1)
        return -1;
    int listens = 0;
    socklen_t len = sizeof listens;
    if (getsockopt(FIRST_HANDED_FD, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || !listens)
        return -1;
    fcntl(FIRST_HANDED_FD, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_HANDED_FD, F_SETFL, fcntl(FIRST_HANDED_FD, F_GETFL) | O_NONBLOCK);
    return FIRST_HANDED_FD;
}

static void show(int fd, struct dm_buf *shown)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return;
    if (at.ss_family == AF_UNIX) {
        dm_buf_printf(shown, "unix:%s", ((struct sockaddr_un *)&at)->sun_path);
    } else if (getnameinfo((struct sockaddr *)&at, len, host, sizeof host, port, sizeof port,
                           NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        bool v6 = at.ss_family == AF_INET6;
        dm_buf_printf(shown, "%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
    }
}

static bool somebody_serves(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool served = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
    if (fd >= 0)
        close(fd);
    return served;
}

static int listen_unix(const char *address, const char *path, struct dm_buf *why)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof at.sun_path)
        return fail(-1, why, address, "the path is empty or too long");
    memcpy(at.sun_path, path, strlen(path));
    struct stat found;
    if (lstat(path, &found) == 0) {
        if (!S_ISSOCK(found.st_mode))
            return fail(-1, why, address, "the path is there and is not a socket");
        if (somebody_serves(&at))
            return fail(-1, why, address, "another process serves it");
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, why, address, strerror(errno));
    return fd;
}

static int listen_at(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int listen_tcp(const char *address, struct dm_buf *why)
{
    const char *colon = strrchr(address, ':');
    if (!colon || !colon[1])
        return fail(-1, why, address, "expected host:port or unix:/path");
    struct dm_slice host = dm_slice(address, (size_t)(colon - address));
    if (host.len >= 2 && host.at[0] == '[' && host.at[host.len - 1] == ']')
        host = dm_slice(host.at + 1, host.len - 2);
    char *name = dm_strndup(host.at, host.len);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int err = getaddrinfo(*name ? name : NULL, colon + 1, &hints, &found);
    free(name);
    if (err)
        return fail(-1, why, address, gai_strerror(err));
    int fd = -1;
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = listen_at(at);
    int saved = errno;
    freeaddrinfo(found);
    return fd < 0 ? fail(-1, why, address, strerror(saved)) : fd;
}

int dm_listen(const char *address, struct dm_buf *shown, struct dm_buf *why)
{
    int fd = handed_over();
    if (fd < 0)
        fd = strncmp(address, "unix:", 5) == 0 ? listen_unix(address, address + 5, why)
                                               : listen_tcp(address, why);
    if (fd >= 0)
        show(fd, shown);
    return fd;
}
