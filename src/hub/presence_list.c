/*
 * Who is there: every shard is asked for its part, and their pages are joined
 * in the order of the slots. At a shard these are the roster's members that have
 * a session, open or to be resumed, and the listeners.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "hub/hub_priv.h"
#include "model/name.h"

/* One user that is there; `id` points into the hub's records. */
struct present {
    uint64_t since;
    uint32_t slot;
    struct dm_slice id;
};

/* The same in a page, its id behind those before it. */
struct row {
    uint64_t since;
    uint32_t id_len;
};

struct list;

struct list_part {
    struct dm_mail mail;
    struct roster_wait wait;
    struct list *list;
    int err;
    struct dm_buf rows, ids; /* its page: struct row, in order */
    bool more;
};

struct list {
    struct dm_presence_call *call;
    uint32_t origin, out, shards;
    struct list_part parts[];
};

/* --- joining the pages --- */

/* False: the page of all is full. */
static bool add_part(struct dm_presence_call *call, const struct list_part *part, uint32_t *count)
{
    const struct row *rows = (const void *)part->rows.bytes;
    const char *id = part->ids.bytes;
    for (size_t i = 0; i < part->rows.len / sizeof *rows; id += rows[i++].id_len) {
        if (*count == call->limit)
            return false;
        if ((*count)++)
            dm_buf_add_byte(&call->members, ',');
        dm_presence_describe(&call->members, dm_slice(id, rows[i].id_len), rows[i].since);
        dm_buf_clear(&call->last);
        dm_buf_add(&call->last, id, rows[i].id_len);
    }
    return !part->more;
}

static void finish(struct dm_shard *shard, struct list *list)
{
    struct dm_presence_call *call = list->call;
    uint32_t count = 0;
    bool all = true;
    call->err = DM_OK;
    for (uint32_t i = 0; i < list->shards; i++) {
        if (list->parts[i].err)
            call->err = list->parts[i].err;
        all = all && add_part(call, &list->parts[i], &count);
        dm_buf_dispose(&list->parts[i].rows);
        dm_buf_dispose(&list->parts[i].ids);
    }
    if (all)
        dm_buf_clear(&call->last);
    free(list);
    call->done(call, shard);
}

static void came_back(struct dm_mail *mail, struct dm_shard *shard)
{
    struct list *list = DM_CONTAINER(mail, struct list_part, mail)->list;
    if (--list->out == 0)
        finish(shard, list);
}

static void send_back(struct dm_shard *shard, struct list_part *part)
{
    part->mail.run = came_back;
    if (part->list->origin == shard->options.number)
        came_back(&part->mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, part->list->origin, &part->mail);
}

/* --- a shard's page --- */

static void add(struct dm_buf *found, struct dm_slice id, uint64_t since)
{
    struct present present = {since, dm_slot_of(id), id};
    dm_buf_add(found, &present, sizeof present);
}

/* Since when it has a session, open or to be resumed; UINT64_MAX: it has none. */
static uint64_t there_since(const struct dm_shard *shard, const struct member *member,
                            struct dm_slice id)
{
    uint32_t user = dm_user_find_hashed(shard, member->hash, id);
    uint64_t since = dm_absent_since(shard, member->hash, id);
    for (uint32_t i = user ? user_at(shard, user)->first_session : 0; i;
         i = session_at(shard, i)->next)
        since = dm_clock_earlier(since, dm_uuid_ms(&session_at(shard, i)->id));
    return since;
}

static void add_members(const struct dm_shard *shard, const struct roster *roster,
                        struct dm_buf *found)
{
    const struct member *members = dm_roster_members(roster);
    for (uint32_t i = 0; i < dm_roster_count(roster); i++) {
        struct dm_slice id = dm_short_id_text(&members[i].id);
        uint64_t since = there_since(shard, &members[i], id);
        if (since != UINT64_MAX)
            add(found, id, since > members[i].since ? since : members[i].since);
    }
}

static void add_listeners(const struct dm_shard *shard, uint32_t channel, struct dm_buf *found)
{
    for (uint32_t i = channel_at(shard, channel)->first_listener; i;
         i = listener_at(shard, i)->next) {
        const struct session *session = session_at(shard, listener_at(shard, i)->session);
        add(found, dm_user_id(user_at(shard, session->user)), dm_uuid_ms(&session->id));
    }
}

static int compare_place(const struct present *a, uint32_t slot, struct dm_slice id)
{
    if (a->slot != slot)
        return a->slot < slot ? -1 : 1;
    size_t len = a->id.len < id.len ? a->id.len : id.len;
    int order = memcmp(a->id.at, id.at, len);
    return order ? order : (a->id.len > id.len) - (a->id.len < id.len);
}

/* By slot and name; of one user the earliest first. */
static int compare(const void *left, const void *right)
{
    const struct present *a = left, *b = right;
    int order = compare_place(a, b->slot, b->id);
    return order ? order : (a->since > b->since) - (a->since < b->since);
}

/* Each user once, those behind `after`, so many as are asked for. */
static void make_page(struct list_part *part, struct dm_buf *found)
{
    const struct dm_presence_call *call = part->list->call;
    struct present *all = (void *)found->bytes;
    size_t count = found->len / sizeof *all;
    uint32_t after = dm_slot_of(call->after), rows = 0;
    if (count)
        qsort(all, count, sizeof *all, compare);
    for (size_t i = 0; i < count && !part->more; i++) {
        if (i && dm_slice_eq(all[i].id, all[i - 1].id))
            continue;
        if (call->after.len && compare_place(&all[i], after, call->after) <= 0)
            continue;
        if (rows++ == call->limit) {
            part->more = true;
            break;
        }
        struct row row = {all[i].since, (uint32_t)all[i].id.len};
        dm_buf_add(&part->rows, &row, sizeof row);
        dm_buf_add_slice(&part->ids, all[i].id);
    }
}

static void gather(struct dm_shard *shard, struct list_part *part)
{
    uint32_t channel = dm_channel_find(shard, part->list->call->channel);
    struct dm_buf found = DM_BUF_INIT;
    add_members(shard, channel_at(shard, channel)->roster, &found);
    add_listeners(shard, channel, &found);
    make_page(part, &found);
    dm_buf_dispose(&found);
    send_back(shard, part);
}

static void roster_came(struct dm_shard *shard, struct roster_wait *wait, int err)
{
    struct list_part *part = DM_CONTAINER(wait, struct list_part, wait);
    part->err = err;
    if (err)
        send_back(shard, part);
    else
        gather(shard, part);
}

static void begin(struct dm_shard *shard, struct list_part *part)
{
    uint32_t channel = dm_channel_find_or_add(shard, part->list->call->channel);
    part->wait.go_on = roster_came;
    if (dm_roster_need(shard, channel, &part->wait))
        gather(shard, part);
}

static void begin_here(struct dm_mail *mail, struct dm_shard *shard)
{
    begin(shard, DM_CONTAINER(mail, struct list_part, mail));
}

void dm_presence_ask(struct dm_shard *shard, struct dm_presence_call *call)
{
    uint32_t shards = shard->options.shards;
    struct list *list = dm_calloc(1, sizeof *list + shards * sizeof *list->parts);
    list->call = call;
    list->origin = shard->options.number;
    list->out = list->shards = shards;
    for (uint32_t i = 0; i < shards; i++) {
        list->parts[i].list = list;
        list->parts[i].mail.run = begin_here;
        if (i != list->origin)
            shard->ports.post.send(shard->ports.post.self, i, &list->parts[i].mail);
    }
    begin(shard, &list->parts[shard->options.number]); /* last: it may end all of it */
}
