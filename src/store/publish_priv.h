/*
 * Recorded publishes: what the operations of ports/store_publish.h do to their
 * tables. SQLITE_OK or an error; those that write run inside a savepoint.
 */
#ifndef DM_STORE_PUBLISH_PRIV_H
#define DM_STORE_PUBLISH_PRIV_H

#include "ports/store.h"
#include "store/connection_priv.h"

int dm_publish_record(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_count(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_finish(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_forget(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_ack(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_expire(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_look(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;

#endif
