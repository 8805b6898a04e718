/* The store of this world: rows in arrays; operations come back late, in order, and fail. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/err.h"
#include "world.h"

static struct row *find(struct store *store, const struct dm_uuid *id)
{
    for (uint32_t i = 0; i < store->row_count; i++)
        if (dm_uuid_eq(&store->rows[i].id, id))
            return &store->rows[i];
    return NULL;
}

static void copy(char *out, size_t room, struct dm_slice text)
{
    DM_CHECK(text.len < room);
    if (text.len)
        memcpy(out, text.at, text.len);
    out[text.len] = 0;
}

static void forget_pending(struct store *store, const struct dm_uuid *session,
                           const struct dm_uuid *envelope)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < store->pending_count; i++) {
        const struct dm_store_pending *at = &store->pending[i];
        if ((session && !dm_uuid_eq(&at->session_id, session)) ||
            (envelope && !dm_uuid_eq(&at->envelope_id, envelope)))
            store->pending[kept++] = *at;
    }
    store->pending_count = kept;
}

static void forget(struct store *store, struct row *row)
{
    forget_pending(store, &row->id, NULL);
    *row = store->rows[--store->row_count];
}

static struct row *add(struct store *store)
{
    store->rows = dm_realloc(store->rows, (store->row_count + 1) * sizeof *store->rows);
    struct row *row = &store->rows[store->row_count++];
    *row = (struct row){0};
    return row;
}

static void open_row(struct store *store, const struct dm_store_op *op)
{
    struct row *row = add(store);
    row->id = op->sessions[0].id;
    copy(row->user, sizeof row->user, dm_store_op_text(op, op->user_id));
    memcpy(row->resume, op->next_resume, SECRET);
}

static void add_rows(struct store *store, struct dm_store_op *op, const struct row *row)
{
    dm_store_op_add_session(op, &row->id, DM_SLICE("native"), DM_SLICE("[]"),
                            dm_slice_of(row->attachment));
    for (uint32_t i = 0; i < store->pending_count; i++)
        if (dm_uuid_eq(&store->pending[i].session_id, &row->id))
            dm_store_op_add_pending(op, &store->pending[i].envelope_id, &row->id);
}

static void resume(struct store *store, struct dm_store_op *op)
{
    for (uint32_t i = 0; i < store->row_count; i++) {
        struct row *row = &store->rows[i];
        bool known = memcmp(row->resume, op->resume, SECRET) == 0 ||
                     (row->has_before && memcmp(row->before, op->resume, SECRET) == 0);
        if (!known || !dm_slice_eq(dm_slice_of(row->user), dm_store_op_text(op, op->user_id)) ||
            (row->dropped_at && row->dropped_at < op->oldest))
            continue;
        memcpy(row->resume, op->next_resume, SECRET);
        memcpy(row->before, op->resume, SECRET);
        row->has_before = true;
        row->dropped_at = 0;
        op->resumed = true;
        add_rows(store, op, row);
        return;
    }
    open_row(store, op);
}

static void save(struct store *store, const struct dm_store_op *op)
{
    for (uint32_t i = 0; i < op->session_count; i++) {
        struct row *row = find(store, &op->sessions[i].id);
        if (!row) {
            row = add(store);
            row->id = op->sessions[i].id;
            copy(row->user, sizeof row->user, dm_store_op_text(op, op->user_id));
        }
        copy(row->attachment, sizeof row->attachment,
             dm_store_op_text(op, op->sessions[i].attachment));
    }
    for (uint32_t i = 0; i < op->pending_count; i++) {
        forget_pending(store, &op->pending[i].session_id, &op->pending[i].envelope_id);
        store->pending =
            dm_realloc(store->pending, (store->pending_count + 1) * sizeof *store->pending);
        store->pending[store->pending_count++] = op->pending[i];
    }
}

static void expire(struct store *store, uint64_t oldest)
{
    for (uint32_t i = store->row_count; i-- > 0;)
        if (store->rows[i].dropped_at && store->rows[i].dropped_at < oldest)
            forget(store, &store->rows[i]);
}

static void end_row(struct row *row)
{
    memset(row->resume, 0, SECRET); /* by no secret that there is */
    row->has_before = false;
}

static void end_user(struct store *store, struct dm_slice user)
{
    for (uint32_t i = store->row_count; i-- > 0;) {
        if (!dm_slice_eq(dm_slice_of(store->rows[i].user), user))
            continue;
        end_row(&store->rows[i]);
        if (store->rows[i].dropped_at)
            forget(store, &store->rows[i]);
    }
}

static void reopen(struct store *store, const struct dm_store_op *op)
{
    struct row *row = find(store, &op->sessions[0].id);
    if (!row) {
        row = add(store);
        row->id = op->sessions[0].id;
        copy(row->user, sizeof row->user, dm_store_op_text(op, op->user_id));
        copy(row->attachment, sizeof row->attachment,
             dm_store_op_text(op, op->sessions[0].attachment));
    }
    memcpy(row->resume, op->next_resume, SECRET);
    memcpy(row->before, op->resume, SECRET);
    row->has_before = true;
    row->dropped_at = 0;
}

static void apply(struct world *world, struct dm_store_op *op)
{
    struct store *store = &world->store;
    struct row *row = find(store, &op->session_id);
    switch (op->kind) {
    case DM_STORE_SAVE_USER:
        save(store, op);
        return;
    case DM_STORE_OPEN_SESSION:
        open_row(store, op);
        return;
    case DM_STORE_RESUME_SESSION:
        resume(store, op);
        return;
    case DM_STORE_CONFIRM_SESSION:
        if (row && memcmp(row->resume, op->next_resume, DM_RESUME_PRINT_LEN) == 0) {
            row->has_before = false;
            row->dropped_at = 0;
        }
        return;
    case DM_STORE_CONNECT_SESSION:
        if (row)
            row->dropped_at = 0;
        return;
    case DM_STORE_END_SESSION:
        if (row)
            end_row(row);
        return;
    case DM_STORE_DROP_SESSION:
        if (row)
            row->dropped_at = op->now;
        return;
    case DM_STORE_END_USER:
        end_user(store, dm_store_op_text(op, op->user_id));
        return;
    case DM_STORE_REOPEN_SESSION:
        reopen(store, op);
        return;
    case DM_STORE_EXPIRE_SESSIONS:
        expire(store, op->oldest);
        return;
    case DM_STORE_FORGET_SESSION:
        if (row)
            forget(store, row);
        return;
    case DM_STORE_FORGET_PENDING:
        forget_pending(store, &op->session_id, &op->envelope_id);
        return;
    case DM_STORE_FORGET_ENVELOPE:
        forget_pending(store, NULL, &op->envelope_id);
        return;
    case DM_STORE_LOAD_USER:
        for (uint32_t i = 0; i < store->row_count; i++)
            if (dm_slice_eq(dm_slice_of(store->rows[i].user), dm_store_op_text(op, op->user_id)))
                add_rows(store, op, &store->rows[i]);
        return;
    default:
        break;
    }
    fail(world, "an operation of kind %d", (int)op->kind);
}

static void submit(void *self, struct dm_store_op *op)
{
    struct store *store = &((struct world *)self)->store;
    struct dm_store_op ***end =
        op->kind == DM_STORE_LOAD_USER ? &store->reads_end : &store->writes_end;
    op->next = NULL;
    **end = op;
    *end = &op->next;
}

/* --- what its rows say --- */

static const struct client *connected(const struct world *world, const struct row *row)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (world->clients[i].sock && dm_uuid_eq(&world->clients[i].session, &row->id))
            return &world->clients[i];
    return NULL;
}

void store_check(struct world *world)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &world->clients[i];
        const struct row *row = find(&world->store, &client->session);
        if (client->sock && !client->doubted && (!row || !client_is_known(client, row)))
            fail(world, "client %u is connected and could not resume", i);
    }
    for (uint32_t i = 0; i < world->store.row_count; i++) {
        const struct row *row = &world->store.rows[i];
        if (has_ended(world, &row->id))
            fail(world, "a session that had ended has a row");
        if (connected(world, row) && row->dropped_at)
            fail(world, "a row with a socket says that it has none");
        if (!connected(world, row) && !row->dropped_at)
            fail(world, "a row without a socket says that it has one");
        if (row->dropped_at && row->dropped_at + WINDOW_MS + SLACK_MS < world->now_ms)
            fail(world, "a row outlives its window");
    }
}

/* --- operations --- */

/* The commit failed: nobody can say whether it is written. What it has found it has. */
static void apply_or_not(struct world *world, struct dm_store_op *op)
{
    struct store *store = &world->store;
    size_t rows_len = store->row_count * sizeof *store->rows;
    size_t pending_len = store->pending_count * sizeof *store->pending;
    uint32_t row_count = store->row_count, pending_count = store->pending_count;
    void *rows = dm_memdup(store->rows, rows_len);
    void *pending = dm_memdup(store->pending, pending_len);
    apply(world, op);
    if (rand_chance(&world->rand, 50)) {
        free(store->rows);
        free(store->pending);
        store->rows = rows;
        store->pending = pending;
        store->row_count = row_count;
        store->pending_count = pending_count;
        return;
    }
    free(rows);
    free(pending);
}

static void carry_out(struct world *world, struct dm_store_op *op, bool read)
{
    struct store *store = &world->store;
    bool bad = !world->quiet && rand_chance(&world->rand, store->fail_percent);
    bool unknown = bad && !read && rand_chance(&world->rand, 30);
    op->err = unknown ? DM_ERR_COMMIT_UNKNOWN : bad ? DM_ERR_UNAVAILABLE : DM_OK;
    store->failures += bad;
    trace(world, "the store %s %d of %.*s for session ..%02x%02x, secret %.32s",
          unknown ? "may do"
          : bad   ? "fails"
                  : "does",
          (int)op->kind, (int)op->user_id.len, dm_store_op_text(op, op->user_id).at,
          op->session_id.bytes[14], op->session_id.bytes[15],
          op->kind == DM_STORE_RESUME_SESSION ? (const char *)op->resume
                                              : (const char *)op->next_resume);
    if (unknown)
        apply_or_not(world, op);
    else if (!bad)
        apply(world, op);
}

bool store_step(struct world *world)
{
    struct store *store = &world->store;
    bool read = store->reads && (!store->writes || rand_chance(&world->rand, 50));
    struct dm_store_op **first = read ? &store->reads : &store->writes, *op = *first;
    if (!op)
        return false;
    *first = op->next;
    if (!*first && read)
        store->reads_end = &store->reads;
    else if (!*first)
        store->writes_end = &store->writes;
    carry_out(world, op, read);
    post_port(world).send(world, op->shard, &op->mail);
    return true;
}

void store_init(struct world *world)
{
    struct store *store = &world->store;
    store->writes_end = &store->writes;
    store->reads_end = &store->reads;
    static const uint32_t percent[] = {0, 0, 0, 5, 30};
    store->fail_percent = percent[rand_below(&world->rand, DM_COUNT(percent))];
}

void store_dispose(struct world *world)
{
    free(world->store.rows);
    free(world->store.pending);
}

struct dm_store store_port(struct world *world)
{
    return (struct dm_store){.self = world, .submit = submit};
}
