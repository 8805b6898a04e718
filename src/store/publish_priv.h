/*
 * Recorded publishes: what the operations of ports/store_publish.h do to their
 * tables. SQLITE_OK or an error; those that write run inside a savepoint.
 */
#ifndef DM_STORE_PUBLISH_PRIV_H
#define DM_STORE_PUBLISH_PRIV_H

#include "ports/store.h"
#include "store/connection_priv.h"

/* A row of `publish`, as FIND_PUBLISH has it. */
struct dm_found_publish {
    sqlite3_int64 number;
    bool done;
    uint64_t deadline, owed_until, expires_at; /* owed_until 0: nothing is owed */
};

/* SQLITE_ROW, and then `found` and op->publish tell of it; SQLITE_DONE; or an error. */
int dm_publish_find(struct dm_connection *connection, struct dm_store_op *op,
                    struct dm_found_publish *found) DM_MUST_CHECK;
int dm_publish_forget_wholly(struct dm_connection *connection, sqlite3_int64 number) DM_MUST_CHECK;

/* publish_record.c */
int dm_publish_record(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_count(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_finish(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_forget(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_ack(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_forget_user(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_expire(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_publish_look(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;

#endif
