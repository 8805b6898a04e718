/*
 * Publishes that the store knows, at the shard that their id picks: recorded
 * before they go out, and their answer before it is given. The same asked again
 * meanwhile waits for the same answer. Those for a channel are RUNNING at the
 * channel's coordinator, which reaches the record by mail alone.
 *
 *   asked ─► RECORDING ─┬─ new ──────────────────────► RUNNING ── acks in, or deadline ─┐
 *                       ├─ open since before a crash ─► RUNNING (sent to nobody)         │
 *                       ├─ answered before ──────────────────────────────────────────┐   │
 *                       │                                                            ▼   ▼
 *                       └─ another, refused, failed ─► (answered) ◄── looked up ── FINISHING
 *                                                          ▲                           │
 *                                                          └─ forgotten: some target ──┘
 *                                                             could not be reached
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

enum record_state { RECORD_RECORDING, RECORD_RUNNING, RECORD_FINISHING };

struct record {
    struct dm_list link; /* among those of shard->records[] */
    struct dm_uuid id;
    enum record_state state;
    uint32_t home;                 /* the shard that it is at */
    struct dm_mail counted, ended; /* from its coordinator, where that is another shard */
    uint64_t deadline;             /* by the monotonic clock */
    struct dm_list asking;         /* struct dm_publish; the first is the one that is carried out */
};

/* --- which there are --- */

static struct dm_list *list_of(struct dm_shard *shard, const struct dm_uuid *id)
{
    uint64_t hash = dm_hash(shard->index_key, id, sizeof *id);
    struct dm_list *list = &shard->records[hash % DM_COUNT(shard->records)];
    if (!list->next)
        dm_list_init(list);
    return list;
}

static struct record *find(struct dm_shard *shard, const struct dm_uuid *id)
{
    struct dm_list *list = list_of(shard, id);
    for (struct dm_list *at = list->next; at != list; at = at->next) {
        struct record *record = DM_CONTAINER(at, struct record, link);
        if (dm_uuid_eq(&record->id, id))
            return record;
    }
    return NULL;
}

static struct dm_publish *first_of(const struct record *record)
{
    return DM_CONTAINER(record->asking.next, struct dm_publish, asking);
}

/* --- the answer --- */

static void take_answer(struct dm_publish *publish, const struct dm_store_publish *found,
                        struct dm_stored_results *results)
{
    publish->client_count = found->client_count;
    publish->delivered = found->delivered;
    publish->owed = found->owed;
    publish->result_count = found->result_count;
    atomic_fetch_add(&results->refs, 1);
    publish->stored = results;
}

/* To all who have asked. Whoever is told may ask for the same again at once. */
static void answer(struct dm_shard *shard, struct record *record, int err,
                   struct dm_store_publish *found)
{
    struct dm_list *link;
    struct dm_stored_results *results = NULL;
    if (!err) {
        results = DM_NEW(struct dm_stored_results);
        *results = (struct dm_stored_results){.refs = 1, .json = found->results};
        found->results = (struct dm_buf)DM_BUF_INIT;
    }
    dm_list_unlink(&record->link);
    while ((link = dm_list_shift(&record->asking)) != NULL) {
        struct dm_publish *publish = DM_CONTAINER(link, struct dm_publish, asking);
        publish->err = err;
        if (!err)
            take_answer(publish, found, results);
        dm_publish_answer(shard, publish);
    }
    dm_stored_results_release(results);
    free(record);
}

static struct dm_store_op *op_create(struct dm_shard *shard, const struct record *record,
                                     enum dm_store_kind kind, dm_mail_run back)
{
    struct dm_store_op *op = dm_store_op_create(kind, shard->options.number, back);
    struct dm_store_publish *stored = dm_store_op_publish(op);
    op->envelope_id = record->id;
    op->now = dm_shard_wall(shard);
    stored->client_count = first_of(record)->client_count;
    stored->delivered = first_of(record)->delivered;
    stored->retention = shard->options.result_retention_ms;
    return op;
}

/* --- what was recorded, and perhaps sent to nobody --- */

enum { UNSENT_MAX = 4096 };

/* This process did not send it: if it is there, and asked for again, it will be. */
static void note_unsent(struct dm_shard *shard, const struct dm_uuid *id)
{
    if (shard->unsent.ids.len / sizeof *id < UNSENT_MAX)
        dm_uuid_set_add(&shard->unsent, id);
}

/* Where some target could not be reached it is as if it had not been asked: asked again it goes to
 * all. */
static void forgotten(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    shard->ops_out--;
    if (op->err)
        note_unsent(shard, &op->envelope_id);
    answer(shard, op->caller, DM_ERR_UNAVAILABLE, NULL);
    dm_store_op_destroy(op);
}

static void looked_up(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    int err = op->err;
    if (!err && op->publish->found == DM_RECORDED_NOT)
        err = DM_ERR_UNAVAILABLE; /* its time has come meanwhile: it may be asked again */
    shard->ops_out--;
    answer(shard, op->caller, err, op->publish);
    dm_store_op_destroy(op);
}

/* A reader's affair: there may be much of it. */
static void look_up(struct dm_shard *shard, struct record *record)
{
    struct dm_store_op *op = op_create(shard, record, DM_STORE_LOOK_PUBLISH, looked_up);
    op->publish->anybodys = true;
    op->caller = record;
    record->state = RECORD_FINISHING;
    dm_shard_submit(shard, op);
}

/* It was recorded, whatever has become of the last write: whoever asks again learns it. */
static void finished(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    shard->ops_out--;
    if (op->err)
        answer(shard, op->caller, DM_ERR_COMMIT_UNKNOWN, NULL);
    else if (op->publish->found == DM_RECORDED_NOT)
        answer(shard, op->caller, DM_ERR_UNAVAILABLE, NULL);
    else
        look_up(shard, op->caller);
    dm_store_op_destroy(op);
}

static void finish(struct dm_shard *shard, struct record *record)
{
    bool failed = first_of(record)->err != DM_OK;
    struct dm_store_op *op = failed ? op_create(shard, record, DM_STORE_FORGET_PUBLISH, forgotten)
                                    : op_create(shard, record, DM_STORE_FINISH_PUBLISH, finished);
    DM_CHECK(record->state == RECORD_RUNNING);
    record->state = RECORD_FINISHING;
    op->caller = record;
    dm_shard_submit(shard, op);
}

static void finish_here(struct dm_mail *mail, struct dm_shard *shard)
{
    finish(shard, DM_CONTAINER(mail, struct record, ended));
}

void dm_record_finish(struct dm_shard *shard, struct record *record)
{
    if (record->home == shard->options.number) {
        finish(shard, record);
        return;
    }
    record->ended.run = finish_here;
    shard->ports.post.send(shard->ports.post.self, record->home, &record->ended);
}

static void count_here(struct dm_mail *mail, struct dm_shard *shard)
{
    struct record *record = DM_CONTAINER(mail, struct record, counted);
    dm_shard_submit(shard, op_create(shard, record, DM_STORE_COUNT_PUBLISH, dm_store_op_done));
}

/* So that its counts are known after a crash too. */
void dm_record_delivered(struct dm_shard *shard, struct record *record)
{
    if (record->home == shard->options.number) {
        count_here(&record->counted, shard);
        return;
    }
    record->counted.run = count_here;
    shard->ports.post.send(shard->ports.post.self, record->home, &record->counted);
}

/* --- recording --- */

static void run_rest(struct dm_shard *shard, struct record *record,
                     const struct dm_store_publish *stored)
{
    uint64_t wall = dm_shard_wall(shard);
    uint64_t left = stored->deadline > wall ? stored->deadline - wall : 0;
    struct dm_publish *publish = first_of(record);
    if (left > DM_TIMEOUT_MS_MAX) /* the clock was set back */
        left = DM_TIMEOUT_MS_MAX;
    publish->client_count = stored->client_count;
    publish->delivered = stored->delivered;
    dm_coordinate_rest(shard, publish, record, dm_shard_now(shard) + left);
}

/* The members that its channel had when it was recorded are its targets. */
static void take_members(struct dm_publish *publish, const struct dm_store_op *op)
{
    const struct dm_store_publish *stored = op->publish;
    for (uint32_t i = 0; i < stored->target_count; i++)
        dm_buf_add_slice(&publish->members_text, dm_store_op_text(op, stored->targets[i]));
    publish->members_at = dm_calloc(stored->target_count + 1u, sizeof *publish->members_at);
    const char *at = publish->members_text.bytes;
    for (uint32_t i = 0; i < stored->target_count; at += stored->targets[i++].len)
        publish->members_at[i] = dm_slice(at, stored->targets[i].len);
    publish->targets = publish->members_at;
    publish->target_count = publish->members = stored->target_count;
}

static void coordinate_there(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_publish *publish = DM_CONTAINER(mail, struct dm_publish, mail);
    dm_coordinate(shard, publish, publish->record, publish->record->deadline);
}

static void coordinate(struct dm_shard *shard, struct record *record, const struct dm_store_op *op)
{
    struct dm_publish *publish = first_of(record);
    record->state = RECORD_RUNNING;
    publish->number = op->publish->number;
    publish->record = record;
    if (!publish->channel.at) {
        dm_coordinate(shard, publish, record, record->deadline);
        return;
    }
    uint32_t coordinator = dm_channel_coordinator(shard, publish->channel);
    take_members(publish, op);
    publish->mail.run = coordinate_there;
    if (coordinator == record->home)
        coordinate_there(&publish->mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, coordinator, &publish->mail);
}

/* What another call of this process has recorded, and not sent, is new to whoever asks again. One
 * that the failing commit only found there was sent by whoever recorded it. */
static enum dm_recorded what_was_found(struct dm_shard *shard, const struct dm_store_op *op)
{
    enum dm_recorded found = op->publish->found;
    bool unsent = dm_uuid_set_take(&shard->unsent, &op->envelope_id);
    if (op->err) {
        if (unsent || (op->err == DM_ERR_COMMIT_UNKNOWN && found == DM_RECORDED_NEW))
            note_unsent(shard, &op->envelope_id);
        return DM_RECORDED_NOT;
    }
    return unsent && (found == DM_RECORDED_OPEN || found == DM_RECORDED_DONE) ? DM_RECORDED_NEW
                                                                              : found;
}

static void recorded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct record *record = op->caller;
    shard->ops_out--;
    switch (what_was_found(shard, op)) {
    case DM_RECORDED_NEW:
        coordinate(shard, record, op);
        break;
    case DM_RECORDED_OPEN:
        record->state = RECORD_RUNNING;
        run_rest(shard, record, op->publish);
        break;
    case DM_RECORDED_DONE:
        look_up(shard, record);
        break;
    case DM_RECORDED_OTHER:
        answer(shard, record, DM_ERR_CONFLICT, NULL);
        break;
    case DM_RECORDED_TOO_MUCH:
        answer(shard, record, DM_ERR_OWED_TOO_MUCH, NULL);
        break;
    case DM_RECORDED_TOO_WIDE:
        answer(shard, record, DM_ERR_TOO_MANY_TARGETS, NULL);
        break;
    case DM_RECORDED_NOT:
        answer(shard, record, op->err, NULL);
        break;
    }
    dm_store_op_destroy(op);
}

static void add_targets(struct dm_store_op *op, const struct dm_publish *publish)
{
    struct dm_store_publish *stored = op->publish;
    stored->targets = dm_calloc(publish->target_count, sizeof *stored->targets);
    stored->target_count = publish->target_count;
    for (uint32_t i = 0; i < publish->target_count; i++)
        stored->targets[i] = dm_store_op_add_text(op, publish->targets[i]);
}

static void submit(struct dm_shard *shard, struct record *record)
{
    const struct dm_publish *publish = first_of(record);
    const struct dm_envelope *envelope = publish->envelope;
    struct dm_store_op *op = op_create(shard, record, DM_STORE_RECORD_PUBLISH, recorded);
    struct dm_store_publish *stored = op->publish;
    op->caller = record;
    stored->principal = dm_store_op_add_text(op, publish->principal);
    stored->repeatable = publish->repeatable;
    stored->durable = publish->durable;
    memcpy(stored->body_hash, publish->body_hash, sizeof stored->body_hash);
    stored->ts = envelope->ts;
    if (publish->durable) {
        stored->type = dm_store_op_add_text(op, envelope->type);
        stored->payload = dm_store_op_add_text(op, envelope->payload);
    }
    stored->resends = publish->channel.at && dm_uuid_set_has(&shard->unsent, &record->id);
    stored->max_targets = shard->options.limits.max_targets;
    if (publish->channel.at)
        stored->channel = dm_store_op_add_text(op, publish->channel);
    else
        add_targets(op, publish);
    stored->max_owed = shard->options.limits.max_owed_per_user;
    stored->deadline = op->now + publish->timeout_ms;
    stored->owed_until =
        op->now + (publish->ttl_ms > publish->timeout_ms ? publish->ttl_ms : publish->timeout_ms);
    dm_shard_submit(shard, op);
}

static bool is_the_same(const struct dm_publish *a, const struct dm_publish *b)
{
    return a->repeatable && b->repeatable && dm_slice_eq(a->principal, b->principal) &&
           memcmp(a->body_hash, b->body_hash, sizeof a->body_hash) == 0;
}

void dm_record_ask(struct dm_shard *shard, struct dm_publish *publish)
{
    struct record *record = find(shard, &publish->envelope->id);
    if (record && !is_the_same(first_of(record), publish)) {
        publish->err = DM_ERR_CONFLICT;
        dm_publish_answer(shard, publish);
        return;
    }
    if (record) {
        dm_list_push(&record->asking, &publish->asking);
        return;
    }
    record = DM_NEW(struct record);
    record->id = publish->envelope->id;
    record->home = shard->options.number;
    record->deadline = dm_shard_now(shard) + publish->timeout_ms;
    dm_list_init(&record->asking);
    dm_list_push(&record->asking, &publish->asking);
    dm_list_push(list_of(shard, &record->id), &record->link);
    shard->holds_publishes = true;
    dm_record_expect_expiry(shard);
    submit(shard, record);
}
