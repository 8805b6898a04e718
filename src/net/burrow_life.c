/*
 * What comes and goes with a socket's states: its live part, lingering, its
 * place in the epoll set, and telling its owner of the end.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "net/burrow_priv.h"

void dm_sock_enter(struct dm_burrow *burrow, uint32_t sock, enum dm_sock_life life)
{
    unsigned flags = burrow->states[sock] & ~(unsigned)DM_SOCK_LIFE;
    burrow->states[sock] = (uint8_t)(flags | life);
}

struct dm_sock_live *dm_sock_need_live(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock *record = dm_sock_at(burrow, sock);
    if (record->live)
        return dm_slab_at(&burrow->lives, record->live);
    record->live = dm_slab_take(&burrow->lives);
    struct dm_sock_live *live = dm_slab_at(&burrow->lives, record->live);
    live->sock = sock;
    return live;
}

static void give_live(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock *record = dm_sock_at(burrow, sock);
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (!live)
        return;
    dm_list_unlink(&live->lingering);
    dm_gather_destroy(&live->gather);
    dm_buf_dispose(&live->message);
    dm_buf_dispose(&live->rest);
    dm_wire_release(live->pong);
    dm_sock_drop_output(burrow, live);
    dm_slab_give(&burrow->lives, record->live);
    record->live = 0;
}

void dm_burrow_tell(struct dm_burrow *burrow, uint32_t owner, enum dm_burrow_end how, int code)
{
    burrow->events.closed(burrow->events.self, owner, how, code);
}

void dm_burrow_tell_later(struct dm_burrow *burrow, uint32_t sock, enum dm_burrow_end how, int code)
{
    if (burrow->untold_count == burrow->untold_room) {
        burrow->untold_room = burrow->untold_room ? 2 * burrow->untold_room : 16;
        burrow->untold = dm_realloc(burrow->untold, burrow->untold_room * sizeof *burrow->untold);
    }
    burrow->untold[burrow->untold_count++] =
        (struct dm_untold){sock, dm_sock_at(burrow, sock)->owner, how, code};
}

static uint32_t find_untold(const struct dm_burrow *burrow, uint32_t sock)
{
    uint32_t i = 0;
    while (i < burrow->untold_count && burrow->untold[i].sock != sock)
        i++;
    return i;
}

bool dm_burrow_is_untold(const struct dm_burrow *burrow, uint32_t sock)
{
    return find_untold(burrow, sock) < burrow->untold_count;
}

bool dm_burrow_forget_untold(struct dm_burrow *burrow, uint32_t sock)
{
    uint32_t i = find_untold(burrow, sock);
    if (i == burrow->untold_count)
        return false;
    burrow->untold[i] = burrow->untold[--burrow->untold_count];
    return true;
}

void dm_sock_mark_resumed(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (live->resumed)
        return;
    live->resumed = true;
    dm_sock_list_push(&burrow->resumed, sock);
}

/* What is held is let go of at the flush, not here: the caller may be in an event that was given
 * the held message. */
void dm_sock_linger(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock_live *live = dm_sock_need_live(burrow, sock);
    dm_sock_enter(burrow, sock, DM_SOCK_LINGERING);
    live->deadline = dm_clock_mono_ms() + burrow->options.linger_ms;
    dm_list_push(&burrow->lingering, &live->lingering);
    dm_gather_destroy(&live->gather);
    dm_wire_release(live->pong);
    live->pong = NULL;
    if (dm_sock_held(burrow, sock))
        dm_sock_mark_resumed(burrow, sock);
}

void dm_sock_finish(struct dm_burrow *burrow, uint32_t sock)
{
    struct dm_sock *record = dm_sock_at(burrow, sock);
    give_live(burrow, sock);
    dm_line_close(dm_sock_line(burrow, sock)); /* which takes it out of the epoll set */
    record->fd = -1;
    if (sock < burrow->tls_room)
        burrow->tls[sock] = NULL;
    burrow->states[sock] = DM_SOCK_GONE;
    burrow->count--;
    dm_sock_list_push(&burrow->gone, sock);
}

void dm_sock_drop(struct dm_burrow *burrow, uint32_t sock)
{
    enum dm_sock_life life = dm_sock_life(burrow, sock);
    uint32_t owner = dm_sock_at(burrow, sock)->owner;
    dm_sock_finish(burrow, sock);
    if (life == DM_SOCK_OPEN)
        dm_burrow_tell(burrow, owner, DM_BURROW_DROPPED, 0);
}

/* Input that nobody has read would turn our close() into a reset, which can destroy our Close
 * frame on its way: then our side is shut down and the socket lingers until the peer's is too. */
static bool linger_is_over(struct dm_burrow *burrow, uint32_t sock, struct dm_sock_live *live)
{
    const struct dm_sock *record = dm_sock_at(burrow, sock);
    if (record->turn || !dm_outq_empty(&live->out) || !live->deaf || live->shut)
        return false;
    struct dm_line line = dm_sock_line(burrow, sock);
    if (live->peer_closed && !dm_line_has_unread(line))
        return true;
    live->shut = true;
    return dm_line_shut(line) != 0;
}

static int watch(struct dm_burrow *burrow, uint32_t sock, unsigned want)
{
    unsigned have = burrow->states[sock] & (DM_SOCK_WATCH_IN | DM_SOCK_WATCH_OUT);
    if (have == want)
        return 0;
    struct epoll_event event = {.data.u32 = sock};
    if (want & DM_SOCK_WATCH_IN)
        event.events |= EPOLLIN | EPOLLRDHUP;
    if (want & DM_SOCK_WATCH_OUT)
        event.events |= EPOLLOUT;
    int op = !have ? EPOLL_CTL_ADD : want ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    dm_sock_flag(burrow, sock, have, false);
    dm_sock_flag(burrow, sock, want, true);
    return epoll_ctl(burrow->epoll, op, dm_sock_at(burrow, sock)->fd, &event);
}

/* Without EPOLLIN the kernel's buffer fills and pushes back. Out of the set altogether, unless
 * there is something to write: an error or a hang-up that is only looked at after the held input
 * must not wake us again and again. */
void dm_sock_mute(struct dm_burrow *burrow, uint32_t sock)
{
    (void)watch(burrow, sock, burrow->states[sock] & DM_SOCK_WATCH_OUT);
}

static unsigned wanted(struct dm_burrow *burrow, uint32_t sock, const struct dm_sock_live *live)
{
    unsigned want = DM_SOCK_WATCH_IN;
    if (dm_sock_life(burrow, sock) == DM_SOCK_ADOPTED)
        want = 0;
    else if (dm_sock_held(burrow, sock))
        want = burrow->states[sock] & DM_SOCK_WATCH_IN; /* muted only if more comes meanwhile */
    if (live && !dm_outq_empty(&live->out))
        want |= DM_SOCK_WATCH_OUT;
    return want;
}

static bool is_idle(const struct dm_sock_live *live)
{
    return !live->gather && !live->frame_left && !live->message.bytes && !live->rest.bytes &&
           !live->pong && dm_outq_empty(&live->out) && !live->resumed;
}

void dm_sock_settle(struct dm_burrow *burrow, uint32_t sock)
{
    enum dm_sock_life life = dm_sock_life(burrow, sock);
    struct dm_sock_live *live = dm_sock_live(burrow, sock);
    if (life == DM_SOCK_GONE)
        return;
    if (life == DM_SOCK_LINGERING && linger_is_over(burrow, sock, live)) {
        dm_sock_finish(burrow, sock);
        return;
    }
    bool in_frame = live && (live->gather || live->frame_left ||
                             (live->rest.bytes && !dm_sock_held(burrow, sock)));
    bool in_write = live && !dm_outq_empty(&live->out) && live->out.at[live->out.first].from;
    dm_sock_flag(burrow, sock, DM_SOCK_IN_FRAME, in_frame);
    dm_sock_flag(burrow, sock, DM_SOCK_IN_WRITE, in_write);
    if (watch(burrow, sock, wanted(burrow, sock, live)) != 0) { /* the kernel has no room for it */
        if (life == DM_SOCK_OPEN)
            dm_burrow_tell_later(burrow, sock, DM_BURROW_DROPPED, 0);
        dm_sock_finish(burrow, sock);
        return;
    }
    if (live && life != DM_SOCK_LINGERING && !dm_sock_held(burrow, sock) && is_idle(live))
        give_live(burrow, sock);
}
