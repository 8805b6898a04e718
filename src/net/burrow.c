/*
 * The table of sockets and its epoll set: taking sockets over, waking those
 * that are ready, and the order of a turn's end.
 */
#include "net/burrow.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "net/burrow_priv.h"

enum { MOST_ROUNDS = 16 };

void dm_sock_list_push(struct dm_sock_list *list, uint32_t sock)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 16;
        list->at = dm_realloc(list->at, list->room * sizeof *list->at);
    }
    list->at[list->count++] = sock;
}

struct dm_burrow *dm_burrow_create(const struct dm_burrow_options *options,
                                   const struct dm_burrow_events *events,
                                   struct dm_metrics *metrics)
{
    struct dm_burrow *burrow = DM_NEW(struct dm_burrow);
    burrow->options = *options;
    burrow->events = *events;
    burrow->metrics = metrics;
    dm_slab_init(&burrow->socks, sizeof(struct dm_sock));
    dm_slab_init(&burrow->lives, sizeof(struct dm_sock_live));
    dm_runs_init(&burrow->runs);
    dm_list_init(&burrow->lingering);
    burrow->epoll = epoll_create1(EPOLL_CLOEXEC);
    burrow->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    DM_CHECK(burrow->epoll >= 0 && burrow->poke >= 0);
    struct epoll_event event = {.events = EPOLLIN}; /* as number 0, which no socket has */
    DM_CHECK(epoll_ctl(burrow->epoll, EPOLL_CTL_ADD, burrow->poke, &event) == 0);
    return burrow;
}

void dm_burrow_destroy(struct dm_burrow **at)
{
    struct dm_burrow *burrow = *at;
    if (!burrow)
        return;
    for (uint32_t sock = 1; sock < dm_slab_end(&burrow->socks); sock++) {
        enum dm_sock_life life = dm_sock_life(burrow, sock);
        if (life != DM_SOCK_FREE && life != DM_SOCK_GONE)
            dm_sock_finish(burrow, sock);
    }
    DM_CHECK(burrow->count == 0);
    close(burrow->epoll);
    close(burrow->poke);
    dm_runs_dispose(&burrow->runs);
    dm_slab_dispose(&burrow->socks);
    dm_slab_dispose(&burrow->lives);
    free(burrow->states);
    free(burrow->tls);
    free(burrow->dirty.at);
    free(burrow->writing.at);
    free(burrow->resumed.at);
    free(burrow->gone.at);
    free(burrow->segments.at);
    free(burrow->untold);
    free(burrow);
    *at = NULL;
}

int dm_burrow_fd(const struct dm_burrow *burrow)
{
    return burrow->epoll;
}

uint32_t dm_burrow_count(const struct dm_burrow *burrow)
{
    return burrow->count;
}

struct dm_address dm_burrow_peer(const struct dm_burrow *burrow, uint32_t sock)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    if (getpeername(dm_sock_at(burrow, sock)->fd, (struct sockaddr *)&at, &len) != 0)
        return (struct dm_address){.kind = DM_ADDRESS_UNKNOWN};
    return dm_address_of_socket((const struct sockaddr *)&at);
}

static void make_room_for_state(struct dm_burrow *burrow, uint32_t sock)
{
    if (sock < burrow->states_room)
        return;
    uint32_t room = burrow->states_room ? burrow->states_room : 64;
    while (room <= sock)
        room *= 2;
    burrow->states = dm_realloc(burrow->states, room);
    memset(burrow->states + burrow->states_room, 0, room - burrow->states_room);
    burrow->states_room = room;
}

uint32_t dm_burrow_adopt(struct dm_burrow *burrow, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    DM_CHECK(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    uint32_t sock = dm_slab_take(&burrow->socks);
    make_room_for_state(burrow, sock);
    burrow->states[sock] = DM_SOCK_ADOPTED;
    dm_sock_at(burrow, sock)->fd = fd;
    burrow->count++;
    return sock;
}

void dm_burrow_speak_tls(struct dm_burrow *burrow, uint32_t sock, struct ssl_st *tls)
{
    DM_CHECK(dm_sock_life(burrow, sock) == DM_SOCK_ADOPTED);
    if (sock >= burrow->tls_room) {
        burrow->tls = dm_realloc(burrow->tls, burrow->states_room * sizeof(struct ssl_st *));
        memset(burrow->tls + burrow->tls_room, 0,
               (burrow->states_room - burrow->tls_room) * sizeof(struct ssl_st *));
        burrow->tls_room = burrow->states_room;
    }
    burrow->tls[sock] = tls;
}

void dm_burrow_start(struct dm_burrow *burrow, uint32_t sock, uint32_t owner, struct dm_slice early)
{
    if (dm_sock_life(burrow, sock) != DM_SOCK_ADOPTED)
        return; /* closed before it was started */
    dm_sock_at(burrow, sock)->owner = owner;
    dm_sock_enter(burrow, sock, DM_SOCK_OPEN);
    if (early.len)
        dm_sock_take_early(burrow, sock, early);
    else
        dm_sock_settle(burrow, sock);
}

/* An owner names only what it has not closed and was not told to be closed. */
static bool is_open(const struct dm_burrow *burrow, uint32_t sock)
{
    enum dm_sock_life life = dm_sock_life(burrow, sock);
    if (life == DM_SOCK_OPEN || life == DM_SOCK_ADOPTED)
        return true;
    DM_CHECK(life != DM_SOCK_FREE && dm_burrow_is_untold(burrow, sock));
    return false;
}

void dm_burrow_send(struct dm_burrow *burrow, uint32_t sock, struct dm_wire *wire)
{
    if (is_open(burrow, sock))
        dm_sock_queue(burrow, sock, wire);
}

void dm_burrow_close(struct dm_burrow *burrow, uint32_t sock, int code, struct dm_slice reason)
{
    if (!is_open(burrow, sock)) {
        dm_burrow_forget_untold(burrow, sock);
        return;
    }
    struct dm_wire *wire = dm_wire_create_close(code, reason);
    dm_sock_queue(burrow, sock, wire);
    dm_wire_release(wire);
    dm_sock_linger(burrow, sock);
}

void dm_burrow_resume(struct dm_burrow *burrow, uint32_t sock)
{
    if (!is_open(burrow, sock))
        return;
    if (dm_sock_held(burrow, sock)) {
        dm_sock_mark_resumed(burrow, sock);
        return;
    }
    for (struct dm_offer *offer = burrow->offers; offer; offer = offer->outer)
        if (offer->sock == sock)
            offer->resumed = true; /* it may still be answered with HOLD */
}

void dm_burrow_ping_all(struct dm_burrow *burrow)
{
    struct dm_wire *wire = dm_wire_create(DM_OP_PING, DM_NO_SLICE);
    for (uint32_t sock = 1; sock < dm_slab_end(&burrow->socks); sock++)
        if (dm_sock_life(burrow, sock) == DM_SOCK_OPEN)
            dm_sock_queue(burrow, sock, wire);
    dm_wire_release(wire);
}

/* A socket of this batch may have been closed by an earlier one's event, or by its own write: its
 * number is not used again before the flush, and one that is GONE watches for nothing. */
static void wake(struct dm_burrow *burrow, uint32_t sock, uint32_t events)
{
    if (burrow->states[sock] & DM_SOCK_WATCH_OUT && events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        dm_sock_write_unsent(burrow, sock);
    if (burrow->states[sock] & DM_SOCK_WATCH_IN &&
        events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        dm_sock_read(burrow, sock);
}

void dm_burrow_ready(struct dm_burrow *burrow)
{
    struct epoll_event events[DM_BURROW_BATCH];
    int count = epoll_wait(burrow->epoll, events, DM_BURROW_BATCH, 0);
    for (int i = 0; i < count; i++) {
        uint64_t pokes;
        if (events[i].data.u32)
            wake(burrow, events[i].data.u32, events[i].events);
        else if (read(burrow->poke, &pokes, sizeof pokes) < 0)
            continue; /* read before: it is only there to wake us */
    }
}

static void offer_resumed(struct dm_burrow *burrow)
{
    struct dm_sock_list *list = &burrow->resumed;
    uint32_t count = list->count; /* those that are resumed meanwhile wait for the next round */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sock = list->at[i];
        struct dm_sock_live *live =
            dm_sock_life(burrow, sock) == DM_SOCK_FREE ? NULL : dm_sock_live(burrow, sock);
        if (!live || !live->resumed)
            continue; /* gone since an earlier turn, and perhaps another's number now */
        live->resumed = false;
        dm_sock_offer_held(burrow, sock);
    }
    list->count -= count;
    if (list->count)
        memmove(list->at, list->at + count, list->count * sizeof *list->at);
}

static void tell_untold(struct dm_burrow *burrow)
{
    for (uint32_t left = burrow->untold_count; left && burrow->untold_count; left--) {
        struct dm_untold untold = burrow->untold[--burrow->untold_count];
        dm_burrow_tell(burrow, untold.owner, untold.how, untold.code);
    }
}

/* But for those that are still on their way through the writing. */
static void free_gone(struct dm_burrow *burrow)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < burrow->gone.count; i++) {
        uint32_t sock = burrow->gone.at[i];
        if (dm_sock_at(burrow, sock)->turn) {
            burrow->gone.at[kept++] = sock;
            continue;
        }
        burrow->states[sock] = DM_SOCK_FREE;
        dm_slab_give(&burrow->socks, sock);
    }
    burrow->gone.count = kept;
}

void dm_burrow_flush(struct dm_burrow *burrow)
{
    DM_CHECK(!burrow->offers);
    for (int round = 0; round < MOST_ROUNDS; round++) {
        if (!burrow->resumed.count && !burrow->untold_count && !dm_burrow_writes(burrow))
            break;
        offer_resumed(burrow);
        tell_untold(burrow);
        dm_burrow_write(burrow);
        if (dm_burrow_writes(burrow))
            break; /* it has written its share */
    }
    if (!burrow->untold_count)
        free_gone(burrow);
    if (burrow->resumed.count || burrow->untold_count || dm_burrow_writes(burrow)) {
        uint64_t one = 1;
        ssize_t written = write(burrow->poke, &one, sizeof one);
        DM_CHECK(written == sizeof one);
    }
}

uint64_t dm_burrow_tick(struct dm_burrow *burrow, uint64_t now_mono_ms)
{
    while (!dm_list_empty(&burrow->lingering)) {
        struct dm_sock_live *live =
            DM_CONTAINER(burrow->lingering.next, struct dm_sock_live, lingering);
        if (live->deadline > now_mono_ms)
            return live->deadline;
        dm_sock_finish(burrow, live->sock);
    }
    return UINT64_MAX;
}
