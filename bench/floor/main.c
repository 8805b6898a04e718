/*
 * dm-bench-floor PORT ack|fanout FRAME-BYTES: the floor's loop, its listener
 * and the bytes that came without their end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "floor/floor.h"

static void watch(struct floor *floor, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    DM_CHECK(epoll_ctl(floor->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

static int listen_on(uint16_t port)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    perror("listen");
    return -1;
}

static void accept_all(struct floor *floor)
{
    int fd, on = 1;
    while ((fd = accept4(floor->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        DM_CHECK(fd < FLOOR_FDS);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        floor->conns[fd] = (struct floor_conn){NULL, 0, false};
        watch(floor, fd);
    }
}

static void forget(struct floor *floor, int fd)
{
    for (uint32_t i = 0; i < floor->session_count; i++)
        if (floor->conns[fd].session && floor->sessions[i] == fd)
            floor->sessions[i] = -1;
    free(floor->conns[fd].rest);
    close(fd);
}

/* Handles what is whole; how much that took, or -1. */
static ssize_t take(struct floor *floor, int fd, char *bytes, size_t len)
{
    size_t at = 0;
    while (at < len) {
        ssize_t size = floor->conns[fd].session
                           ? floor_take_frame(floor, fd, bytes + at, len - at)
                           : floor_take_request(floor, fd, bytes + at, len - at);
        if (size < 0)
            return -1;
        if (size == 0)
            break;
        at += (size_t)size;
    }
    return (ssize_t)at;
}

static void take_input(struct floor *floor, int fd)
{
    struct floor_conn *conn = &floor->conns[fd];
    size_t len = conn->rest_len;
    if (len) {
        memcpy(floor->input, conn->rest, len);
        free(conn->rest);
        conn->rest = NULL;
        conn->rest_len = 0;
    }
    ssize_t got = recv(fd, floor->input + len, sizeof floor->input - len, 0);
    ssize_t taken = got > 0 ? take(floor, fd, floor->input, len + (size_t)got) : -1;
    if (taken < 0) {
        forget(floor, fd);
        return;
    }
    len = len + (size_t)got - (size_t)taken;
    if (len) {
        conn->rest = dm_memdup(floor->input + taken, len);
        conn->rest_len = (uint32_t)len;
    }
}

static int run(struct floor *floor)
{
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(floor->epoll, events, (int)DM_COUNT(events), -1);
        if (count < 0 && errno != EINTR)
            return 1;
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == floor->listener)
                accept_all(floor);
            else
                take_input(floor, events[i].data.fd);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: dm-bench-floor PORT ack|fanout FRAME-BYTES\n");
        return 2;
    }
    struct floor *floor = DM_NEW(struct floor);
    floor->acks = strcmp(argv[2], "ack") == 0;
    for (size_t i = 0; i < FLOOR_USERS; i++)
        floor->by_user[i] = -1;
    floor_frame_init(floor, strtoul(argv[3], NULL, 10));
    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    floor->listener = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
    if (floor->epoll < 0 || floor->listener < 0)
        return 1;
    watch(floor, floor->listener);
    return run(floor);
}
