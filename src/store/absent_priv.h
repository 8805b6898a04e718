/* The sessions without a socket, as a process finds them at its start. */
#ifndef DM_STORE_ABSENT_PRIV_H
#define DM_STORE_ABSENT_PRIV_H

#include "base/uuid.h"
#include "store/connection_priv.h"

/* Those that can be resumed, in the order in which they dropped. SQLITE_OK or an error. */
int dm_absent_list(struct dm_connection *connection,
                   void (*see)(void *context, struct dm_slice user_id,
                               const struct dm_uuid *session_id, uint64_t dropped_at),
                   void *context) DM_MUST_CHECK;

#endif
