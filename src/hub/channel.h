/*
 * What may be asked of channels: who is a member, who is there; changing it;
 * ending one. On any shard; `done` is run on the same, perhaps before the call
 * returns. Each struct, and what its slices point to, is the caller's
 * throughout and must live until then.
 */
#ifndef DM_HUB_CHANNEL_H
#define DM_HUB_CHANNEL_H

#include "base/buf.h"
#include "hub/shard.h"

enum {
    DM_MEMBERS_LIMIT = 1000, /* of a page, where none is asked for */
    DM_MEMBERS_LIMIT_MAX = 10000,
};

enum dm_membership_change {
    DM_MEMBERSHIP_JOIN,
    DM_MEMBERSHIP_LEAVE,
    DM_MEMBERSHIP_EXPEL, /* leaves, and its listeners there are closed (4403) */
};

/* One user, one channel. Answered once it lasts; what is so already stays so. */
struct dm_membership_call {
    struct dm_mail mail;
    uint32_t origin; /* set by dm_membership_ask */

    enum dm_membership_change change;
    struct dm_slice channel, user_id; /* valid names */
    int err; /* DM_ERR_TOO_MANY_CHANNELS, DM_ERR_UNAVAILABLE, DM_ERR_COMMIT_UNKNOWN */
    void (*done)(struct dm_membership_call *call, struct dm_shard *here);
};

void dm_membership_ask(struct dm_shard *shard, struct dm_membership_call *call);

/* A page of names, of all shards: in order of slot and name. */
struct dm_members_call {
    struct dm_slice channel, after; /* after: a userId; absent: from the first on */
    uint32_t limit;                 /* 1 to DM_MEMBERS_LIMIT_MAX */
    int err;                        /* DM_ERR_UNAVAILABLE */
    struct dm_buf names;            /* answered: JSON strings with commas between */
    struct dm_buf last;             /* the last of them, where there are more behind it */
    void (*done)(struct dm_members_call *call, struct dm_shard *here);
};

void dm_members_ask(struct dm_shard *shard, struct dm_members_call *call);

/* Who is there: members with a session, open or to be resumed, and listeners. The same order. */
struct dm_presence_call {
    struct dm_slice channel, after;
    uint32_t limit;
    int err;
    struct dm_buf members; /* answered: JSON objects {id,joinedAt} with commas between */
    struct dm_buf last;
    void (*done)(struct dm_presence_call *call, struct dm_shard *here);
};

void dm_presence_ask(struct dm_shard *shard, struct dm_presence_call *call);

/* Forgets all members, and closes all listeners (4403). */
struct dm_channel_end {
    struct dm_slice channel;
    int err;
    void (*done)(struct dm_channel_end *end, struct dm_shard *here);
};

void dm_channel_end(struct dm_shard *shard, struct dm_channel_end *end);

/* What goes before the name of a guest's user. */
static const struct dm_slice dm_guest_prefix = DM_SLICE_INIT("guest:");

#endif
