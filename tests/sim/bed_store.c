/* The store of the bed: the real statements, one operation at a time, and failures. */
#include <string.h>

#include "base/err.h"
#include "bed.h"
#include "store/absent_priv.h"
#include "store/apply_priv.h"
#include "store/load_priv.h"
#include "store/migrate_priv.h"

static void must(struct bed *bed, int rc)
{
    if (rc != SQLITE_OK)
        bed_fail(bed, "SQLite: %s", dm_connection_error(&bed->store.connection));
}

/* Statements that ask for the time are told that of the bed. */
static void julian_day(sqlite3_context *context, int count, sqlite3_value **values)
{
    const struct bed *bed = sqlite3_user_data(context);
    (void)count, (void)values;
    sqlite3_result_double(context, (double)bed->now_ms / 86400000.0 + 2440587.5);
}

void bed_store_init(struct bed *bed)
{
    struct bed_store *store = &bed->store;
    struct dm_connection_settings settings = {.path = ":memory:"};
    struct dm_buf why = DM_BUF_INIT;
    store->writes_end = &store->writes;
    store->reads_end = &store->reads;
    store->fail_percent = rand_chance(&bed->rand, 50) ? 0 : rand_chance(&bed->rand, 50) ? 4 : 20;
    must(bed, dm_connection_open(&store->connection, &settings, &why));
    must(bed, sqlite3_create_function(store->connection.db, "julianday", 1, SQLITE_UTF8, bed,
                                      julian_day, NULL, NULL));
    for (int i = 0; i < dm_migration_count; i++)
        must(bed, dm_connection_exec(&store->connection, dm_migrations[i].sql));
    must(bed, dm_connection_prepare(&store->connection, DM_CONNECTION_BOTH, &why));
}

void bed_store_dispose(struct bed *bed)
{
    dm_connection_close(&bed->store.connection);
}

void bed_store_restart(struct bed *bed)
{
    static const enum dm_statement ids[] = {DM_STATEMENT_SWEEP_SESSIONS, DM_STATEMENT_SWEEP_DROPPED,
                                            DM_STATEMENT_SWEEP_PENDING};
    for (size_t i = 0; i < DM_COUNT(ids); i++)
        bed_store_exec(bed, dm_statement_sql(ids[i]));
}

void bed_store_exec(struct bed *bed, const char *sql)
{
    must(bed, dm_connection_exec(&bed->store.connection, sql));
}

uint64_t bed_store_number(struct bed *bed, const char *sql)
{
    sqlite3_int64 number = 0;
    must(bed, dm_connection_number(&bed->store.connection, sql, &number));
    return (uint64_t)number;
}

static void submit(void *self, struct dm_store_op *op)
{
    struct bed_store *store = &((struct bed *)self)->store;
    struct dm_store_op ***end = dm_store_reads(op->kind) ? &store->reads_end : &store->writes_end;
    op->next = NULL;
    **end = op;
    *end = &op->next;
}

static void each_absent(void *self,
                        void (*see)(void *context, struct dm_slice user_id,
                                    const struct dm_uuid *session_id, uint64_t dropped_at),
                        void *context)
{
    struct bed *bed = self;
    must(bed, dm_absent_list(&bed->store.connection, see, context));
}

struct dm_store bed_store_port(struct bed *bed)
{
    return (struct dm_store){
        .self = bed,
        .submit = submit,
        .holds_publishes =
            bed_store_number(bed, dm_statement_sql(DM_STATEMENT_HOLDS_PUBLISHES)) != 0,
        .holds_presence = bed_store_number(bed, dm_statement_sql(DM_STATEMENT_HOLDS_PRESENCE)) != 0,
        .each_absent = each_absent,
    };
}

bool bed_store_idle(const struct bed *bed)
{
    return !bed->store.writes && !bed->store.reads && !bed->store.late;
}

static void read(struct bed *bed, struct dm_store_op *op)
{
    struct dm_buf user = DM_BUF_INIT;
    dm_buf_add_slice(&user, dm_store_op_text(op, op->user_id));
    must(bed, dm_load(&bed->store.connection, op, dm_buf_slice(&user)));
    dm_buf_dispose(&user);
}

/* A commit that fails undoes what the operation has found already. */
static void write(struct bed *bed, struct dm_store_op *op, bool stays)
{
    struct dm_connection *connection = &bed->store.connection;
    must(bed, dm_connection_run(connection, DM_STATEMENT_BEGIN));
    if (dm_apply(connection, op) != DM_APPLIED)
        bed_fail(bed, "an operation of kind %d: %s", (int)op->kind,
                 dm_connection_error(connection));
    must(bed, dm_connection_run(connection, stays ? DM_STATEMENT_COMMIT : DM_STATEMENT_ROLLBACK));
    if (stays && bed->kind->committed)
        bed->kind->committed(bed, op);
}

/* A write that fails may be there all the same, and says so. */
static int carry_out(struct bed *bed, struct dm_store_op *op)
{
    struct bed_store *store = &bed->store;
    bool bad = !bed->quiet && rand_chance(&bed->rand, store->fail_percent), reads;
    if (bed->dead)
        return DM_ERR_UNAVAILABLE;
    reads = dm_store_reads(op->kind);
    store->failures += bad;
    if (bad && (reads || rand_chance(&bed->rand, 50)))
        return DM_ERR_UNAVAILABLE;
    if (bed->kind->before)
        bed->kind->before(bed, op);
    if (reads)
        read(bed, op);
    else
        write(bed, op, !bad || rand_chance(&bed->rand, 50));
    return bad ? DM_ERR_COMMIT_UNKNOWN : DM_OK;
}

static void send_back(struct bed *bed, struct dm_store_op *op)
{
    bed_post(bed).send(bed, op->shard, &op->mail);
}

static bool send_late(struct bed *bed)
{
    struct dm_store_op *op = bed->store.late;
    if (!op)
        return false;
    bed->store.late = NULL;
    send_back(bed, op);
    return true;
}

bool bed_store_step(struct bed *bed)
{
    struct bed_store *store = &bed->store;
    if (store->late && rand_chance(&bed->rand, 12))
        return send_late(bed);
    bool reads = store->reads && (!store->writes || rand_chance(&bed->rand, 50));
    struct dm_store_op **first = reads ? &store->reads : &store->writes, *op = *first;
    if (!op)
        return send_late(bed);
    *first = op->next;
    if (!*first && reads)
        store->reads_end = &store->reads;
    else if (!*first)
        store->writes_end = &store->writes;
    op->err = carry_out(bed, op);
    bed_trace(bed, "the store does %d of shard %u: %d", (int)op->kind, op->shard, op->err);
    if (reads && bed->kind->late_reads && !store->late && rand_chance(&bed->rand, 60))
        store->late = op;
    else
        send_back(bed, op);
    return true;
}
