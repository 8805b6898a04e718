/*
 * The store behind fuzz_session.c. Writes and reads each come back in order;
 * between an operation's being carried out and its return there may be others.
 * Recorded publishes it does not know: they are refused.
 */
#ifndef DM_FUZZ_SESSION_STORE_H
#define DM_FUZZ_SESSION_STORE_H

#include "session_rows.h"

struct op_queue {
    struct dm_store_op *first, **end;
    bool carried_out; /* the first */
};

struct fake_store {
    struct op_queue writes, reads;
    int failing; /* what the next operation on a channel comes back with; DM_OK: none fails */
    bool half;   /* and that although it was carried out */
    struct rows rows;
};

static void store_init(struct fake_store *store)
{
    store->writes.end = &store->writes.first;
    store->reads.end = &store->reads.first;
}

static void store_submit(struct fake_store *store, struct dm_store_op *op)
{
    struct op_queue *queue = dm_store_reads(op->kind) ? &store->reads : &store->writes;
    op->next = NULL;
    *queue->end = op;
    queue->end = &op->next;
}

/* --- carrying out --- */

static void carry_out(struct rows *rows, struct dm_store_op *op)
{
    switch (op->kind) {
    case DM_STORE_LOAD_USER:
        load_user(rows, op);
        return;
    case DM_STORE_SAVE_USER:
        save(rows, op);
        return;
    case DM_STORE_OPEN_SESSION:
    case DM_STORE_REOPEN_SESSION:
        open_row(rows, op, op->kind == DM_STORE_REOPEN_SESSION);
        return;
    case DM_STORE_RESUME_SESSION:
        resume_row(rows, op);
        return;
    case DM_STORE_CONFIRM_SESSION:
    case DM_STORE_CONNECT_SESSION:
    case DM_STORE_END_SESSION:
    case DM_STORE_DROP_SESSION:
        change_row(rows, op);
        return;
    case DM_STORE_END_USER:
        end_user(rows, op);
        return;
    case DM_STORE_EXPIRE_SESSIONS:
        expire(rows, op);
        return;
    case DM_STORE_FORGET_SESSION:
        forget_row(rows, find_row(rows, &op->session_id));
        forget_pending(rows, &op->session_id, NULL);
        return;
    case DM_STORE_FORGET_PENDING:
        forget_pending(rows, &op->session_id, &op->envelope_id);
        return;
    case DM_STORE_FORGET_ENVELOPE:
        forget_pending(rows, NULL, &op->envelope_id);
        return;
    case DM_STORE_JOIN_CHANNEL:
        join_channel(rows, op);
        return;
    case DM_STORE_LEAVE_CHANNEL:
        leave_channel(rows, op);
        return;
    case DM_STORE_FORGET_CHANNEL:
        forget_channel(rows, op);
        return;
    case DM_STORE_FORGET_USER:
        forget_user(rows, op);
        return;
    case DM_STORE_LOOK_PRESENCE:
        look_presence(rows, op);
        return;
    case DM_STORE_LOAD_MEMBERS:
        load_members(rows, op);
        return;
    default: /* of publishes */
        op->err = DM_ERR_UNAVAILABLE;
        return;
    }
}

/* A read that fails reads nothing; of a write that fails it may not be known. */
static void carry_out_or_fail(struct fake_store *store, struct dm_store_op *op)
{
    bool fails = op->channel && store->failing;
    op->err = fails && dm_store_reads(op->kind) ? DM_ERR_UNAVAILABLE : DM_OK;
    if (!fails || (store->failing == DM_ERR_COMMIT_UNKNOWN && store->half && !op->err))
        carry_out(&store->rows, op);
    if (!fails)
        return;
    if (!op->err)
        op->err = store->failing;
    store->failing = DM_OK;
}

/* The first of a queue is carried out, or comes back. False: there is none. */
static bool store_step(struct fake_store *store, struct op_queue *queue, struct dm_shard *shard)
{
    struct dm_store_op *op = queue->first;
    if (!op)
        return false;
    if (!queue->carried_out) {
        carry_out_or_fail(store, op);
        queue->carried_out = true;
        return true;
    }
    queue->carried_out = false;
    queue->first = op->next;
    if (!queue->first)
        queue->end = &queue->first;
    op->mail.run(&op->mail, shard);
    return true;
}

static void store_dispose(struct fake_store *store)
{
    DM_CHECK(!store->writes.first && !store->reads.first);
    while (store->rows.row_count)
        forget_row(&store->rows, &store->rows.rows[0]);
    while (store->rows.member_count)
        forget_member(&store->rows, &store->rows.members[0]);
}

#endif
