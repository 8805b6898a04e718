/* The store of this world: the real statements, one operation at a time, and failures. */
#include <string.h>

#include "base/err.h"
#include "store/apply_priv.h"
#include "store/load_priv.h"
#include "store/migrate_priv.h"
#include "world.h"

static void must(struct world *world, int rc)
{
    if (rc != SQLITE_OK)
        fail(world, "SQLite: %s", dm_connection_error(&world->store.connection));
}

void store_init(struct world *world)
{
    struct store *store = &world->store;
    struct dm_connection_settings settings = {.path = ":memory:"};
    struct dm_buf why = DM_BUF_INIT;
    store->writes_end = &store->writes;
    store->reads_end = &store->reads;
    store->fail_percent = rand_chance(&world->rand, 50)   ? 0
                          : rand_chance(&world->rand, 50) ? 4
                                                          : 20;
    must(world, dm_connection_open(&store->connection, &settings, &why));
    for (int i = 0; i < dm_migration_count; i++)
        must(world, dm_connection_exec(&store->connection, dm_migrations[i].sql));
    must(world, dm_connection_prepare(&store->connection, DM_CONNECTION_BOTH, &why));
}

void store_dispose(struct world *world)
{
    dm_connection_close(&world->store.connection);
}

/* What the writer does when it opens. */
void store_restart(struct world *world)
{
    static const enum dm_statement ids[] = {DM_STATEMENT_SWEEP_SESSIONS, DM_STATEMENT_SWEEP_DROPPED,
                                            DM_STATEMENT_SWEEP_PENDING};
    for (size_t i = 0; i < DM_COUNT(ids); i++)
        must(world, dm_connection_exec(&world->store.connection, dm_statement_sql(ids[i])));
}

uint64_t store_number(struct world *world, const char *sql)
{
    sqlite3_int64 number = 0;
    must(world, dm_connection_number(&world->store.connection, sql, &number));
    return (uint64_t)number;
}

static void submit(void *self, struct dm_store_op *op)
{
    struct store *store = &((struct world *)self)->store;
    struct dm_store_op ***end = dm_store_reads(op->kind) ? &store->reads_end : &store->writes_end;
    op->next = NULL;
    **end = op;
    *end = &op->next;
}

struct dm_store store_port(struct world *world)
{
    bool holds = store_number(world, dm_statement_sql(DM_STATEMENT_HOLDS_PUBLISHES)) != 0;
    return (struct dm_store){.self = world, .submit = submit, .holds_publishes = holds};
}

bool store_idle(const struct world *world)
{
    return !world->store.writes && !world->store.reads;
}

static void read(struct world *world, struct dm_store_op *op)
{
    struct dm_buf user = DM_BUF_INIT;
    dm_buf_add_slice(&user, dm_store_op_text(op, op->user_id));
    must(world, dm_load(&world->store.connection, op, dm_buf_slice(&user)));
    dm_buf_dispose(&user);
}

/* A commit that fails undoes what the operation has found already. */
static void write(struct world *world, struct dm_store_op *op, bool stays)
{
    struct dm_connection *connection = &world->store.connection;
    must(world, dm_connection_run(connection, DM_STATEMENT_BEGIN));
    if (dm_apply(connection, op) != DM_APPLIED)
        fail(world, "an operation of kind %d: %s", (int)op->kind, dm_connection_error(connection));
    must(world, dm_connection_run(connection, stays ? DM_STATEMENT_COMMIT : DM_STATEMENT_ROLLBACK));
}

/* A write that fails may be there all the same, and says so. */
static int carry_out(struct world *world, struct dm_store_op *op)
{
    struct store *store = &world->store;
    bool bad = !world->quiet && rand_chance(&world->rand, store->fail_percent), reads;
    if (world->dead)
        return DM_ERR_UNAVAILABLE;
    reads = dm_store_reads(op->kind);
    store->failures += bad;
    if (bad && (reads || rand_chance(&world->rand, 50)))
        return DM_ERR_UNAVAILABLE;
    if (reads)
        read(world, op);
    else
        write(world, op, !bad || rand_chance(&world->rand, 50));
    return bad ? DM_ERR_COMMIT_UNKNOWN : DM_OK;
}

bool store_step(struct world *world)
{
    struct store *store = &world->store;
    bool reads = store->reads && (!store->writes || rand_chance(&world->rand, 50));
    struct dm_store_op **first = reads ? &store->reads : &store->writes, *op = *first;
    if (!op)
        return false;
    *first = op->next;
    if (!*first && reads)
        store->reads_end = &store->reads;
    else if (!*first)
        store->writes_end = &store->writes;
    op->err = carry_out(world, op);
    trace(world, "the store does %d of shard %u: %d", (int)op->kind, op->shard, op->err);
    post_port(world).send(world, op->shard, &op->mail);
    return true;
}
