/*
 * The route tables of this folder, for the command to join. Each ends with a
 * route without a pattern.
 */
#ifndef DM_NET_ROUTES_H
#define DM_NET_ROUTES_H

#include "net/route.h"

extern const struct dm_route dm_socket_routes[];       /* upgrades, and paths of later dialects */
extern const struct dm_route dm_publish_routes[];      /* POST /publish, and a look at one */
extern const struct dm_route dm_send_routes[];         /* the sends to users */
extern const struct dm_route dm_channel_routes[];      /* membership, presence */
extern const struct dm_route dm_channel_send_routes[]; /* sends and broadcasts to channels */
extern const struct dm_route dm_user_routes[];         /* presence, disconnect */

#endif
