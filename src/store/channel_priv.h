/*
 * Membership of channels: what the operations of ports/store_channel.h do to
 * its table. SQLITE_OK or an error; those that write run inside a savepoint.
 */
#ifndef DM_STORE_CHANNEL_PRIV_H
#define DM_STORE_CHANNEL_PRIV_H

#include "ports/store.h"
#include "store/connection_priv.h"

int dm_channel_join(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_channel_leave(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_channel_forget(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_channel_forget_user(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_channel_look(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;

/* The readers' */
int dm_channel_load_members(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;

#endif
