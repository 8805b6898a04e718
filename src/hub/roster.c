/*
 * Who is a member of a channel, in memory while the channel is awake: loaded by
 * pages, kept in step with what is committed meanwhile, let go when idle.
 *
 * A page shows what was committed before it was asked for, and perhaps more.
 * Changes that come back while it is on its way are made once more behind it,
 * in order: so the roster ends where the store is.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "hub/hub_priv.h"
#include "model/name.h"
#include "ports/store_channel.h"

enum {
    WEIGHT_SHIFT = 6,     /* 64 members count as one more object in memory */
    EVICTIONS_A_TICK = 64 /* so that no turn is long */
};

struct roster_change {
    bool joined;
    uint64_t since;
    struct dm_short_id id;
};

/* --- the members --- */

static struct member *member_at(const struct roster *roster, uint32_t place)
{
    return (struct member *)(void *)roster->members.bytes + (place - 1);
}

uint32_t dm_roster_count(const struct roster *roster)
{
    return (uint32_t)(roster->members.len / sizeof(struct member));
}

const struct member *dm_roster_members(const struct roster *roster)
{
    return (const struct member *)(const void *)roster->members.bytes;
}

static bool is_member(const void *context, uint32_t place, struct dm_slice id)
{
    return dm_slice_eq(dm_short_id_text(&member_at(context, place)->id), id);
}

static uint64_t hash_of(const struct dm_shard *shard, struct dm_slice id)
{
    return dm_hash(shard->index_key, id.at, id.len);
}

static uint32_t find(const struct dm_shard *shard, const struct roster *roster, struct dm_slice id)
{
    return dm_index_find(&roster->places, hash_of(shard, id), is_member, roster, id);
}

const struct member *dm_roster_find(const struct dm_shard *shard, const struct roster *roster,
                                    struct dm_slice id)
{
    uint32_t place = find(shard, roster, id);
    return place ? member_at(roster, place) : NULL;
}

static void count_members(struct dm_shard *shard, int64_t by)
{
    dm_metrics_add(shard->metrics, DM_METRIC_MEMBERS_AWAKE, (uint64_t)by);
}

static void add(struct dm_shard *shard, struct roster *roster, struct dm_slice id, uint64_t since)
{
    uint32_t place = find(shard, roster, id);
    if (place) {
        member_at(roster, place)->since = since;
        return;
    }
    struct member member = {.hash = hash_of(shard, id), .since = since};
    dm_short_id_set(&member.id, id);
    dm_buf_add(&roster->members, &member, sizeof member);
    dm_index_put(&roster->places, member.hash, dm_roster_count(roster));
    count_members(shard, 1);
}

/* The last one takes its place. */
static void take_out(struct dm_shard *shard, struct roster *roster, struct dm_slice id)
{
    uint32_t place = find(shard, roster, id), last = dm_roster_count(roster);
    if (!place)
        return;
    struct member *gone = member_at(roster, place), *moved = member_at(roster, last);
    dm_index_remove(&roster->places, gone->hash, place);
    if (place != last) {
        dm_index_remove(&roster->places, moved->hash, last);
        dm_index_put(&roster->places, moved->hash, place);
    }
    dm_short_id_dispose(&gone->id);
    *gone = *moved;
    roster->members.len -= sizeof *moved;
    count_members(shard, -1);
}

static void clear(struct dm_shard *shard, struct roster *roster)
{
    uint32_t count = dm_roster_count(roster);
    for (uint32_t place = 1; place <= count; place++)
        dm_short_id_dispose(&member_at(roster, place)->id);
    count_members(shard, -(int64_t)count);
    dm_buf_dispose(&roster->members);
    dm_index_dispose(&roster->places);
}

/* --- its life --- */

uint32_t dm_roster_weight(const struct roster *roster)
{
    return 1 + (dm_roster_count(roster) >> WEIGHT_SHIFT);
}

static void touch(struct dm_shard *shard, struct roster *roster)
{
    roster->last_event = dm_shard_now(shard);
    dm_list_unlink(&roster->recent);
    dm_list_push(&shard->rosters, &roster->recent);
}

static void forget_changes(struct roster *roster)
{
    struct roster_change *changes = (void *)roster->changes.bytes;
    for (size_t i = 0; i < roster->changes.len / sizeof *changes; i++)
        dm_short_id_dispose(&changes[i].id);
    dm_buf_clear(&roster->changes);
}

static void destroy(struct dm_shard *shard, struct roster *roster)
{
    dm_list_unlink(&roster->recent);
    clear(shard, roster);
    forget_changes(roster);
    dm_buf_dispose(&roster->changes);
    dm_buf_dispose(&roster->after);
    dm_metrics_sub(shard->metrics, DM_METRIC_CHANNELS_AWAKE, 1);
    free(roster);
}

static void give(struct dm_shard *shard, struct roster *roster)
{
    struct channel *channel = channel_at(shard, roster->channel);
    DM_CHECK(dm_list_empty(&roster->waiting));
    if (roster->state == ROSTER_READY)
        shard->roster_weight -= dm_roster_weight(roster);
    channel->roster = NULL;
    destroy(shard, roster);
    dm_channel_free_if_unused(shard, channel->index);
}

void dm_roster_dispose(struct dm_shard *shard, struct channel *channel)
{
    if (channel->roster)
        destroy(shard, channel->roster);
}

/* Whoever goes on may ask for more, which then waits behind the rest. */
static void let_go_on(struct dm_shard *shard, struct roster *roster, int err)
{
    struct dm_list *link;
    while ((link = dm_list_shift(&roster->waiting)) != NULL) {
        struct roster_wait *wait = DM_CONTAINER(link, struct roster_wait, link);
        wait->go_on(shard, wait, err);
    }
}

static void become_ready(struct dm_shard *shard, struct roster *roster)
{
    roster->state = ROSTER_READY;
    dm_buf_dispose(&roster->after);
    shard->roster_weight += dm_roster_weight(roster);
    touch(shard, roster);
    let_go_on(shard, roster, DM_OK);
}

/* --- loading --- */

static void load(struct dm_shard *shard, struct roster *roster);

static void begin_again(struct dm_shard *shard, struct roster *roster)
{
    clear(shard, roster);
    forget_changes(roster);
    dm_buf_clear(&roster->after);
    roster->doubtful = false;
    load(shard, roster);
}

static void make_changes_again(struct dm_shard *shard, struct roster *roster)
{
    const struct roster_change *changes = (const void *)roster->changes.bytes;
    for (size_t i = 0; i < roster->changes.len / sizeof *changes; i++) {
        if (changes[i].joined)
            add(shard, roster, dm_short_id_text(&changes[i].id), changes[i].since);
        else
            take_out(shard, roster, dm_short_id_text(&changes[i].id));
    }
    forget_changes(roster);
}

/* The next page is asked for first, and read while this one is gone through; what has changed since
 * this one was asked for is known to that one. */
static void take_page(struct dm_shard *shard, struct roster *roster, const struct dm_store_op *op)
{
    const struct dm_store_channel *page = op->channel;
    if (page->more) {
        dm_buf_clear(&roster->after);
        dm_buf_add_slice(&roster->after, dm_store_op_text(op, page->rows[page->count - 1].name));
        load(shard, roster);
    }
    for (uint32_t i = 0; i < page->count; i++)
        add(shard, roster, dm_store_op_text(op, page->rows[i].name), page->rows[i].since);
    make_changes_again(shard, roster);
    if (!page->more)
        become_ready(shard, roster);
}

static void fail(struct dm_shard *shard, struct roster *roster, int err)
{
    let_go_on(shard, roster, err);
    if (!roster->reading) /* else it was needed again */
        give(shard, roster);
}

static void loaded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct roster *roster = channel_at(shard, op->user)->roster;
    shard->ops_out--;
    roster->reading = false;
    if (op->err)
        fail(shard, roster, op->err);
    else if (roster->doubtful)
        begin_again(shard, roster);
    else
        take_page(shard, roster, op);
    dm_store_op_destroy(op);
}

static void load(struct dm_shard *shard, struct roster *roster)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_LOAD_MEMBERS, shard->options.number, loaded);
    struct dm_store_channel *asked = dm_store_op_channel(op);
    op->user = roster->channel;
    asked->name = dm_store_op_add_text(op, dm_channel_name(channel_at(shard, roster->channel)));
    asked->after = dm_store_op_add_text(op, dm_buf_slice(&roster->after));
    dm_shard_slots(shard, &asked->first_slot, &asked->last_slot);
    asked->limit = DM_MEMBERS_PAGE_ROWS;
    roster->reading = true;
    dm_shard_submit(shard, op);
}

static struct roster *create(struct dm_shard *shard, uint32_t channel)
{
    struct roster *roster = DM_NEW(struct roster);
    roster->channel = channel;
    roster->state = ROSTER_LOADING;
    dm_list_init(&roster->waiting);
    channel_at(shard, channel)->roster = roster;
    dm_metrics_add(shard->metrics, DM_METRIC_CHANNELS_AWAKE, 1);
    dm_metrics_add(shard->metrics, DM_METRIC_CHANNEL_WAKES, 1);
    return roster;
}

bool dm_roster_need(struct dm_shard *shard, uint32_t channel, struct roster_wait *wait)
{
    struct roster *roster = channel_at(shard, channel)->roster;
    if (!roster)
        roster = create(shard, channel);
    if (roster->state == ROSTER_READY && dm_list_empty(&roster->waiting)) {
        touch(shard, roster);
        return true;
    }
    dm_list_push(&roster->waiting, &wait->link);
    if (roster->state == ROSTER_LOADING && !roster->reading)
        load(shard, roster);
    return false;
}

bool dm_roster_is_awaited(const struct dm_shard *shard, uint32_t channel)
{
    const struct roster *roster = channel ? channel_at(shard, channel)->roster : NULL;
    return roster && !dm_list_empty(&roster->waiting);
}

/* --- keeping it in step --- */

static void note_change(struct roster *roster, struct dm_slice id, bool joined, uint64_t since)
{
    struct roster_change change = {.joined = joined, .since = since};
    dm_short_id_set(&change.id, id);
    dm_buf_add(&roster->changes, &change, sizeof change);
}

static struct roster *roster_of(const struct dm_shard *shard, struct dm_slice name)
{
    uint32_t channel = dm_channel_find(shard, name);
    return channel ? channel_at(shard, channel)->roster : NULL;
}

void dm_roster_change(struct dm_shard *shard, struct dm_slice name, struct dm_slice user_id,
                      bool joined, uint64_t since)
{
    struct roster *roster = roster_of(shard, name);
    if (!roster)
        return;
    if (roster->reading)
        note_change(roster, user_id, joined, since);
    uint32_t before = dm_roster_weight(roster);
    if (joined)
        add(shard, roster, user_id, since);
    else
        take_out(shard, roster, user_id);
    if (roster->state == ROSTER_READY)
        shard->roster_weight += dm_roster_weight(roster) - before;
}

void dm_roster_doubt(struct dm_shard *shard, struct dm_slice name)
{
    struct roster *roster = roster_of(shard, name);
    if (!roster)
        return;
    if (roster->state == ROSTER_LOADING)
        roster->doubtful = true;
    else
        give(shard, roster);
}

/* --- letting it go --- */

uint64_t dm_roster_tick(struct dm_shard *shard, uint64_t now)
{
    for (int budget = EVICTIONS_A_TICK; !dm_list_empty(&shard->rosters); budget--) {
        struct roster *roster = DM_CONTAINER(shard->rosters.next, struct roster, recent);
        uint64_t idle_at = roster->last_event + shard->options.hibernate_after_ms;
        bool only = roster->recent.next == &shard->rosters;
        if (idle_at > now && (only || shard->roster_weight <= shard->max_awake))
            return idle_at;
        if (budget == 0)
            return now;
        dm_metrics_add(shard->metrics, DM_METRIC_CHANNEL_EVICTIONS, 1);
        shard->evicted_since_trim += dm_roster_weight(roster);
        give(shard, roster);
    }
    return UINT64_MAX;
}
