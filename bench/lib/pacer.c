/* Publishing by the clock. */
#include "lib/pacer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/http.h"
#include "lib/sock.h"

int dm_pacer_init(struct dm_pacer *pacer, struct dm_load *load, uint32_t period_us, uint32_t lively)
{
    *pacer = (struct dm_pacer){.load = load, .period_us = period_us, .lively = lively};
    DM_CHECK(lively > 0 && lively < load->session_count);
    pacer->epoll = epoll_create1(EPOLL_CLOEXEC);
    DM_CHECK(pacer->epoll >= 0);
    for (uint32_t i = 0; i < DM_PACER_CALLS; i++)
        pacer->calls[i].fd = -1;
    for (uint32_t i = 0; i < DM_PACER_CALLS; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        int fd = pacer->calls[i].fd = dm_sock_connect(load->target->port, i);
        if (fd < 0 || dm_sock_nonblocking(fd) != 0) {
            dm_load_fail(load, "a publisher cannot connect: %s", strerror(errno));
            return -1;
        }
        DM_CHECK(epoll_ctl(pacer->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    }
    pacer->next_us = dm_clock_mono_us();
    return 0;
}

void dm_pacer_dispose(struct dm_pacer *pacer)
{
    if (!pacer->load)
        return;
    for (uint32_t i = 0; i < DM_PACER_CALLS; i++) {
        if (pacer->calls[i].fd >= 0)
            close(pacer->calls[i].fd);
        dm_buf_dispose(&pacer->calls[i].in);
    }
    free(pacer->samples[0].us);
    free(pacer->samples[1].us);
    close(pacer->epoll);
}

static void post(struct dm_pacer *pacer, struct dm_pacer_call *call)
{
    struct dm_load *load = pacer->load;
    char name[DM_USER_NAME_LEN + 1], text[1024];
    uint32_t turn = pacer->posted / 2, rest = load->session_count - pacer->lively;
    call->lively = pacer->posted++ % 2;
    uint32_t session = call->lively ? turn % pacer->lively : pacer->lively + turn % rest;
    dm_user_name(load->sessions[session].user, name);
    int body = snprintf(NULL, 0, "{\"userId\":\"%s\",\"timeoutMs\":0,\"payload\":{}}", name);
    int len =
        snprintf(text, sizeof text,
                 "POST /publish HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n"
                 "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                 "{\"userId\":\"%s\",\"timeoutMs\":0,\"payload\":{}}",
                 load->target->port, load->target->api_key, body, name);
    call->due_us = pacer->next_us;
    call->counted = pacer->counting;
    if (dm_sock_send_all(call->fd, text, (size_t)len) != 0)
        dm_load_fail(load, "a publisher cannot send: %s", strerror(errno));
}

/* What finds no connection free is posted later, and was due all the same. They take turns, so that
 * none is idle for long. */
static void post_due(struct dm_pacer *pacer)
{
    uint64_t now = dm_clock_mono_us();
    for (uint32_t i = 0; i < DM_PACER_CALLS && pacer->next_us <= now; i++) {
        struct dm_pacer_call *call = &pacer->calls[pacer->next_call++ % DM_PACER_CALLS];
        if (call->due_us)
            continue;
        post(pacer, call);
        pacer->next_us += pacer->period_us;
    }
}

static void keep(struct dm_pacer_samples *samples, uint32_t us)
{
    if (samples->count == samples->room) {
        samples->room = samples->room ? 2 * samples->room : 1024;
        samples->us = dm_realloc(samples->us, samples->room * sizeof *samples->us);
    }
    samples->us[samples->count++] = us;
}

static void take_answer(struct dm_pacer *pacer, struct dm_pacer_call *call)
{
    static const char must_say[] = "\"delivered\":1,";
    struct dm_load *load = pacer->load;
    struct dm_http_message answer;
    ssize_t got = recv(call->fd, dm_buf_reserve(&call->in, 4096), 4096, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    call->in.len += got > 0 ? (size_t)got : 0;
    ssize_t size = got > 0 ? dm_http_read(dm_buf_slice(&call->in), &answer) : -1;
    if (size == 0)
        return;
    if (size < 0 || !call->due_us || dm_http_status(&answer) != 200 ||
        !memmem(answer.body.at, answer.body.len, must_say, sizeof must_say - 1)) {
        dm_load_fail(load, "a paced publish was answered: %.*s", (int)call->in.len,
                     call->in.len ? call->in.bytes : "");
        return;
    }
    if (call->counted)
        keep(&pacer->samples[call->lively], (uint32_t)(dm_clock_mono_us() - call->due_us));
    call->due_us = 0;
    dm_buf_consume(&call->in, (size_t)size);
}

int dm_pacer_turn(struct dm_pacer *pacer)
{
    struct epoll_event events[DM_PACER_CALLS];
    int count = epoll_wait(pacer->epoll, events, DM_PACER_CALLS, 0);
    for (int i = 0; i < count && !pacer->load->failure[0]; i++)
        take_answer(pacer, &pacer->calls[events[i].data.u32]);
    if (!pacer->load->failure[0])
        post_due(pacer);
    return dm_load_turn(pacer->load, 0);
}
