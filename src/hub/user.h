/*
 * What a backend may ask about a user, or have done to one.
 */
#ifndef DM_HUB_USER_H
#define DM_HUB_USER_H

#include "base/list.h"
#include "hub/shard.h"

enum dm_user_question {
    DM_USER_PRESENCE,
    DM_USER_DISCONNECT,
    DM_USER_FORGET, /* the same, and it is a member of nothing, and owed nothing */
};

struct dm_user_call {
    struct dm_mail mail;
    uint32_t origin; /* set by dm_user_ask */
    enum dm_user_question question;
    struct dm_slice user_id; /* good until `done` */
    struct dm_slice reason;  /* of a disconnect: text of the Close frame */
    int err;              /* answered: of a disconnect the store's, the sockets are closed anyhow */
    uint32_t connections; /* answered: open sockets; of a disconnect, those closed */
    struct dm_list waiting; /* the hub's: while a socket is on its way to the user */
    uint64_t wait_until;
    void (*done)(struct dm_user_call *call, struct dm_shard *here);
};

/* On any shard; `done` is run on the same, perhaps before this returns. Sockets whose handshake has
 * been answered are counted, and closed: the call waits a moment for those still on their way. */
void dm_user_ask(struct dm_shard *shard, struct dm_user_call *call);

#endif
