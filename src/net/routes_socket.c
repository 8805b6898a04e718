/* Paths that speak WebSocket: the path picks the dialect. */
#include "net/routes.h"
#include "net/upgrade.h"

static int hopeflow(struct dm_request *request)
{
    return dm_upgrade(request, DM_DIALECT_HOPEFLOW);
}

static int notifier(struct dm_request *request)
{
    return dm_upgrade(request, DM_DIALECT_NOTIFIER);
}

const struct dm_route dm_socket_routes[] = {
    {"GET", "/", DM_WHO_SOCKET, DM_BODY_NONE, hopeflow},
    {"GET", "/connect", DM_WHO_SOCKET, DM_BODY_NONE, hopeflow},
    {"GET", "/ws", DM_WHO_SOCKET, DM_BODY_NONE, notifier},
    {"GET", "/ws/channel/*", DM_WHO_SOCKET, DM_BODY_NONE, dm_upgrade_to_channel},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
