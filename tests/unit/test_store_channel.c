/* Channels in a real store: who is a member, who could still come back, pages, and what fails. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/publish_rig.h"
#include "lib/unit.h"
#include "model/limits.h"
#include "model/name.h"
#include "ports/store_channel.h"

enum { NOW = 5000 };

static void run_sql(struct store_rig *rig, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(rig->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* Of all slots; no limit but the port's own. */
static struct dm_store_op *channel_op(enum dm_store_kind kind, const char *channel,
                                      const char *user, uint64_t now)
{
    struct dm_store_op *op = dm_store_op_create(kind, 0, NULL);
    struct dm_store_channel *asked = dm_store_op_channel(op);
    asked->name = dm_store_op_add_text(op, dm_slice_of(channel));
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user));
    op->now = now;
    asked->last_slot = DM_SLOTS - 1;
    asked->limit = DM_MEMBERS_PAGE_ROWS;
    return op;
}

static struct dm_store_op *done(struct store_rig *rig, struct dm_store_op *op)
{
    assert_int_equal(store_rig_do(rig, op), DM_OK);
    return op;
}

static enum dm_membership was(struct store_rig *rig, struct dm_store_op *op)
{
    enum dm_membership was = done(rig, op)->channel->was;
    dm_store_op_destroy(op);
    return was;
}

static enum dm_membership join(struct store_rig *rig, const char *channel, const char *user)
{
    return was(rig, channel_op(DM_STORE_JOIN_CHANNEL, channel, user, NOW));
}

static enum dm_membership leave(struct store_rig *rig, const char *channel, const char *user)
{
    return was(rig, channel_op(DM_STORE_LEAVE_CHANNEL, channel, user, NOW));
}

/* The names of its rows, in order, as words. */
static void expect_names(struct store_rig *rig, struct dm_store_op *op, const char *expected)
{
    struct dm_buf words = DM_BUF_INIT;
    done(rig, op);
    for (uint32_t i = 0; i < op->channel->count; i++) {
        if (i)
            dm_buf_add_byte(&words, ' ');
        dm_buf_add_slice(&words, dm_store_op_text(op, op->channel->rows[i].name));
    }
    assert_string_equal(dm_buf_text(&words), expected);
    dm_buf_dispose(&words);
    dm_store_op_destroy(op);
}

static void expect_members(struct store_rig *rig, const char *channel, const char *expected)
{
    expect_names(rig, channel_op(DM_STORE_LOAD_MEMBERS, channel, "", NOW), expected);
}

/* --- joining and leaving --- */

static void a_member_stays_one_until_it_leaves(void **state)
{
    struct store_rig *rig = *state;
    assert_int_equal(leave(rig, "c", "ann"), DM_MEMBER_NOT);
    struct dm_store_op *op = done(rig, channel_op(DM_STORE_JOIN_CHANNEL, "c", "ann", 7));
    assert_int_equal(op->channel->was, DM_MEMBER_CHANGED);
    assert_int_equal(op->channel->joined_at, 7);
    dm_store_op_destroy(op);
    op = done(rig, channel_op(DM_STORE_JOIN_CHANNEL, "c", "ann", 9));
    assert_int_equal(op->channel->was, DM_MEMBER_ALREADY);
    assert_int_equal(op->channel->joined_at, 7); /* when it did */
    dm_store_op_destroy(op);
    assert_int_equal(join(rig, "d", "ann"), DM_MEMBER_CHANGED);
    assert_int_equal(join(rig, "1", "01"), DM_MEMBER_CHANGED); /* texts, not numbers */
    assert_int_equal(join(rig, "01", "1"), DM_MEMBER_CHANGED);
    expect_members(rig, "1", "01");
    dm_database_close(&rig->database);
    assert_int_equal(store_rig_open(rig), DM_OK);
    assert_int_equal(leave(rig, "c", "ann"), DM_MEMBER_CHANGED);
    assert_int_equal(leave(rig, "c", "ann"), DM_MEMBER_NOT);
    expect_members(rig, "c", "");
    expect_members(rig, "d", "ann");
}

static struct dm_store_op *join_of_so_many(const char *channel, const char *user, uint32_t most)
{
    struct dm_store_op *op = channel_op(DM_STORE_JOIN_CHANNEL, channel, user, NOW);
    op->channel->max_channels = most;
    return op;
}

static void a_user_is_in_so_many_at_most(void **state)
{
    struct store_rig *rig = *state;
    assert_int_equal(was(rig, join_of_so_many("c", "ann", 2)), DM_MEMBER_CHANGED);
    assert_int_equal(was(rig, join_of_so_many("c", "bob", 1)), DM_MEMBER_CHANGED);
    assert_int_equal(was(rig, join_of_so_many("d", "ann", 2)), DM_MEMBER_CHANGED);
    assert_int_equal(was(rig, join_of_so_many("e", "ann", 2)), DM_MEMBER_TOO_MANY);
    assert_int_equal(was(rig, join_of_so_many("e", "ann", 1)), DM_MEMBER_TOO_MANY);
    assert_int_equal(was(rig, join_of_so_many("c", "ann", 1)), DM_MEMBER_ALREADY);
    expect_members(rig, "e", "");
    assert_int_equal(leave(rig, "c", "ann"), DM_MEMBER_CHANGED);
    assert_int_equal(was(rig, join_of_so_many("e", "ann", 2)), DM_MEMBER_CHANGED);
    assert_int_equal(was(rig, join_of_so_many("f", "ann", 0)), DM_MEMBER_CHANGED); /* any number */
}

/* --- sessions that could come back --- */

static void open_session(struct store_rig *rig, const char *user, uint32_t session)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_OPEN_SESSION, 0, NULL);
    struct dm_uuid id = store_rig_id(session);
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user));
    dm_store_op_add_session(op, &id, DM_SLICE("native"), DM_SLICE("[]"), DM_NO_SLICE);
    memset(op->next_resume, (int)session, sizeof op->next_resume);
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
}

static void drop_session(struct store_rig *rig, uint32_t session, uint64_t when)
{
    struct dm_store_op *op = store_rig_forget(DM_STORE_DROP_SESSION, session, 0);
    op->now = when;
    assert_int_equal(store_rig_finish(rig, op), DM_OK);
}

static void a_user_is_in_these_presence_channels(void **state)
{
    struct store_rig *rig = *state;
    const char *others[] = {"presence", "presence.", "presence,", "presencf-", "private-x", "x"};
    for (size_t i = 0; i < DM_COUNT(others); i++)
        join(rig, others[i], "ann");
    join(rig, "presence-b", "bob");
    expect_names(rig, channel_op(DM_STORE_LOOK_PRESENCE, "", "ann", NOW), "");
    assert_int_equal(was(rig, channel_op(DM_STORE_JOIN_CHANNEL, "presence-\xc3\xbc", "ann", 8)),
                     DM_MEMBER_CHANGED);
    join(rig, "presence-a", "ann");
    struct dm_store_op *op = done(rig, channel_op(DM_STORE_LOOK_PRESENCE, "", "ann", NOW));
    assert_int_equal(op->channel->count, 2);
    assert_int_equal(op->channel->rows[0].since, NOW);
    assert_int_equal(op->channel->rows[1].since, 8);
    dm_store_op_destroy(op);
    expect_names(rig, channel_op(DM_STORE_LOOK_PRESENCE, "", "ann", NOW),
                 "presence-a presence-\xc3\xbc");
}

static struct dm_store_op *slots_op(enum dm_store_kind kind, const char *channel, uint64_t oldest,
                                    uint32_t first, uint32_t last)
{
    struct dm_store_op *op = channel_op(kind, channel, "", NOW);
    op->oldest = oldest;
    op->channel->first_slot = first;
    op->channel->last_slot = last;
    return op;
}

static void note_absent(void *context, struct dm_slice user_id, const struct dm_uuid *session_id,
                        uint64_t dropped_at)
{
    struct dm_buf *seen = context;
    dm_buf_add_slice(seen, user_id);
    dm_buf_printf(seen, " %u %llu, ", session_id->bytes[15], (unsigned long long)dropped_at);
}

static void expect_absent(struct store_rig *rig, const char *expected)
{
    struct dm_buf seen = DM_BUF_INIT;
    rig->store.each_absent(rig->store.self, note_absent, &seen);
    assert_string_equal(dm_buf_text(&seen), expected);
    dm_buf_dispose(&seen);
}

/* Those that can be resumed, in the order in which they dropped. */
static void who_has_dropped_is_shown(void **state)
{
    struct store_rig *rig = *state;
    expect_absent(rig, "");
    assert_int_equal(store_rig_finish(rig, store_rig_save("eve", 9, "[]")), DM_OK);
    for (uint32_t i = 1; i <= 4; i++)
        open_session(rig, i == 4 ? "bob" : "ann", i);
    drop_session(rig, 1, 70);
    drop_session(rig, 3, 60);
    drop_session(rig, 4, 50);
    expect_absent(rig, "bob 4 50, ann 3 60, ann 1 70, "); /* 2 is connected */
    assert_int_equal(store_rig_finish(rig, store_rig_forget(DM_STORE_END_SESSION, 3, 0)), DM_OK);
    expect_absent(rig, "bob 4 50, ann 1 70, ");
}

/* --- pages --- */

enum { MANY = 300 };

static void join_many(struct store_rig *rig, const char *channel, uint32_t count)
{
    char user[16];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(user, sizeof user, "user-%u", i);
        rig->store.submit(rig->store.self, channel_op(DM_STORE_JOIN_CHANNEL, channel, user, i));
    }
    for (uint32_t i = 0; i < count; i++) {
        struct dm_store_op *op = store_rig_take(rig);
        assert_int_equal(op->err, DM_OK);
        dm_store_op_destroy(op);
    }
}

static struct dm_store_op *page_op(const char *channel, const char *after, uint32_t limit)
{
    struct dm_store_op *op = channel_op(DM_STORE_LOAD_MEMBERS, channel, "", NOW);
    op->channel->after = dm_store_op_add_text(op, dm_slice_of(after));
    op->channel->limit = limit;
    return op;
}

/* By slot, then by bytes. */
static bool is_behind(const char *user, const char *before)
{
    uint32_t slot = dm_slot_of(dm_slice_of(user)), slot_before = dm_slot_of(dm_slice_of(before));
    return slot != slot_before ? slot > slot_before : strcmp(user, before) > 0;
}

/* How many there are of `limit` at a time. */
static uint32_t walk(struct store_rig *rig, const char *channel, uint32_t limit)
{
    char after[16] = "";
    uint32_t seen = 0;
    for (bool more = true; more;) {
        struct dm_store_op *op = done(rig, page_op(channel, after, limit));
        more = op->channel->more;
        assert_true(more ? op->channel->count == limit : op->channel->count <= limit);
        for (uint32_t i = 0; i < op->channel->count; i++, seen++) {
            char user[16];
            struct dm_slice name = dm_store_op_text(op, op->channel->rows[i].name);
            snprintf(user, sizeof user, "%.*s", (int)name.len, name.at);
            assert_true(!seen || is_behind(user, after));
            assert_int_equal(op->channel->rows[i].since, atoi(user + strlen("user-")));
            memcpy(after, user, sizeof after);
        }
        dm_store_op_destroy(op);
    }
    return seen;
}

static void members_come_by_pages_in_one_order(void **state)
{
    struct store_rig *rig = *state;
    join_many(rig, "c", MANY);
    join(rig, "d", "ann");
    const uint32_t limits[] = {1, 7, MANY - 1, MANY, MANY + 1};
    for (size_t i = 0; i < DM_COUNT(limits); i++)
        assert_int_equal(walk(rig, "c", limits[i]), MANY);
    assert_int_equal(walk(rig, "nobody knows it", 7), 0);
    struct dm_store_op *op = done(rig, page_op("c", "no member at all", MANY));
    assert_in_range(op->channel->count, 0, MANY - 1); /* it has its place in the order too */
    dm_store_op_destroy(op);
}

static void members_come_by_slots(void **state)
{
    struct store_rig *rig = *state;
    uint32_t seen = 0, first, last;
    join_many(rig, "c", MANY);
    for (uint32_t shard = 0; shard < 3; shard++) {
        dm_slots_of_shard(shard, 3, &first, &last);
        struct dm_store_op *op = done(rig, slots_op(DM_STORE_LOAD_MEMBERS, "c", 0, first, last));
        for (uint32_t i = 0; i < op->channel->count; i++, seen++)
            assert_in_range(dm_slot_of(dm_store_op_text(op, op->channel->rows[i].name)), first,
                            last);
        assert_true(op->channel->count > 0);
        dm_store_op_destroy(op);
    }
    assert_int_equal(seen, MANY);
}

static void a_channel_is_forgotten_some_at_a_time(void **state)
{
    struct store_rig *rig = *state;
    join_many(rig, "c", 2 * DM_MEMBERS_AT_ONCE + 1);
    join(rig, "d", "user-1");
    for (uint32_t i = 0; i < 3; i++) {
        struct dm_store_op *op = done(rig, channel_op(DM_STORE_FORGET_CHANNEL, "c", "", NOW));
        uint32_t left = i < 2 ? (1 - i) * DM_MEMBERS_AT_ONCE + 1 : 0;
        assert_int_equal(op->channel->more, left > 0);
        assert_int_equal(store_rig_rows(rig, "member"), left + 1);
        dm_store_op_destroy(op);
    }
    expect_members(rig, "c", "");
    expect_members(rig, "d", "user-1");
}

/* --- what fails --- */

static void expect_failure(struct store_rig *rig, struct dm_store_op *op)
{
    assert_int_equal(store_rig_finish(rig, op), DM_ERR_UNAVAILABLE);
    assert_true(dm_database_ready(rig->database)); /* it failed alone */
}

static void a_change_that_fails_leaves_nothing(void **state)
{
    struct store_rig *rig = *state;
    join(rig, "c", "ann");
    expect_failure(rig, channel_op(DM_STORE_JOIN_CHANNEL, "", "bob", NOW)); /* the table's CHECK */
    run_sql(rig, "ALTER TABLE member RENAME TO gone");
    expect_failure(rig, channel_op(DM_STORE_JOIN_CHANNEL, "c", "bob", NOW));
    expect_failure(rig, channel_op(DM_STORE_LEAVE_CHANNEL, "c", "ann", NOW));
    expect_failure(rig, channel_op(DM_STORE_LOOK_PRESENCE, "", "ann", NOW));
    run_sql(rig, "ALTER TABLE gone RENAME TO member");
    expect_members(rig, "c", "ann");
    assert_int_equal(leave(rig, "c", "ann"), DM_MEMBER_CHANGED);
}

static void a_read_that_fails_answers_nothing(void **state)
{
    struct store_rig *rig = *state;
    join(rig, "c", "ann");
    run_sql(rig, "ALTER TABLE member RENAME TO gone");
    struct dm_store_op *op = channel_op(DM_STORE_LOAD_MEMBERS, "c", "", NOW);
    assert_int_equal(store_rig_do(rig, op), DM_ERR_UNAVAILABLE);
    assert_int_equal(op->channel->count, 0);
    dm_store_op_destroy(op);
    run_sql(rig, "ALTER TABLE gone RENAME TO member");
    expect_members(rig, "c", "ann");
}

/* --- opening --- */

static void opening_tells_of_presence(void **state)
{
    struct store_rig *rig = *state;
    assert_false(rig->store.holds_presence);
    join(rig, "presence.", "ann");
    dm_database_close(&rig->database);
    assert_int_equal(store_rig_open(rig), DM_OK);
    assert_false(rig->store.holds_presence);
    join(rig, "presence-c", "ann");
    dm_database_close(&rig->database);
    assert_int_equal(store_rig_open(rig), DM_OK);
    assert_true(rig->store.holds_presence);
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, store_rig_setup, store_rig_teardown)

DM_UNIT_MAIN(RIGGED(a_member_stays_one_until_it_leaves), RIGGED(a_user_is_in_so_many_at_most),
             RIGGED(a_user_is_in_these_presence_channels), RIGGED(who_has_dropped_is_shown),
             RIGGED(members_come_by_pages_in_one_order), RIGGED(members_come_by_slots),
             RIGGED(a_channel_is_forgotten_some_at_a_time),
             RIGGED(a_change_that_fails_leaves_nothing), RIGGED(a_read_that_fails_answers_nothing),
             RIGGED(opening_tells_of_presence))
