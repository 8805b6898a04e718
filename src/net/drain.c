/* The end of a loop: what is open finishes, what is connected is told, nothing is cut off. */
#include "net/loop_priv.h"

void dm_loop_end(struct dm_loop *loop, uint64_t deadline_mono_ms)
{
    if (loop->drain_state != DM_DRAIN_SERVING)
        return;
    loop->drain_state = DM_DRAIN_FINISHING;
    loop->end_by = deadline_mono_ms;
}

static void close_sessions(struct dm_loop *loop)
{
    uint64_t before = atomic_load(&loop->metrics->values[DM_METRIC_SESSIONS]);
    if (before == 0)
        return;
    dm_shard_close_sessions(loop->shard, 1012, DM_SLICE("The server is restarting"));
    dm_metrics_add(loop->metrics, DM_METRIC_CLOSED_DRAIN, before);
    dm_burrow_flush(loop->burrow);
}

/* Past end_by only the store is still waited for: what it owes points into this shard. */
bool dm_loop_has_drained(struct dm_loop *loop)
{
    if (loop->drain_state == DM_DRAIN_SERVING)
        return false;
    bool late = dm_shard_now(loop->shard) >= loop->end_by;
    if (late || !dm_shard_open_publishes(loop->shard))
        loop->drain_state = DM_DRAIN_CLOSING;
    dm_connections_end_idle(&loop->connections);
    if (loop->connections.count == 0 && !loop->edge_ended) {
        loop->edge_ended = true;
        dm_server_edge_ended(loop->server);
    }
    if (loop->drain_state != DM_DRAIN_CLOSING)
        return false;
    close_sessions(loop);
    if (dm_shard_busy(loop->shard))
        return false;
    return late || (dm_server_empty(loop->server) && dm_burrow_count(loop->burrow) == 0);
}
