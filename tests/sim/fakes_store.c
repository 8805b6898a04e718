/*
 * The store: rows in arrays. A step of it is one commit (of some writes, each
 * shard's in order) or one read; when an operation comes back after that is
 * the mail's affair. A commit that fails has written all of it or nothing.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "sim.h"

void store_init(struct world *world)
{
    struct fake_store *store = &world->store;
    for (uint32_t i = 0; i < SIM_SHARDS_MAX; i++)
        store->writes_end[i] = &store->writes[i];
    store->failing = true;
    static const uint32_t percents[] = {3, 10, 30};
    if (rand_chance(&world->rand, 40))
        store->fail_percent = percents[rand_below(&world->rand, DM_COUNT(percents))];
    else if (rand_chance(&world->rand, 30))
        store->fail_nth = 1 + rand_below(&world->rand, 40);
}

static void row_dispose(struct row_session *row)
{
    free(row->user);
    free(row->dialect);
    free(row->filters);
}

void store_dispose(struct world *world)
{
    struct fake_store *store = &world->store;
    for (uint32_t i = 0; i < store->session_count; i++)
        row_dispose(&store->sessions[i]);
    free(store->sessions);
    free(store->pending);
}

static void submit(void *self, struct dm_store_op *op)
{
    struct world *world = self;
    struct fake_store *store = &world->store;
    if (op->shard != world->mail.here)
        sim_fail(world, "an operation of shard %u on the thread of %u", op->shard,
                 world->mail.here);
    op->next = NULL;
    store->waiting++;
    if (op->kind == DM_STORE_LOAD_USER) {
        op->next = store->reads;
        store->reads = op;
        return;
    }
    *store->writes_end[op->shard] = op;
    store->writes_end[op->shard] = &op->next;
}

struct dm_store store_port(struct world *world)
{
    return (struct dm_store){.self = world, .submit = submit};
}

/* --- rows --- */

static struct row_session *find_session(struct fake_store *store, const struct dm_uuid *id)
{
    for (uint32_t i = 0; i < store->session_count; i++)
        if (dm_uuid_eq(&store->sessions[i].id, id))
            return &store->sessions[i];
    return NULL;
}

static char *copy_text(const struct dm_store_op *op, struct dm_store_text text)
{
    struct dm_slice slice = dm_store_op_text(op, text);
    return dm_strndup(slice.at, slice.len);
}

static void put_session(struct fake_store *store, const struct dm_store_op *op,
                        const struct dm_store_session *from)
{
    struct row_session *row = find_session(store, &from->id);
    if (row) {
        row_dispose(row);
    } else {
        if (store->session_count == store->session_room) {
            store->session_room = 2 * store->session_room + 8;
            store->sessions =
                dm_realloc(store->sessions, store->session_room * sizeof *store->sessions);
        }
        row = &store->sessions[store->session_count++];
    }
    *row = (struct row_session){from->id, copy_text(op, op->user_id), copy_text(op, from->dialect),
                                copy_text(op, from->filters)};
}

static void put_pending(struct fake_store *store, const struct dm_store_pending *from)
{
    for (uint32_t i = 0; i < store->pending_count; i++)
        if (dm_uuid_eq(&store->pending[i].session_id, &from->session_id) &&
            dm_uuid_eq(&store->pending[i].envelope_id, &from->envelope_id))
            return;
    if (store->pending_count == store->pending_room) {
        store->pending_room = 2 * store->pending_room + 8;
        store->pending = dm_realloc(store->pending, store->pending_room * sizeof *store->pending);
    }
    store->pending[store->pending_count++] = *from;
}

static void forget_pending(struct fake_store *store, const struct dm_uuid *session,
                           const struct dm_uuid *envelope)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < store->pending_count; i++) {
        struct dm_store_pending row = store->pending[i];
        if ((!session || dm_uuid_eq(&row.session_id, session)) &&
            (!envelope || dm_uuid_eq(&row.envelope_id, envelope)))
            continue;
        store->pending[kept++] = row;
    }
    store->pending_count = kept;
}

static void forget_session(struct fake_store *store, const struct dm_uuid *id)
{
    struct row_session *row = find_session(store, id);
    if (row) {
        row_dispose(row);
        *row = store->sessions[--store->session_count];
    }
    forget_pending(store, id, NULL);
}

static void apply(struct world *world, const struct dm_store_op *op)
{
    struct fake_store *store = &world->store;
    switch (op->kind) {
    case DM_STORE_SAVE_USER:
        for (uint32_t i = 0; i < op->session_count; i++)
            put_session(store, op, &op->sessions[i]);
        for (uint32_t i = 0; i < op->pending_count; i++)
            put_pending(store, &op->pending[i]);
        return;
    case DM_STORE_FORGET_SESSION:
        forget_session(store, &op->session_id);
        return;
    case DM_STORE_FORGET_PENDING:
        forget_pending(store, &op->session_id, &op->envelope_id);
        return;
    case DM_STORE_FORGET_ENVELOPE:
        forget_pending(store, NULL, &op->envelope_id);
        return;
    default:
        sim_fail(world, "a write of kind %d", (int)op->kind);
    }
}

/* Pending acks are found through their session's row. */
static void read_user(struct fake_store *store, struct dm_store_op *op)
{
    for (uint32_t i = 0; i < store->session_count; i++) {
        const struct row_session *row = &store->sessions[i];
        if (!dm_slice_eq(dm_slice_of(row->user), dm_store_op_text(op, op->user_id)))
            continue;
        dm_store_op_add_session(op, &row->id, dm_slice_of(row->dialect), dm_slice_of(row->filters),
                                DM_NO_SLICE);
        for (uint32_t j = 0; j < store->pending_count; j++)
            if (dm_uuid_eq(&store->pending[j].session_id, &row->id))
                dm_store_op_add_pending(op, &store->pending[j].envelope_id, &row->id);
    }
}

/* --- steps --- */

static bool fails(struct world *world)
{
    struct fake_store *store = &world->store;
    store->operations++;
    return store->failing &&
           (store->operations == store->fail_nth || rand_chance(&world->rand, store->fail_percent));
}

static void come_back(struct world *world, struct dm_store_op *op, int err)
{
    world->store.waiting--;
    world->store.failed_reads += err && op->kind == DM_STORE_LOAD_USER;
    world->store.failed_writes += err && op->kind != DM_STORE_LOAD_USER;
    op->err = err;
    op->next = NULL;
    sim_trace(world, "store: kind %d of shard %u is back, err %d", (int)op->kind, op->shard, err);
    mail_post(world, op->kind == DM_STORE_LOAD_USER ? SENDER_READER : SENDER_WRITER, op->shard,
              &op->mail);
}

static void read_one(struct world *world)
{
    struct dm_store_op **at = &world->store.reads;
    while ((*at)->next && rand_chance(&world->rand, 50))
        at = &(*at)->next;
    struct dm_store_op *op = *at;
    *at = op->next;
    if (fails(world)) {
        come_back(world, op, DM_ERR_UNAVAILABLE);
        return;
    }
    read_user(&world->store, op);
    come_back(world, op, DM_OK);
}

static struct dm_store_op *take_write(struct world *world, uint32_t shard)
{
    struct fake_store *store = &world->store;
    struct dm_store_op *op = store->writes[shard];
    store->writes[shard] = op->next;
    if (!op->next)
        store->writes_end[shard] = &store->writes[shard];
    return op;
}

static void commit(struct world *world, uint32_t shard)
{
    uint32_t most = 1 + rand_below(&world->rand, 4);
    bool unknown = rand_chance(&world->rand, 50) && fails(world);
    bool written = !unknown || rand_chance(&world->rand, 50);
    for (uint32_t i = 0; i < most; i++) {
        if (i && rand_chance(&world->rand, 50))
            shard = (shard + 1) % world->shards;
        if (!world->store.writes[shard])
            continue;
        struct dm_store_op *op = take_write(world, shard);
        bool alone = !unknown && fails(world);
        if (written && !alone)
            apply(world, op);
        come_back(world, op, alone ? DM_ERR_UNAVAILABLE : unknown ? DM_ERR_COMMIT_UNKNOWN : DM_OK);
    }
}

bool store_step(struct world *world)
{
    struct fake_store *store = &world->store;
    if (!store->waiting)
        return false;
    uint32_t shard = rand_below(&world->rand, world->shards);
    for (uint32_t i = 0; i < world->shards && !store->writes[shard]; i++)
        shard = (shard + 1) % world->shards;
    if (!store->writes[shard] || (store->reads && rand_chance(&world->rand, 50)))
        read_one(world);
    else
        commit(world, shard);
    return true;
}
