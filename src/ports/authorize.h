/*
 * How hub and net ask whether a user may enter a channel: a name that is open
 * to everybody, one that the user's claims grant, or one that the backend's
 * authorize hook lets it have.
 */
#ifndef DM_PORTS_AUTHORIZE_H
#define DM_PORTS_AUTHORIZE_H

#include "base/err.h"
#include "base/slice.h"
#include "model/name.h"
#include "ports/mail.h"

struct dm_authorization {
    struct dm_mail mail; /* `run` is the asker's */
    uint32_t shard;      /* where the mail comes back */
    struct dm_slice user_id, channel;
    struct dm_slice claims;  /* the user's, a JSON object; absent: none */
    struct dm_slice headers; /* of the request that it comes with, a JSON object; absent: none */
    int err; /* DM_OK, DM_ERR_FORBIDDEN, DM_ERR_HOOK_UNAVAILABLE (nobody could say) */
};

struct dm_authorize {
    void *self;

    /* On a shard's thread. True: it is answered at once, `err` is set and no mail comes. False: it
     * comes back by mail, and it and its slices must stay good until then. */
    bool (*ask)(void *self, struct dm_authorization *ask);
};

/* The same where the port may be empty: then there are no grants and no hook. */
static inline bool dm_authorize_ask(const struct dm_authorize *port, struct dm_authorization *ask)
{
    if (port->ask)
        return port->ask(port->self, ask);
    ask->err = dm_name_needs_grant(ask->channel) ? DM_ERR_FORBIDDEN : DM_OK;
    return true;
}

#endif
