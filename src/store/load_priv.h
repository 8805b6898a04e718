/* What each kind of operation that reads, reads. */
#ifndef DM_STORE_LOAD_PRIV_H
#define DM_STORE_LOAD_PRIV_H

#include "ports/store.h"
#include "store/connection_priv.h"

/* One transaction, so that all of it is of the same moment. `user_id` is the operation's, where it
 * does not move as rows are added. SQLITE_OK or an error, and then the transaction may be open. */
int dm_load(struct dm_connection *connection, struct dm_store_op *op,
            struct dm_slice user_id) DM_MUST_CHECK;

/* Takes out what a load has added before it failed. */
void dm_load_undo(struct dm_store_op *op);

#endif
