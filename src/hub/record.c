/*
 * Publishes that the store knows, at the shard that their id picks: recorded
 * before they go out, and their answer before it is given. The same asked again
 * meanwhile waits for the same answer.
 *
 *   asked ─► RECORDING ─┬─ new ──────────────────────► RUNNING ── acks in, or deadline ─┐
 *                       ├─ open since before a crash ─► RUNNING (sent to nobody)         │
 *                       │                                                                ▼
 *                       └─ answered before, another, refused, failed ─► (answered) ◄─ FINISHING
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

enum record_state { RECORD_RECORDING, RECORD_RUNNING, RECORD_FINISHING };

struct record {
    struct dm_list link; /* among those of shard->records[] */
    struct dm_uuid id;
    enum record_state state;
    uint64_t deadline;     /* by the monotonic clock */
    struct dm_list asking; /* struct dm_publish; the first is the one that is carried out */
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

static void take_answer(struct dm_publish *publish, const struct dm_store_publish *stored)
{
    publish->client_count = stored->client_count;
    publish->delivered = stored->delivered;
    publish->owed = stored->owed;
    publish->result_count = stored->result_count;
    dm_buf_clear(&publish->results);
    dm_buf_add_slice(&publish->results, dm_buf_slice(&stored->results));
}

/* To all who have asked. Whoever is told may ask for the same again at once. */
static void answer(struct dm_shard *shard, struct record *record, int err,
                   const struct dm_store_publish *stored)
{
    struct dm_list *link;
    dm_list_unlink(&record->link);
    while ((link = dm_list_shift(&record->asking)) != NULL) {
        struct dm_publish *publish = DM_CONTAINER(link, struct dm_publish, asking);
        publish->err = err;
        if (!err)
            take_answer(publish, stored);
        dm_publish_answer(shard, publish);
    }
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

/* It was recorded, whatever has become of the last write: whoever asks again learns it. */
static void finished(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct record *record = op->caller;
    shard->ops_out--;
    answer(shard, record, op->err ? DM_ERR_COMMIT_UNKNOWN : DM_OK, op->publish);
    dm_store_op_destroy(op);
}

void dm_record_finish(struct dm_shard *shard, struct record *record)
{
    bool failed = first_of(record)->err != DM_OK;
    struct dm_store_op *op = failed ? op_create(shard, record, DM_STORE_FORGET_PUBLISH, forgotten)
                                    : op_create(shard, record, DM_STORE_FINISH_PUBLISH, finished);
    DM_CHECK(record->state == RECORD_RUNNING);
    record->state = RECORD_FINISHING;
    op->caller = record;
    dm_shard_submit(shard, op);
}

/* So that its counts are known after a crash too. */
void dm_record_delivered(struct dm_shard *shard, struct record *record)
{
    dm_shard_submit(shard, op_create(shard, record, DM_STORE_COUNT_PUBLISH, dm_store_op_done));
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

static void recorded(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct record *record = op->caller;
    enum dm_recorded found = op->err ? DM_RECORDED_NOT : op->publish->found;
    bool unsent = dm_uuid_set_take(&shard->unsent, &record->id);
    shard->ops_out--;
    if (unsent && (found == DM_RECORDED_OPEN || found == DM_RECORDED_DONE))
        found = DM_RECORDED_NEW;
    if (unsent ? op->err != DM_OK : op->err == DM_ERR_COMMIT_UNKNOWN)
        note_unsent(shard, &record->id);
    switch (found) {
    case DM_RECORDED_NEW:
        record->state = RECORD_RUNNING;
        dm_coordinate(shard, first_of(record), record, record->deadline);
        break;
    case DM_RECORDED_OPEN:
        record->state = RECORD_RUNNING;
        run_rest(shard, record, op->publish);
        break;
    case DM_RECORDED_DONE:
        answer(shard, record, DM_OK, op->publish);
        break;
    case DM_RECORDED_OTHER:
        answer(shard, record, DM_ERR_CONFLICT, NULL);
        break;
    case DM_RECORDED_TOO_MUCH:
        answer(shard, record, DM_ERR_OWED_TOO_MUCH, NULL);
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

static void expect_expiry(struct dm_shard *shard);

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
    record->deadline = dm_shard_now(shard) + publish->timeout_ms;
    dm_list_init(&record->asking);
    dm_list_push(&record->asking, &publish->asking);
    dm_list_push(list_of(shard, &record->id), &record->link);
    shard->holds_publishes = true;
    expect_expiry(shard);
    submit(shard, record);
}

/* --- looking --- */

static void looked(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct dm_publish_look *look = op->caller;
    shard->ops_out--;
    look->err = op->err;
    if (!op->err && op->publish->found == DM_RECORDED_NOT)
        look->err = DM_ERR_NOT_FOUND;
    if (!look->err)
        look->principal = dm_store_op_text(op, op->publish->principal);
    look->found = op->publish;
    look->done(look, shard);
    dm_store_op_destroy(op);
}

void dm_publish_look_up(struct dm_shard *shard, struct dm_publish_look *look)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_LOOK_PUBLISH, shard->options.number, looked);
    (void)dm_store_op_publish(op);
    op->caller = look;
    op->envelope_id = look->envelope_id;
    op->now = dm_shard_wall(shard);
    dm_shard_submit(shard, op);
}

/* --- expiry --- */

enum { LOOK_MS_MIN = 1000, LOOK_MS_MAX = 60000, LOOKS_A_RETENTION = 4 };

static uint64_t pause_of(const struct dm_shard *shard)
{
    uint64_t pause = shard->options.result_retention_ms / LOOKS_A_RETENTION;
    if (pause < LOOK_MS_MIN)
        return LOOK_MS_MIN;
    return pause < LOOK_MS_MAX ? pause : LOOK_MS_MAX;
}

static void expect_expiry(struct dm_shard *shard)
{
    if (!shard->forget_at)
        shard->forget_at = dm_shard_now(shard) + pause_of(shard);
}

/* What is over no longer counts, there or not: this is only about room. */
static void expired(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    if (!op->err && op->publish->more)
        shard->forget_at = 1;
    dm_store_op_done(mail, shard);
}

uint64_t dm_record_tick(struct dm_shard *shard, uint64_t now)
{
    if (!shard->forget_at)
        return UINT64_MAX;
    if (now < shard->forget_at)
        return shard->forget_at;
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_EXPIRE_PUBLISHES, shard->options.number, expired);
    (void)dm_store_op_publish(op);
    op->now = dm_shard_wall(shard);
    dm_shard_submit(shard, op);
    shard->forget_at = now + pause_of(shard);
    return shard->forget_at;
}
