/* The end of a loop: what is open finishes, what is connected is told, nothing is cut off. */
#include "net/loop_priv.h"

void dm_loop_end(struct dm_loop *loop, uint64_t deadline_mono_ms)
{
    if (loop->drain.state != DM_DRAIN_SERVING)
        return;
    loop->drain.state = DM_DRAIN_FINISHING;
    loop->drain.end_by = deadline_mono_ms;
}

/* Says `step` for this loop once; true when every loop has said it. */
static bool all_have(struct dm_loop *loop, enum dm_drain_step step, bool here)
{
    if (here && !(loop->drain.said & 1u << step)) {
        loop->drain.said |= 1u << step;
        dm_server_step_done(loop->server, step);
    }
    return dm_server_all_have(loop->server, step);
}

static void close_sessions(struct dm_loop *loop)
{
    if (atomic_load(&loop->metrics->values[DM_METRIC_SESSIONS]) == 0)
        return;
    uint32_t closed =
        dm_shard_close_sessions(loop->shard, 1012, DM_SLICE("The server is restarting"));
    dm_metrics_add(loop->metrics, DM_METRIC_CLOSED_DRAIN, closed);
    dm_burrow_flush(loop->burrow);
}

/* Nobody waits for a hook's answer any more, or not for longer. */
static void give_hooks_up(struct dm_loop *loop)
{
    dm_hooks_give_up(dm_server_hooks(loop->server));
}

static void finish(struct dm_loop *loop, bool late)
{
    bool answered = dm_kept_count(loop->kept) == 0 && !dm_turn_has_waiting(&loop->turn) &&
                    !dm_shard_has_asked(loop->shard);
    if (late)
        dm_shard_finish_publishes(loop->shard);
    if (!all_have(loop, DM_DRAIN_ANSWERED, answered) && !late)
        return;
    give_hooks_up(loop);
    loop->drain.state = DM_DRAIN_CLOSING;
}

/* What is still to come back to this loop: operations at the store, calls of hooks. */
static bool is_owed(const struct dm_loop *loop)
{
    return dm_shard_busy(loop->shard) || loop->hook_calls;
}

/* Past end_by only what is owed is still waited for: it points into this shard. */
static void close_all(struct dm_loop *loop, bool late)
{
    if (late)
        dm_shard_finish_publishes(loop->shard);
    close_sessions(loop);
    bool edge_ended = all_have(loop, DM_DRAIN_EDGE_ENDED, loop->connections.count == 0);
    bool empty = edge_ended && dm_server_connections(loop->server) == 0 &&
                 dm_burrow_count(loop->burrow) == 0;
    if (all_have(loop, DM_DRAIN_EMPTY, (empty || late) && !is_owed(loop)))
        loop->drain.state = DM_DRAIN_LAST_TURN;
}

bool dm_loop_has_drained(struct dm_loop *loop)
{
    if (loop->drain.state == DM_DRAIN_SERVING)
        return false;
    if (loop->drain.state == DM_DRAIN_LAST_TURN)
        return !is_owed(loop);
    bool late = dm_shard_now(loop->shard) >= loop->drain.end_by;
    dm_connections_end_idle(&loop->connections);
    if (loop->drain.state == DM_DRAIN_FINISHING)
        finish(loop, late);
    if (loop->drain.state == DM_DRAIN_CLOSING)
        close_all(loop, late);
    return false;
}
