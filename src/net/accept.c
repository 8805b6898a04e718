/* The listener of a loop. */
#include <errno.h>
#include <string.h>

#include <h2o.h>

#include "base/log.h"
#include "net/loop_priv.h"

enum {
    ACCEPTS_A_TURN = 64,
    ACCEPT_PAUSE_MS = 100, /* after the process ran out of descriptors */
    TELL_AGAIN_MS = 60000, /* that it did */
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
        dm_connection_watch(&loop->connections, sock, loop->accept.ssl_ctx,
                            dm_shard_now(loop->shard));
        h2o_accept(&loop->accept, sock);
    }
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
