/* Paths that speak WebSocket: the path picks the dialect. */
#include "net/routes.h"
#include "net/upgrade.h"

static int hopeflow(struct dm_request *request)
{
    return dm_upgrade(request, DM_DIALECT_HOPEFLOW);
}

const struct dm_route dm_socket_routes[] = {
    {"GET", "/", DM_WHO_SOCKET, DM_BODY_NONE, hopeflow},
    {"GET", "/connect", DM_WHO_SOCKET, DM_BODY_NONE, hopeflow},
    {NULL, NULL, DM_WHO_ANYONE, DM_BODY_NONE, NULL},
};
