/* The load's loop: connecting, and handing what arrives to sessions and publishers. */
#include "lib/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/publisher.h"

enum { HANDSHAKES_AT_ONCE = 64, CONNECT_MS = 60000, EVENTS = 256, RETRY_AFTER_MS = 1000 };

void dm_load_init(struct dm_load *load, const struct dm_target *target, uint32_t sessions,
                  uint32_t users, bool acks)
{
    *load = (struct dm_load){.target = target,
                             .session_count = sessions,
                             .users = users,
                             .acks = acks,
                             .at_once = HANDSHAKES_AT_ONCE};
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    DM_CHECK(load->epoll >= 0);
    load->sessions = dm_calloc(sessions, sizeof *load->sessions);
    load->refused = dm_calloc(sessions, sizeof *load->refused);
    load->input = dm_alloc(DM_INPUT_SIZE);
    load->random = 88172645463325252u;
    for (uint32_t i = 0; i < sessions; i++)
        load->sessions[i] = (struct dm_session){.fd = -1, .user = i % users};
}

/* Reset rather than closed, so that no address and port stays in TIME_WAIT. */
static void drop(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

void dm_load_dispose(struct dm_load *load)
{
    for (uint32_t i = 0; i < load->session_count; i++) {
        if (load->sessions[i].fd >= 0)
            drop(load->sessions[i].fd);
        dm_buf_dispose(&load->sessions[i].rest);
    }
    free(load->sessions);
    free(load->refused);
    free(load->input);
    dm_buf_dispose(&load->scratch);
    close(load->epoll);
    load->session_count = 0;
}

/* The first failure is the one that explains the others. */
void dm_load_fail(struct dm_load *load, const char *format, ...)
{
    va_list arguments;
    if (load->failure[0])
        return;
    va_start(arguments, format);
    vsnprintf(load->failure, sizeof load->failure, format, arguments);
    va_end(arguments);
}

/* xorshift64: which user is next must cost nothing and be the same in every run. */
uint32_t dm_load_random(struct dm_load *load, uint32_t below)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return (uint32_t)((load->random >> 32) * below >> 32);
}

void dm_load_watch(struct dm_load *load, int fd, bool publisher, uint32_t number)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)publisher << 32 | number};
    DM_CHECK(epoll_ctl(load->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
}

/* First until it is connected, then for what it gets. */
void dm_load_watch_session(struct dm_load *load, uint32_t number, bool connected)
{
    struct epoll_event event = {.events = connected ? EPOLLIN : EPOLLOUT, .data.u64 = number};
    int what = connected ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    DM_CHECK(epoll_ctl(load->epoll, what, load->sessions[number].fd, &event) == 0);
}

static void take_event(struct dm_load *load, uint64_t tag)
{
    uint32_t number = (uint32_t)tag;
    bool publisher = tag >> 32;
    if (!publisher && !load->sessions[number].connected) {
        dm_session_connected(load, number);
        return;
    }
    int fd = publisher ? load->burst->publishers[number].fd : load->sessions[number].fd;
    ssize_t got = recv(fd, load->input, DM_INPUT_SIZE, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 && !publisher && load->patient && !load->sessions[number].upgraded) {
        dm_buf_dispose(&load->sessions[number].rest);
        dm_load_refused(load, number); /* by the kernel, whose queue was full */
    } else if (got <= 0)
        dm_load_fail(load, "%s %u lost its connection: %s", publisher ? "publisher" : "session",
                     number, got ? strerror(errno) : "closed by the server");
    else if (publisher)
        dm_publisher_input(load, number, (size_t)got);
    else
        dm_session_input(load, number, (size_t)got);
}

int dm_load_turn(struct dm_load *load, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(load->epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < count && !load->failure[0]; i++)
        take_event(load, events[i].data.u64);
    return load->failure[0] ? -1 : 0;
}

void dm_load_refused(struct dm_load *load, uint32_t number)
{
    struct dm_session *session = &load->sessions[number];
    drop(session->fd);
    session->fd = -1;
    session->again_ms = dm_clock_mono_ms() + RETRY_AFTER_MS;
    load->refused[(load->refused_first + load->refused_count++) % load->session_count] = number;
    load->refusals++;
    load->waiting--;
}

/* Who is to connect now, of the first `count` and of those that were refused; false: nobody. */
static bool take_next(struct dm_load *load, uint32_t count, uint32_t *number)
{
    uint32_t first = load->refused[load->refused_first];
    if (load->waiting >= load->at_once)
        return false;
    if (load->refused_count && load->sessions[first].again_ms <= dm_clock_mono_ms()) {
        load->refused_first = (load->refused_first + 1) % load->session_count;
        load->refused_count--;
        *number = first;
        return true;
    }
    if (load->next >= count)
        return false;
    *number = load->next++;
    return true;
}

int dm_load_connect(struct dm_load *load)
{
    return dm_load_connect_to(load, load->session_count);
}

int dm_load_connect_to(struct dm_load *load, uint32_t count)
{
    uint64_t deadline = dm_clock_mono_ms() + CONNECT_MS;
    while (load->next < count || load->waiting || load->refused_count) {
        uint32_t number;
        bool one = take_next(load, count, &number);
        if (one && dm_session_connect(load, number) != 0)
            return -1;
        if (dm_load_turn(load, one ? 0 : load->refused_count ? 1 : 100) != 0)
            return -1;
        if (dm_clock_mono_ms() > deadline) {
            dm_load_fail(load, "only %u of %u sessions connected in time",
                         load->next - load->waiting - load->refused_count, count);
            return -1;
        }
    }
    return 0;
}
