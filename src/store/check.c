/*
 * The table of what must hold, each as a SELECT of one text a row that it does
 * not hold for, and running it. Rows are named by their ids, never by what
 * clients put in them.
 */
#include "store/check.h"

#include "base/err.h"
#include "model/filter.h"
#include "model/name.h"
#include "store/look_priv.h"
#include "store/migrate_priv.h"

/* A table that is new adds what must hold of it here. Besides SQLite's own there are the
 * functions below, and temp.expected (name, sql): the schema as the migrations make it. */
static const struct check {
    const char *name, *sql;
} checks[] = {
    {"schema_missing", "SELECT name FROM temp.expected EXCEPT"
                       " SELECT type || ' ' || name FROM main.sqlite_schema"},
    {"schema_differs", "SELECT e.name FROM temp.expected AS e JOIN main.sqlite_schema AS s"
                       " ON s.type || ' ' || s.name = e.name WHERE coalesce(s.sql, '') <> e.sql"},
    {"schema_surplus", "SELECT type || ' ' || name FROM main.sqlite_schema"
                       " WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
                       " EXCEPT SELECT name FROM temp.expected"},
    {"session_user", "SELECT 'session ' || id_text(id) FROM session WHERE NOT user_ok(user_id)"},
    {"session_slot", "SELECT 'session ' || id_text(id) || ' has ' || slot || ', not ' ||"
                     " slot_of(user_id) FROM session WHERE slot <> slot_of(user_id)"},
    {"session_dialect", "SELECT 'session ' || id_text(id) || ' has ' ||"
                        " quote(substr(dialect, 1, 32))"
                        " FROM session WHERE NOT dialect_ok(dialect)"},
    {"session_filters", "SELECT 'session ' || id_text(id) FROM session WHERE NOT "
                        "filters_ok(filters)"},
    {"session_attachment", "SELECT 'session ' || id_text(id) FROM session"
                           " WHERE attachment IS NOT NULL AND NOT json_valid(attachment)"},
    {"pending_ack_session", "SELECT 'pending_ack of envelope ' || id_text(envelope_id) ||"
                            " ' by session ' || id_text(session_id) || ', which has no row'"
                            " FROM pending_ack AS p WHERE NOT EXISTS"
                            " (SELECT 1 FROM session WHERE id = p.session_id)"},
    {"member_channel", "SELECT 'member ' || hex(user_id) FROM member WHERE NOT name_ok(channel)"},
    {"member_user", "SELECT 'member of ' || hex(channel) FROM member WHERE NOT user_ok(user_id)"},
    {"member_slot", "SELECT 'member ' || hex(user_id) || ' has ' || slot || ', not ' ||"
                    " slot_of(user_id) FROM member WHERE slot <> slot_of(user_id)"},
    {"owed_envelope_channel", "SELECT 'envelope of publish ' || publish FROM owed_envelope WHERE"
                              " channel IS NOT NULL AND NOT name_ok(channel)"},
    {"target_user",
     "SELECT 'target of publish ' || publish FROM target WHERE NOT user_ok(user_id)"},
    {"target_publish", "SELECT 'target of publish ' || publish FROM target AS t WHERE NOT EXISTS"
                       " (SELECT 1 FROM publish WHERE number = t.publish)"},
    {"target_owed", "SELECT 'target of publish ' || publish FROM target AS t WHERE owed = 1 AND NOT"
                    " EXISTS (SELECT 1 FROM publish JOIN owed_envelope ON publish = number"
                    " WHERE number = t.publish AND owed_until IS NOT NULL)"},
    {"ack_result_publish", "SELECT 'ack of publish ' || publish FROM ack_result AS a WHERE NOT"
                           " EXISTS (SELECT 1 FROM publish WHERE number = a.publish)"},
    {"ack_result_value", "SELECT 'ack of publish ' || publish || ' by session ' ||"
                         " id_text(session_id) FROM ack_result WHERE NOT json_valid(value)"},
    {"owed_count", "SELECT 'user ' || hex(user_id) FROM (SELECT user_id, count(*) AS n FROM target"
                   " WHERE owed = 1 GROUP BY user_id) FULL JOIN owed_count USING (user_id)"
                   " WHERE n IS NOT envelopes"},
    {"ack_tally_publish", "SELECT 'tally of publish ' || publish FROM ack_tally AS a WHERE NOT"
                          " EXISTS (SELECT 1 FROM publish WHERE number = a.publish)"},
    {"publish_tally", "SELECT 'publish ' || number FROM publish WHERE number NOT IN"
                      " (SELECT publish FROM ack_tally)"},
    {"publish_debt",
     "SELECT 'publish ' || number FROM publish AS p WHERE owed_until IS NOT NULL"
     " AND NOT EXISTS (SELECT 1 FROM target WHERE publish = p.number AND owed = 1)"},
    {"owed_envelope_debt", "SELECT 'envelope of publish ' || publish FROM owed_envelope AS e WHERE"
                           " NOT EXISTS (SELECT 1 FROM publish WHERE number = e.publish AND"
                           " owed_until IS NOT NULL)"},
    {"owed_envelope_payload", "SELECT 'envelope of publish ' || publish FROM owed_envelope WHERE"
                              " payload IS NOT NULL AND NOT json_valid(payload)"},
};

struct checking {
    const struct dm_check_options *options;
    struct dm_look look;
    struct dm_buf *findings;
    uint64_t count;
};

/* --- what the statements may call --- */

static struct dm_slice text_of(sqlite3_value *value)
{
    const char *text = (const char *)sqlite3_value_text(value);
    return text ? dm_slice(text, (size_t)sqlite3_value_bytes(value)) : DM_NO_SLICE;
}

static void id_text(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct dm_uuid id;
    char text[DM_UUID_TEXT_LEN];
    const void *bytes = sqlite3_value_blob(values[0]);
    (void)count;
    if (!bytes || sqlite3_value_bytes(values[0]) != sizeof id.bytes) {
        sqlite3_result_text(context, "(no id)", -1, SQLITE_STATIC);
        return;
    }
    memcpy(id.bytes, bytes, sizeof id.bytes);
    dm_uuid_format(&id, text);
    sqlite3_result_text(context, text, sizeof text, SQLITE_TRANSIENT);
}

static void slot_of(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    sqlite3_result_int64(context, dm_slot_of(text_of(values[0])));
}

static void user_ok(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    sqlite3_result_int(context, dm_user_id_valid(text_of(values[0])));
}

static void name_ok(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    sqlite3_result_int(context, dm_name_valid(text_of(values[0])));
}

static void dialect_ok(sqlite3_context *context, int count, sqlite3_value **values)
{
    const struct dm_check_options *options = sqlite3_user_data(context);
    (void)count;
    sqlite3_result_int(context, options->dialect_known(text_of(values[0])));
}

static void filters_ok(sqlite3_context *context, int count, sqlite3_value **values)
{
    struct dm_filter_set set = {0};
    (void)count;
    sqlite3_result_int(context, dm_filter_set_load(&set, text_of(values[0])));
    dm_filter_set_dispose(&set);
}

static int add_functions(struct checking *checking)
{
    static const struct {
        const char *name;
        void (*run)(sqlite3_context *context, int count, sqlite3_value **values);
    } functions[] = {{"id_text", id_text}, {"slot_of", slot_of},       {"user_ok", user_ok},
                     {"name_ok", name_ok}, {"dialect_ok", dialect_ok}, {"filters_ok", filters_ok}};
    int rc = SQLITE_OK;
    for (size_t i = 0; i < DM_COUNT(functions) && rc == SQLITE_OK; i++)
        rc = sqlite3_create_function(checking->look.connection.db, functions[i].name, 1,
                                     SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY,
                                     (void *)(uintptr_t)checking->options, functions[i].run, NULL,
                                     NULL);
    return rc;
}

/* --- the schema as it should be --- */

static int copy_schema(sqlite3 *from, sqlite3 *to)
{
    sqlite3_stmt *row = NULL, *add = NULL;
    int rc = sqlite3_prepare_v2(from, dm_statement_sql(DM_STATEMENT_SCHEMA), -1, &row, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(to, dm_statement_sql(DM_STATEMENT_EXPECT), -1, &add, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        sqlite3_bind_value(add, 1, sqlite3_column_value(row, 0));
        sqlite3_bind_value(add, 2, sqlite3_column_value(row, 1));
        rc = dm_statement_run(add);
    }
    sqlite3_finalize(row);
    sqlite3_finalize(add);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* By the migrations themselves, in memory. */
static int add_expected(struct checking *checking)
{
    struct dm_connection made;
    struct dm_connection_settings settings = {.path = ":memory:"};
    struct dm_buf why = DM_BUF_INIT;
    int rc = dm_connection_exec(&checking->look.connection,
                                dm_statement_sql(DM_STATEMENT_MAKE_EXPECTED));
    if (rc == SQLITE_OK)
        rc = dm_connection_open(&made, &settings, &why);
    if (rc == SQLITE_OK) {
        for (int i = 0; i < dm_migration_count && rc == SQLITE_OK; i++)
            rc = dm_connection_exec(&made, dm_migrations[i].sql);
        if (rc == SQLITE_OK)
            rc = copy_schema(made.db, checking->look.connection.db);
        dm_connection_close(&made);
    }
    dm_buf_dispose(&why);
    return rc;
}

/* --- running them --- */

/* What is wrong may be a name in a damaged file: nothing of it reaches a terminal raw. */
static void add_finding(struct checking *checking, const char *name, struct dm_slice what)
{
    struct dm_buf *out = checking->findings;
    dm_buf_printf(out, "%s: ", name);
    size_t start = out->len;
    dm_buf_add_slice(out, what);
    for (size_t i = start; i < out->len; i++) {
        if ((unsigned char)out->bytes[i] < ' ' || out->bytes[i] == 0x7f)
            out->bytes[i] = '?';
    }
    dm_buf_add_byte(out, '\n');
}

static void run(struct checking *checking, const char *name, const char *sql)
{
    sqlite3 *db = checking->look.connection.db;
    sqlite3_stmt *statement = NULL;
    uint64_t found = 0;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        struct dm_slice what = dm_slice_of(text);
        rc = SQLITE_OK;
        if (dm_slice_eq(what, DM_SLICE("ok"))) /* as SQLite's own check says it */
            continue;
        if (++found <= DM_CHECK_SHOWN)
            add_finding(checking, name, what);
    }
    if (found > DM_CHECK_SHOWN)
        dm_buf_printf(checking->findings, "%s: and %llu more\n", name,
                      (unsigned long long)(found - DM_CHECK_SHOWN));
    if (rc != SQLITE_DONE) {
        add_finding(checking, name, dm_slice_of(sqlite3_errmsg(db)));
        found++;
    }
    sqlite3_finalize(statement);
    checking->count += found;
}

/* Each in a transaction of its own: the server's log cannot start over while one lasts. */
static int run_all(struct checking *checking)
{
    int rc = add_functions(checking);
    if (rc == SQLITE_OK)
        rc = add_expected(checking);
    if (rc != SQLITE_OK)
        return rc;
    run(checking, "integrity", dm_statement_sql(DM_STATEMENT_INTEGRITY));
    for (size_t i = 0; i < DM_COUNT(checks); i++)
        run(checking, checks[i].name, checks[i].sql);
    return SQLITE_OK;
}

int dm_check_database(const struct dm_check_options *options, struct dm_buf *findings,
                      uint64_t *count, struct dm_buf *why)
{
    struct checking checking = {.options = options, .findings = findings};
    *count = 0;
    int err = dm_look_open(&checking.look, options->database, why);
    if (err != DM_OK)
        return err;
    err = dm_look_is_current(&checking.look, options->database, why);
    if (err == DM_OK && run_all(&checking) != SQLITE_OK)
        err = dm_look_failed(&checking.look, options->database, "cannot be checked", why);
    dm_look_close(&checking.look);
    *count = checking.count;
    return err;
}
