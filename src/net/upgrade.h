/*
 * The WebSocket handshake (RFC 6455 section 4.2) and the way of a new socket
 * from h2o to the burrow of its user's shard.
 */
#ifndef DM_NET_UPGRADE_H
#define DM_NET_UPGRADE_H

#include "dialect/dialect.h"
#include "net/line.h"
#include "net/route.h"

struct dm_handshake {
    struct dm_slice key;         /* Sec-WebSocket-Key */
    bool native, msgpack;        /* dormouse.v1, dormouse.v1.msgpack is among those offered */
    struct dm_slice subprotocol; /* the one selected; absent: none was offered */
};

/* DM_OK, DM_ERR_UPGRADE_REQUIRED (not an upgrade, or not version 13) or DM_ERR_BAD_REQUEST. */
int dm_handshake_read(struct dm_request *request, struct dm_handshake *handshake) DM_MUST_CHECK;

/* Gets a line, whose descriptor is -1 if the client went meanwhile, and what the client had sent
 * behind its handshake (good until this returns). */
typedef void dm_handshake_done(void *context, struct dm_line line, struct dm_slice early);

/* Says 101 and hands the line on. */
void dm_handshake_accept(struct st_h2o_req_t *req, const struct dm_handshake *handshake,
                         dm_handshake_done *done, void *context);

/* A route's handler for sockets of a dialect: checks the handshake, then who asks, then the limits;
 * then accepts. */
int dm_upgrade(struct dm_request *request, enum dm_dialect_id dialect);

/* The same for the sockets of one channel, the path's first segment: may the user enter it? */
int dm_upgrade_to_channel(struct dm_request *request);

#endif
