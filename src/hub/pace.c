/*
 * rate_messages: so many messages of a session are taken in a second. What more
 * it sends is refused where its dialect can say so; else it waits in its
 * socket, where TCP slows the sender: no ack is lost.
 * Hides that a second begins for all sessions at once, with the first message
 * after a silence, so that four bytes a session are all there is to keep, and
 * none where the limit is off.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

enum { SECOND_MS = 1000 };

static void make_room(struct pace *pace, uint32_t session)
{
    if (session < pace->room)
        return;
    uint32_t room = session < 64 ? 128 : 2 * session;
    pace->spent = dm_realloc(pace->spent, room * sizeof *pace->spent);
    memset(pace->spent + pace->room, 0, (room - pace->room) * sizeof *pace->spent);
    pace->room = room;
}

static void list(struct pace *pace, uint32_t session)
{
    if (pace->listed == pace->list_room) {
        pace->list_room = pace->list_room ? 2 * pace->list_room : 64;
        pace->list = dm_realloc(pace->list, pace->list_room * sizeof *pace->list);
    }
    pace->list[pace->listed++] = session;
}

bool dm_pace_spend(struct dm_shard *shard, uint32_t session)
{
    struct pace *pace = &shard->pace;
    uint32_t rate = shard->options.limits.rate_messages;
    make_room(pace, session);
    if (pace->spent[session] < rate) {
        if (!pace->listed)
            pace->ends = dm_shard_now(shard) + SECOND_MS;
        if (!pace->spent[session])
            list(pace, session);
        pace->spent[session]++;
        return true;
    }
    return false;
}

void dm_pace_hold(struct dm_shard *shard, uint32_t session)
{
    shard->pace.spent[session] = shard->options.limits.rate_messages + 1;
    dm_metrics_add(shard->metrics, DM_METRIC_SLOWED, 1);
}

void dm_pace_refund(struct dm_shard *shard, uint32_t session)
{
    shard->pace.spent[session]--;
}

void dm_pace_forget(struct dm_shard *shard, uint32_t session)
{
    if (session < shard->pace.room)
        shard->pace.spent[session] = 0;
}

/* A session may stand on the list twice: its number was another's before, or its message was held
 * for a wake. The second time there is nothing left to do. What is resumed here goes on after this
 * tick, and may make work for one: it is asked for at once. */
uint64_t dm_pace_tick(struct dm_shard *shard, uint64_t now)
{
    struct pace *pace = &shard->pace;
    if (!pace->listed)
        return UINT64_MAX;
    if (now < pace->ends)
        return pace->ends;
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < pace->listed; i++) {
        uint32_t session = pace->list[i];
        bool held = pace->spent[session] > shard->options.limits.rate_messages;
        pace->spent[session] = 0;
        if (!held)
            continue;
        shard->ports.sink.resume(shard->ports.sink.self, session_at(shard, session)->sock);
        next = now;
    }
    pace->listed = 0;
    return next;
}

void dm_pace_dispose(struct pace *pace)
{
    free(pace->spent);
    free(pace->list);
    *pace = (struct pace){0};
}
