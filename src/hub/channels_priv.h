/*
 * The hub's records of channels, shared by the files of this folder and nobody
 * else.
 *
 * Each shard has its own part of a channel: the members and listeners that are
 * its users. A part with neither listeners nor members in memory is no record
 * at all.
 *
 *   channel ─┬─ listener ── session    while that session lives
 *            └─ roster ── member       while awake
 *
 * A roster's life (roster.c moves it):
 *
 *   (needed) ─► LOADING ── last page ──► READY ── idle, or too many members awake ──► (gone)
 *                │    ▲
 *                │    └── in doubt: from the first page on
 *                └── a page cannot be read: who waits is refused ──► (gone)
 */
#ifndef DM_HUB_CHANNELS_PRIV_H
#define DM_HUB_CHANNELS_PRIV_H

#include "base/buf.h"
#include "base/index.h"
#include "base/list.h"
#include "hub/channel.h"
#include "model/short_id.h"

struct channel {
    uint32_t name_len; /* first: 0 in a free record */
    uint32_t index;    /* its own */
    uint32_t first_listener, listener_count;
    char *name;
    struct roster *roster; /* NULL: asleep */
};

/* A session that is in one channel for its life. */
struct listener {
    uint32_t session; /* first: 0 in a free record */
    uint32_t channel;
    uint32_t next, prev; /* neighbours among the channel's */
};

struct member {
    uint64_t hash;  /* of its userId, as shard->index has it */
    uint64_t since; /* Unix milliseconds */
    struct dm_short_id id;
};

enum roster_state { ROSTER_LOADING, ROSTER_READY };

/* The members of a channel that are this shard's users. */
struct roster {
    struct dm_list recent; /* its place in shard->rosters, while READY */
    uint64_t last_event;
    uint32_t channel;
    enum roster_state state;
    bool reading;           /* LOADING: a page is on its way */
    bool doubtful;          /* and of no use when it comes: what it says may have changed */
    struct dm_buf members;  /* struct member, in no order */
    struct dm_index places; /* hash to the place in `members`, from 1 */
    struct dm_buf after;    /* the userId that the next page begins behind */
    struct dm_buf changes;  /* struct roster_change, since the page on its way was asked for */
    struct dm_list waiting; /* struct roster_wait, in order; READY: while they are let go on */
};

/* What cannot go on before the roster is ready. Embedded in what waits. */
struct roster_wait {
    struct dm_list link;
    void (*go_on)(struct dm_shard *shard, struct roster_wait *wait, int err);
};

#endif
