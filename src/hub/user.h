/*
 * What a backend may ask about a user, or have done to one.
 */
#ifndef DM_HUB_USER_H
#define DM_HUB_USER_H

#include "hub/shard.h"

enum dm_user_question { DM_USER_PRESENCE, DM_USER_DISCONNECT };

struct dm_user_call {
    struct dm_mail mail;
    uint32_t origin; /* set by dm_user_ask */
    enum dm_user_question question;
    struct dm_slice user_id; /* good until `done` */
    struct dm_slice reason;  /* of a disconnect: text of the Close frame */
    uint32_t connections;    /* answered: open sockets; of a disconnect, those closed */
    void (*done)(struct dm_user_call *call, struct dm_shard *here);
};

/* On any shard; `done` is run on the same, perhaps before this returns. */
void dm_user_ask(struct dm_shard *shard, struct dm_user_call *call);

#endif
