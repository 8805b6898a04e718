/* Building and freeing store operations. */
#include "ports/store_channel.h"
#include "ports/store_publish.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "model/limits.h"

struct dm_store_op *dm_store_op_create(enum dm_store_kind kind, uint32_t shard, dm_mail_run back)
{
    struct dm_store_op *op = DM_NEW(struct dm_store_op);
    op->mail.run = back;
    op->kind = kind;
    op->shard = shard;
    return op;
}

void dm_store_op_destroy(struct dm_store_op *op)
{
    if (!op)
        return;
    free(op->sessions);
    free(op->pending);
    if (op->publish) {
        free(op->publish->targets);
        dm_buf_dispose(&op->publish->results);
        free(op->publish);
    }
    if (op->page)
        free(op->page->rows);
    free(op->page);
    if (op->channel)
        free(op->channel->rows);
    free(op->channel);
    dm_buf_dispose(&op->text);
    free(op);
}

struct dm_store_text dm_store_op_add_text(struct dm_store_op *op, struct dm_slice text)
{
    DM_CHECK(op->text.len + text.len <= UINT32_MAX);
    struct dm_store_text at = {(uint32_t)op->text.len, (uint32_t)text.len};
    dm_buf_add_slice(&op->text, text);
    return at;
}

struct dm_slice dm_store_op_text(const struct dm_store_op *op, struct dm_store_text text)
{
    return text.len ? dm_slice(op->text.bytes + text.start, text.len) : DM_SLICE("");
}

static uint32_t grown(uint32_t room)
{
    return room ? 2 * room : 4;
}

void dm_store_op_add_session(struct dm_store_op *op, const struct dm_uuid *id,
                             struct dm_slice dialect, struct dm_slice filters,
                             struct dm_slice attachment)
{
    if (op->session_count == op->session_room) {
        op->session_room = grown(op->session_room);
        op->sessions = dm_realloc(op->sessions, op->session_room * sizeof *op->sessions);
    }
    op->sessions[op->session_count++] = (struct dm_store_session){
        *id, dm_store_op_add_text(op, dialect), dm_store_op_add_text(op, filters),
        dm_store_op_add_text(op, attachment)};
}

void dm_store_op_add_pending(struct dm_store_op *op, const struct dm_uuid *envelope_id,
                             const struct dm_uuid *session_id)
{
    if (op->pending_count == op->pending_room) {
        op->pending_room = grown(op->pending_room);
        op->pending = dm_realloc(op->pending, op->pending_room * sizeof *op->pending);
    }
    op->pending[op->pending_count++] = (struct dm_store_pending){*envelope_id, *session_id};
}

bool dm_store_reads(enum dm_store_kind kind)
{
    switch (kind) {
    case DM_STORE_LOAD_USER:
    case DM_STORE_LOOK_PUBLISH:
    case DM_STORE_LOAD_OWED:
    case DM_STORE_LOAD_MEMBERS:
        return true;
    default:
        return false;
    }
}

struct dm_store_publish *dm_store_op_publish(struct dm_store_op *op)
{
    if (!op->publish)
        op->publish = DM_NEW(struct dm_store_publish);
    return op->publish;
}

struct dm_store_page *dm_store_op_page(struct dm_store_op *op)
{
    if (!op->page)
        op->page = DM_NEW(struct dm_store_page);
    return op->page;
}

void dm_store_publish_add_result(struct dm_store_publish *publish, struct dm_slice value)
{
    if (publish->results.len + value.len > DM_RESULT_BYTES_MAX)
        value = DM_SLICE("null");
    if (publish->result_count++)
        dm_buf_add_byte(&publish->results, ',');
    dm_buf_add_slice(&publish->results, value);
}

void dm_store_page_add(struct dm_store_op *op, const struct dm_store_owed *row,
                       struct dm_slice type, struct dm_slice payload, struct dm_slice channel)
{
    struct dm_store_page *page = dm_store_op_page(op);
    if (page->count == page->room) {
        page->room = grown(page->room);
        page->rows = dm_realloc(page->rows, page->room * sizeof *page->rows);
    }
    struct dm_store_owed *at = &page->rows[page->count++];
    *at = *row;
    at->type = dm_store_op_add_text(op, type);
    at->payload = dm_store_op_add_text(op, payload);
    at->channel = dm_store_op_add_text(op, channel);
}

struct dm_store_channel *dm_store_op_channel(struct dm_store_op *op)
{
    if (!op->channel)
        op->channel = DM_NEW(struct dm_store_channel);
    return op->channel;
}

void dm_store_channel_add(struct dm_store_op *op, struct dm_slice name, uint64_t since)
{
    struct dm_store_channel *channel = dm_store_op_channel(op);
    if (channel->count == channel->room) {
        channel->room = grown(channel->room);
        channel->rows = dm_realloc(channel->rows, channel->room * sizeof *channel->rows);
    }
    channel->rows[channel->count++] =
        (struct dm_store_member){dm_store_op_add_text(op, name), since};
}
