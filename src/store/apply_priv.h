/* One write operation as statements inside the writer's open transaction. */
#ifndef DM_STORE_APPLY_PRIV_H
#define DM_STORE_APPLY_PRIV_H

#include "ports/store.h"
#include "store/connection_priv.h"

enum dm_applied {
    DM_APPLIED,      /* there once the transaction commits */
    DM_APPLY_FAILED, /* it has left no trace; the transaction goes on */
    DM_APPLY_DAMAGE, /* it met a page that makes no sense, and may have done half: roll back */
    DM_APPLY_LOST,   /* the transaction can only be rolled back, or already is */
};

enum dm_applied dm_apply(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;

/* resume.c; inside a savepoint: SQLITE_OK or an error. */
int dm_apply_save(struct dm_connection *connection, const struct dm_store_op *op,
                  const struct dm_store_session *session) DM_MUST_CHECK;
int dm_apply_reopen(struct dm_connection *connection, const struct dm_store_op *op) DM_MUST_CHECK;
int dm_apply_end_user(struct dm_connection *connection, const struct dm_store_op *op) DM_MUST_CHECK;
int dm_apply_open(struct dm_connection *connection, const struct dm_store_op *op) DM_MUST_CHECK;
int dm_apply_resume(struct dm_connection *connection, struct dm_store_op *op) DM_MUST_CHECK;
int dm_apply_confirm(struct dm_connection *connection, const struct dm_store_op *op) DM_MUST_CHECK;
int dm_apply_expire(struct dm_connection *connection, const struct dm_store_op *op) DM_MUST_CHECK;

#endif
