/*
 * The rows behind fuzz_session.c, in arrays: sessions, pending acks and members,
 * and what each operation does to them (ports/store.h, ports/store_channel.h).
 */
#ifndef DM_FUZZ_SESSION_ROWS_H
#define DM_FUZZ_SESSION_ROWS_H

#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "model/name.h"
#include "ports/store_channel.h"

enum { ROWS_MAX = 1024, PAGE_MAX = 2 };

struct row {
    struct dm_uuid id;
    char *user, *dialect, *filters, *attachment;
    bool resumable, has_before;
    unsigned char resume[DM_RESUME_HASH_LEN], before[DM_RESUME_HASH_LEN];
    uint64_t dropped_at; /* 0: it has a socket */
};

struct member_row {
    char *channel, *user;
    uint64_t since;
};

struct rows {
    struct row rows[ROWS_MAX];
    struct dm_store_pending pending[4 * ROWS_MAX];
    struct member_row members[ROWS_MAX];
    uint32_t row_count, pending_count, member_count;
};

/* --- sessions --- */

static char *copy_of(const struct dm_store_op *op, struct dm_store_text text)
{
    struct dm_slice slice = dm_store_op_text(op, text);
    return dm_strndup(slice.at, slice.len);
}

static bool is_text(const char *text, const struct dm_store_op *op, struct dm_store_text other)
{
    return dm_slice_eq(dm_slice_of(text), dm_store_op_text(op, other));
}

static struct row *find_row(struct rows *rows, const struct dm_uuid *id)
{
    for (uint32_t i = 0; i < rows->row_count; i++)
        if (dm_uuid_eq(&rows->rows[i].id, id))
            return &rows->rows[i];
    return NULL;
}

static void forget_row(struct rows *rows, struct row *row)
{
    if (!row)
        return;
    free(row->user);
    free(row->dialect);
    free(row->filters);
    free(row->attachment);
    *row = rows->rows[--rows->row_count];
}

/* Of the session, of the envelope, or where both are given the one pair. */
static void forget_pending(struct rows *rows, const struct dm_uuid *session,
                           const struct dm_uuid *envelope)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rows->pending_count; i++) {
        struct dm_store_pending pair = rows->pending[i];
        if ((session && !dm_uuid_eq(&pair.session_id, session)) ||
            (envelope && !dm_uuid_eq(&pair.envelope_id, envelope)))
            rows->pending[kept++] = pair;
    }
    rows->pending_count = kept;
}

static void put_pending(struct rows *rows, const struct dm_store_pending *pair)
{
    for (uint32_t i = 0; i < rows->pending_count; i++)
        if (dm_uuid_eq(&rows->pending[i].session_id, &pair->session_id) &&
            dm_uuid_eq(&rows->pending[i].envelope_id, &pair->envelope_id))
            return;
    DM_CHECK(rows->pending_count < DM_COUNT(rows->pending));
    rows->pending[rows->pending_count++] = *pair;
}

static struct row *put_row(struct rows *rows, const struct dm_store_op *op,
                           const struct dm_store_session *from)
{
    struct row *row = find_row(rows, &from->id);
    if (row) {
        free(row->filters);
        free(row->attachment);
    } else {
        DM_CHECK(rows->row_count < ROWS_MAX);
        row = &rows->rows[rows->row_count++];
        *row = (struct row){.id = from->id,
                            .user = copy_of(op, op->user_id),
                            .dialect = copy_of(op, from->dialect)};
    }
    row->filters = copy_of(op, from->filters);
    row->attachment = copy_of(op, from->attachment);
    return row;
}

static void save(struct rows *rows, const struct dm_store_op *op)
{
    for (uint32_t i = 0; i < op->session_count; i++)
        (void)put_row(rows, op, &op->sessions[i]);
    for (uint32_t i = 0; i < op->pending_count; i++)
        put_pending(rows, &op->pending[i]);
}

static void add_row(struct dm_store_op *op, const struct row *row)
{
    dm_store_op_add_session(op, &row->id, dm_slice_of(row->dialect), dm_slice_of(row->filters),
                            dm_slice_of(row->attachment));
}

static void add_pending(const struct rows *rows, struct dm_store_op *op,
                        const struct dm_uuid *session_id)
{
    for (uint32_t i = 0; i < rows->pending_count; i++)
        if (dm_uuid_eq(&rows->pending[i].session_id, session_id))
            dm_store_op_add_pending(op, &rows->pending[i].envelope_id, session_id);
}

static void load_user(const struct rows *rows, struct dm_store_op *op)
{
    for (uint32_t i = 0; i < rows->row_count; i++) {
        if (!is_text(rows->rows[i].user, op, op->user_id))
            continue;
        add_row(op, &rows->rows[i]);
        add_pending(rows, op, &rows->rows[i].id);
    }
}

static void open_row(struct rows *rows, const struct dm_store_op *op, bool again)
{
    struct row *row = find_row(rows, &op->sessions[0].id);
    if (!row)
        row = put_row(rows, op, &op->sessions[0]);
    row->resumable = true;
    row->has_before = again;
    row->dropped_at = 0;
    memcpy(row->resume, op->next_resume, sizeof row->resume);
    memcpy(row->before, op->resume, sizeof row->before);
}

static bool resumes(const struct row *row, const struct dm_store_op *op)
{
    bool secret = !memcmp(row->resume, op->resume, sizeof row->resume) ||
                  (row->has_before && !memcmp(row->before, op->resume, sizeof row->before));
    return row->resumable && secret && is_text(row->user, op, op->user_id) &&
           is_text(row->dialect, op, op->sessions[0].dialect) &&
           (!row->dropped_at || row->dropped_at >= op->oldest);
}

static void resume_row(struct rows *rows, struct dm_store_op *op)
{
    uint32_t i = 0;
    while (i < rows->row_count && !resumes(&rows->rows[i], op))
        i++;
    op->resumed = i < rows->row_count;
    if (!op->resumed) {
        open_row(rows, op, false);
        return;
    }
    struct row *row = &rows->rows[i];
    add_row(op, row);
    add_pending(rows, op, &row->id);
    memcpy(row->before, op->resume, sizeof row->before);
    memcpy(row->resume, op->next_resume, sizeof row->resume);
    row->has_before = true;
    row->dropped_at = 0;
}

/* What is said of one row. */
static void change_row(struct rows *rows, const struct dm_store_op *op)
{
    struct row *row = find_row(rows, &op->session_id);
    if (!row)
        return;
    if (op->kind == DM_STORE_END_SESSION)
        row->resumable = row->has_before = false;
    else if (op->kind == DM_STORE_DROP_SESSION)
        row->dropped_at = op->now;
    else if (op->kind == DM_STORE_CONNECT_SESSION)
        row->dropped_at = 0;
    else if (!memcmp(row->resume, op->next_resume, DM_RESUME_PRINT_LEN)) {
        row->has_before = false;
        row->dropped_at = 0;
    }
}

/* Rows are swapped as they go: from the last one on. */
static void end_user(struct rows *rows, const struct dm_store_op *op)
{
    for (uint32_t i = rows->row_count; i-- > 0;) {
        struct row *row = &rows->rows[i];
        if (!is_text(row->user, op, op->user_id))
            continue;
        row->resumable = row->has_before = false;
        if (row->dropped_at)
            forget_row(rows, row);
    }
}

static bool has_expired(const struct row *row, const struct dm_store_op *op)
{
    return row->dropped_at && row->dropped_at < op->oldest;
}

static void expire(struct rows *rows, const struct dm_store_op *op)
{
    for (uint32_t i = rows->row_count; i-- > 0;) {
        if (!has_expired(&rows->rows[i], op))
            continue;
        forget_pending(rows, &rows->rows[i].id, NULL);
        forget_row(rows, &rows->rows[i]);
    }
}

/* --- members --- */

static uint32_t channels_of(const struct rows *rows, const struct dm_store_op *op)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows->member_count; i++)
        count += is_text(rows->members[i].user, op, op->user_id);
    return count;
}

static struct member_row *find_member(struct rows *rows, const struct dm_store_op *op)
{
    for (uint32_t i = 0; i < rows->member_count; i++)
        if (is_text(rows->members[i].user, op, op->user_id) &&
            is_text(rows->members[i].channel, op, op->channel->name))
            return &rows->members[i];
    return NULL;
}

static void forget_member(struct rows *rows, struct member_row *row)
{
    free(row->channel);
    free(row->user);
    *row = rows->members[--rows->member_count];
}

static void join_channel(struct rows *rows, struct dm_store_op *op)
{
    struct dm_store_channel *channel = op->channel;
    const struct member_row *there = find_member(rows, op);
    channel->was = there ? DM_MEMBER_ALREADY : DM_MEMBER_CHANGED;
    channel->joined_at = there ? there->since : op->now;
    if (there)
        return;
    if (channel->max_channels && channels_of(rows, op) >= channel->max_channels) {
        channel->was = DM_MEMBER_TOO_MANY;
        return;
    }
    DM_CHECK(rows->member_count < ROWS_MAX);
    rows->members[rows->member_count++] =
        (struct member_row){copy_of(op, channel->name), copy_of(op, op->user_id), op->now};
}

static void leave_channel(struct rows *rows, struct dm_store_op *op)
{
    struct member_row *there = find_member(rows, op);
    op->channel->was = there ? DM_MEMBER_CHANGED : DM_MEMBER_NOT;
    if (there)
        forget_member(rows, there);
}

/* One at a time. */
static void forget_channel(struct rows *rows, struct dm_store_op *op)
{
    for (uint32_t i = rows->member_count; i-- > 0 && !op->channel->more;)
        if (is_text(rows->members[i].channel, op, op->channel->name)) {
            forget_member(rows, &rows->members[i]);
            op->channel->more = true;
        }
}

static void forget_user(struct rows *rows, struct dm_store_op *op)
{
    for (uint32_t i = rows->member_count; i-- > 0 && !op->channel->more;)
        if (is_text(rows->members[i].user, op, op->user_id)) {
            dm_store_channel_add(op, dm_slice_of(rows->members[i].channel), rows->members[i].since);
            forget_member(rows, &rows->members[i]);
            op->channel->more = true;
        }
}

static void look_presence(const struct rows *rows, struct dm_store_op *op)
{
    for (uint32_t i = 0; i < rows->member_count; i++)
        if (is_text(rows->members[i].user, op, op->user_id) &&
            dm_name_is_presence(dm_slice_of(rows->members[i].channel)))
            dm_store_channel_add(op, dm_slice_of(rows->members[i].channel), rows->members[i].since);
}

/* In order of slot and name; an absent or empty name is before all. */
static int compare_names(struct dm_slice a, struct dm_slice b)
{
    if (!a.len || !b.len)
        return (a.len > 0) - (b.len > 0);
    uint32_t slot_a = dm_slot_of(a), slot_b = dm_slot_of(b);
    if (slot_a != slot_b)
        return slot_a < slot_b ? -1 : 1;
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static const struct member_row *member_behind(const struct rows *rows, const struct dm_store_op *op,
                                              struct dm_slice after)
{
    const struct member_row *next = NULL;
    for (uint32_t i = 0; i < rows->member_count; i++) {
        const struct member_row *at = &rows->members[i];
        if (is_text(at->channel, op, op->channel->name) &&
            compare_names(dm_slice_of(at->user), after) > 0 &&
            (!next || compare_names(dm_slice_of(at->user), dm_slice_of(next->user)) < 0))
            next = at;
    }
    return next;
}

/* The adding moves op->text. */
static void load_members(const struct rows *rows, struct dm_store_op *op)
{
    struct dm_store_channel *channel = op->channel;
    char *first = copy_of(op, channel->after);
    const struct member_row *row = member_behind(rows, op, dm_slice_of(first));
    while (row && channel->count < channel->limit && channel->count < PAGE_MAX) {
        dm_store_channel_add(op, dm_slice_of(row->user), row->since);
        row = member_behind(rows, op, dm_slice_of(row->user));
    }
    channel->more = row != NULL;
    free(first);
}

static uint32_t members_of(const struct rows *rows, struct dm_slice channel)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows->member_count; i++)
        count += dm_slice_eq(dm_slice_of(rows->members[i].channel), channel);
    return count;
}

#endif
