/*
 * The listener of a loop. It empties the kernel's queue, which is short and
 * drops whom it cannot hold; they come again after seconds. Who is accepted
 * stands in a lobby, and h2o is given a few a turn, while there are places for
 * requests that wait: so a crowd comes in as fast as it can be answered.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <h2o.h>

#include "base/alloc.h"
#include "base/log.h"
#include "net/loop_priv.h"

enum {
    ACCEPTS_A_TURN = 4096,
    HANDED_A_TURN = 64,
    LOBBY_MS = 10000,      /* at most: then let it be refused, if it must */
    ACCEPT_PAUSE_MS = 100, /* after the process ran out of descriptors */
    TELL_AGAIN_MS = 60000, /* that it did */
};

struct guest {
    struct dm_list link;
    h2o_socket_t *sock;
    uint64_t since;
};

static void pause_accepting(struct dm_loop *loop, const char *why)
{
    uint64_t now = dm_shard_now(loop->shard);
    h2o_socket_read_stop(loop->listener);
    loop->accept_again_at = now + ACCEPT_PAUSE_MS;
    dm_metrics_refuse(loop->metrics, DM_ERR_MAX_CONNECTIONS);
    if (loop->accept_told_at && now - loop->accept_told_at < TELL_AGAIN_MS)
        return;
    loop->accept_told_at = now;
    dm_log(DM_LOG_WARN, "accept_paused", "why", why, NULL);
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct dm_loop *loop = listener->data;
    if (err)
        return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (!sock) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                pause_accepting(loop, strerror(errno));
            return;
        }
        struct guest *guest = DM_NEW(struct guest);
        guest->sock = sock;
        guest->since = dm_shard_now(loop->shard);
        dm_list_push(&loop->lobby, &guest->link);
    }
}

static void hand_over_first(struct dm_loop *loop, uint64_t now)
{
    struct guest *guest = DM_CONTAINER(dm_list_shift(&loop->lobby), struct guest, link);
    dm_connection_watch(&loop->connections, guest->sock, loop->accept.ssl_ctx, now);
    h2o_accept(&loop->accept, guest->sock);
    free(guest);
}

static const struct guest *first_in_lobby(const struct dm_loop *loop)
{
    if (loop->lobby.next == &loop->lobby)
        return NULL;
    return DM_CONTAINER(loop->lobby.next, struct guest, link);
}

uint64_t dm_loop_hand_over(struct dm_loop *loop, uint64_t now)
{
    const struct guest *first;
    for (int i = 0; (first = first_in_lobby(loop)) != NULL; i++) {
        if (first->since + LOBBY_MS > now && dm_kept_is_nearly_full(loop->kept))
            return first->since + LOBBY_MS;
        if (i == HANDED_A_TURN)
            return now;
        hand_over_first(loop, now);
    }
    return UINT64_MAX;
}

void dm_loop_start_accepting(struct dm_loop *loop, int listen_fd)
{
    loop->listener = h2o_evloop_socket_create(loop->h2o, listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    loop->listener->data = loop;
    h2o_socket_read_start(loop->listener, on_accept);
}

void dm_loop_stop_accepting(struct dm_loop *loop)
{
    if (!loop->listener)
        return;
    while (first_in_lobby(loop))
        hand_over_first(loop, dm_shard_now(loop->shard));
    h2o_socket_read_stop(loop->listener);
    h2o_socket_close(loop->listener);
    loop->listener = NULL;
    loop->context.shutdown_requested = 1; /* h2o: no keep-alive from here on */
}

void dm_loop_resume_accepting(struct dm_loop *loop)
{
    loop->accept_again_at = 0;
    if (loop->listener)
        h2o_socket_read_start(loop->listener, on_accept);
}
