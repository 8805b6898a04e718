/* /healthz, /readyz and /metrics. */
#ifndef DM_ADMIN_ROUTES_ADMIN_H
#define DM_ADMIN_ROUTES_ADMIN_H

#include "net/route.h"

extern const struct dm_route dm_admin_routes[];

#endif
