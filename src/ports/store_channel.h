/*
 * Channels in the store: who is a member of which, since when. Part of an
 * operation (ports/store.h), and freed with it. Times are Unix milliseconds;
 * op->now is the present.
 */
#ifndef DM_PORTS_STORE_CHANNEL_H
#define DM_PORTS_STORE_CHANNEL_H

#include "ports/store.h"

enum {
    DM_MEMBERS_PAGE_ROWS = 512, /* of LOAD_MEMBERS for a roster: others wait behind a page */
    DM_MEMBERS_AT_ONCE = 1024,  /* of FORGET_CHANNEL, and */
    DM_FORGOTTEN_AT_ONCE = 128, /* of each of FORGET_USER: nobody waits long behind it */
};

enum dm_membership {
    DM_MEMBER_NOT,      /* it was none, and is none */
    DM_MEMBER_CHANGED,  /* it was none and is one; of LEAVE_CHANNEL: it was one and is none */
    DM_MEMBER_ALREADY,  /* it was one, and is */
    DM_MEMBER_TOO_MANY, /* it is one of `max_channels` channels already */
};

struct dm_store_member {
    struct dm_store_text name; /* the member's userId; of LOOK_PRESENCE a channel */
    uint64_t since;            /* when it joined */
};

struct dm_store_channel {
    /* Asked. */
    struct dm_store_text name;      /* the channel */
    uint32_t first_slot, last_slot; /* of the users that are looked for */
    struct dm_store_text after;     /* a userId: those behind it, in order of slot and name; of no
                                     * length: from the first on */
    uint32_t limit;                 /* rows at most */
    uint32_t max_channels;

    /* Answered. */
    enum dm_membership was;
    uint64_t joined_at; /* of JOIN_CHANNEL: when it did */
    struct dm_store_member *rows;
    uint32_t count, room;
    bool more; /* there are rows behind these; of FORGET_CHANNEL: members that are
                * left; of FORGET_USER: anything */
};

/* The operation's part; made where it is not there yet. */
struct dm_store_channel *dm_store_op_channel(struct dm_store_op *op);

void dm_store_channel_add(struct dm_store_op *op, struct dm_slice name, uint64_t since);

#endif
