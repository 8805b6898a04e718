/*
 * Clients of both dialects on one shard of the hub, with fakes behind it that
 * never fail: whatever they say among publishes and in time, they are sent
 * whole frames that their dialects know, every publish is answered once, and
 * the shard holds to its own invariants.
 *
 * The input is a list of events with NUL between them: 'h' and 'n' (and 'H',
 * 'N', binary) a message of the hopeflow and of the native client, 'p' a
 * publish to both with this payload, 't' a second that passes, 'x' and 'y' the
 * end of one client, which opens another session at once.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/err.h"
#include "codec/frame.h"
#include "codec/json.h"
#include "codec/utf8.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/shard.h"

enum { CLIENTS = 2, EVENTS_MAX = 200, USER_LEN = 1 };

static const struct dm_slice user = DM_SLICE_INIT("u");
static const enum dm_dialect_id speaks[CLIENTS] = {DM_DIALECT_HOPEFLOW, DM_DIALECT_NATIVE};

struct client {
    uint32_t number; /* of its session; 0: none */
    uint32_t answers, envelopes;
    bool resumed;
    struct dm_admission admission;
    bool admitted;
};

struct publishing {
    struct dm_publish publish;
    bool answered;
};

struct row {
    struct dm_uuid id;
    char *dialect, *filters, *attachment;
};

struct world {
    struct row rows[EVENTS_MAX + CLIENTS];
    struct dm_store_pending pending[2 * EVENTS_MAX];
    uint32_t row_count, pending_count;
    struct dm_shard *shard;
    struct dm_metrics *metrics;
    struct client clients[CLIENTS];
    struct dm_store_op *ops, **ops_end;
    struct publishing *publishes[EVENTS_MAX];
    uint32_t publish_count, fills;
    uint64_t now;
};

/* --- ports --- */

static uint64_t mono_ms(void *self)
{
    return ((const struct world *)self)->now;
}

static uint64_t wall_ms(void *self)
{
    return 1750000000000u + ((const struct world *)self)->now;
}

static void fill(void *self, void *out, size_t len)
{
    struct world *world = self;
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)(++world->fills * 2654435761u >> 24);
}

static void submit(void *self, struct dm_store_op *op)
{
    struct world *world = self;
    op->next = NULL;
    *world->ops_end = op;
    world->ops_end = &op->next;
}

static void post(void *self, uint32_t shard, struct dm_mail *mail)
{
    (void)self, (void)mail;
    DM_CHECK(shard > 0); /* there is but one: nothing is posted */
}

static int verify(void *self, uint32_t sock, struct dm_slice token, struct dm_slice user_id,
                  uint64_t *expires_ms, bool *may_publish, struct dm_buf *claims)
{
    struct world *world = self;
    DM_CHECK(dm_slice_eq(user_id, user));
    (void)sock, (void)claims;
    *expires_ms = wall_ms(world) + token.len * 100;
    *may_publish = token.len % 2;
    return dm_slice_starts(token, DM_SLICE("good")) ? DM_OK : DM_ERR_UNAUTHORIZED;
}

static void send(void *self, uint32_t sock, struct dm_wire *wire)
{
    struct client *client = &((struct world *)self)->clients[sock - 1];
    struct dm_frame_head head;
    DM_CHECK(dm_frame_read_head(wire->bytes, wire->len, false, &head) == DM_FRAME_WHOLE);
    DM_CHECK(head.opcode == DM_OP_TEXT && head.fin && head.size + head.payload == wire->len);
    struct dm_slice text = dm_slice(wire->bytes + head.size, head.payload);
    if (speaks[sock - 1] == DM_DIALECT_HOPEFLOW && dm_slice_eq(text, DM_SLICE("pong"))) {
        client->answers++;
        return;
    }
    DM_CHECK(dm_json_valid(text) && dm_json_kind(dm_json_value(text)) == DM_JSON_OBJECT);
    DM_CHECK(dm_json_kind(dm_json_get(text, DM_SLICE("type"))) == DM_JSON_STRING);
    bool envelope = dm_json_get(text, DM_SLICE("envelopeId")).at != NULL;
    DM_CHECK(envelope || speaks[sock - 1] == DM_DIALECT_NATIVE);
    client->envelopes += envelope;
    client->answers += !envelope;
}

static void hang_up(void *self, uint32_t sock, int code, struct dm_slice reason)
{
    struct client *client = &((struct world *)self)->clients[sock - 1];
    DM_CHECK(client->number && dm_close_code_valid((unsigned)code) && reason.len <= 123);
    client->number = 0;
}

static uint64_t unsent(void *self, uint32_t sock)
{
    (void)self, (void)sock;
    return 0;
}

static void resume(void *self, uint32_t sock)
{
    ((struct world *)self)->clients[sock - 1].resumed = true;
}

/* --- the store --- */

static char *copy_of(const struct dm_store_op *op, struct dm_store_text text)
{
    struct dm_slice slice = dm_store_op_text(op, text);
    return dm_strndup(slice.at, slice.len);
}

/* `id` may be the row's own. */
static void forget_row(struct world *world, const struct dm_uuid *id)
{
    for (uint32_t i = 0; i < world->row_count; i++) {
        struct row *row = &world->rows[i];
        if (!dm_uuid_eq(&row->id, id))
            continue;
        free(row->dialect);
        free(row->filters);
        free(row->attachment);
        *row = world->rows[--world->row_count];
        return;
    }
}

static void put_row(struct world *world, const struct dm_store_op *op,
                    const struct dm_store_session *from)
{
    forget_row(world, &from->id);
    DM_CHECK(world->row_count < DM_COUNT(world->rows));
    world->rows[world->row_count++] =
        (struct row){from->id, copy_of(op, from->dialect), copy_of(op, from->filters),
                     copy_of(op, from->attachment)};
}

/* Of the session, of the envelope, or where both are given the one pair. */
static void forget_pending(struct world *world, const struct dm_uuid *session,
                           const struct dm_uuid *envelope)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < world->pending_count; i++) {
        struct dm_store_pending pair = world->pending[i];
        if ((session && !dm_uuid_eq(&pair.session_id, session)) ||
            (envelope && !dm_uuid_eq(&pair.envelope_id, envelope)))
            world->pending[kept++] = pair;
    }
    world->pending_count = kept;
}

static void put_pending(struct world *world, const struct dm_store_pending *pair)
{
    for (uint32_t i = 0; i < world->pending_count; i++)
        if (dm_uuid_eq(&world->pending[i].session_id, &pair->session_id) &&
            dm_uuid_eq(&world->pending[i].envelope_id, &pair->envelope_id))
            return;
    DM_CHECK(world->pending_count < DM_COUNT(world->pending));
    world->pending[world->pending_count++] = *pair;
}

static void load(const struct world *world, struct dm_store_op *op)
{
    for (uint32_t i = 0; i < world->row_count; i++) {
        const struct row *row = &world->rows[i];
        dm_store_op_add_session(op, &row->id, dm_slice_of(row->dialect), dm_slice_of(row->filters),
                                dm_slice_of(row->attachment));
    }
    for (uint32_t i = 0; i < world->pending_count; i++)
        dm_store_op_add_pending(op, &world->pending[i].envelope_id, &world->pending[i].session_id);
}

/* What ends or drops a session need not be kept: no client brings a secret. */
static void carry_out(struct world *world, struct dm_store_op *op)
{
    switch (op->kind) {
    case DM_STORE_LOAD_USER:
        load(world, op);
        return;
    case DM_STORE_SAVE_USER:
    case DM_STORE_OPEN_SESSION:
    case DM_STORE_REOPEN_SESSION:
        for (uint32_t i = 0; i < op->session_count; i++)
            put_row(world, op, &op->sessions[i]);
        for (uint32_t i = 0; i < op->pending_count; i++)
            put_pending(world, &op->pending[i]);
        return;
    case DM_STORE_FORGET_SESSION:
        forget_row(world, &op->session_id);
        forget_pending(world, &op->session_id, NULL);
        return;
    case DM_STORE_FORGET_PENDING:
        forget_pending(world, &op->session_id, &op->envelope_id);
        return;
    case DM_STORE_FORGET_ENVELOPE:
        forget_pending(world, NULL, &op->envelope_id);
        return;
    default:
        return;
    }
}

/* --- the world --- */

/* What the store has comes back, and what follows from it too. */
static void settle(struct world *world)
{
    struct dm_store_op *op;
    while ((op = world->ops) != NULL) {
        world->ops = op->next;
        if (!world->ops)
            world->ops_end = &world->ops;
        carry_out(world, op);
        op->err = op->publish || op->page ? DM_ERR_UNAVAILABLE : DM_OK; /* it records none */
        op->mail.run(&op->mail, world->shard);
    }
    (void)dm_shard_tick(world->shard);
    dm_shard_end_turn(world->shard);
}

static void pass(struct world *world, uint64_t ms)
{
    for (uint64_t end = world->now + ms; world->now < end; world->now += 250)
        settle(world);
}

static void admitted(struct dm_admission *admission, struct dm_shard *here)
{
    (void)here;
    DM_CHECK(admission->err == DM_OK && !admission->resumed);
    DM_CONTAINER(admission, struct client, admission)->admitted = true;
}

static void open_session(struct world *world, uint32_t at)
{
    struct client *client = &world->clients[at];
    *client = (struct client){.admission = {.dialect = speaks[at], .user_len = USER_LEN}};
    client->admission.done = admitted;
    client->admission.user_id[0] = user.at[0];
    fill(world, client->admission.next_resume, sizeof client->admission.next_resume);
    memset(client->admission.next_secret, 'x', sizeof client->admission.next_secret);
    dm_session_admit(world->shard, &client->admission);
    settle(world);
    DM_CHECK(client->admitted);
    client->number = dm_session_open(world->shard, &client->admission, at + 1);
    DM_CHECK(client->number);
    dm_admission_dispose(&client->admission);
    settle(world);
    DM_CHECK(client->answers == (speaks[at] == DM_DIALECT_NATIVE)); /* its welcome */
}

static void close_session(struct world *world, uint32_t at, bool goodbye)
{
    if (world->clients[at].number)
        dm_session_closed(world->shard, world->clients[at].number, goodbye);
    world->clients[at].number = 0;
    settle(world);
}

static struct world *make_world(void)
{
    struct world *world = DM_NEW(struct world);
    struct dm_shard_options options = {
        .shards = 1,
        .hibernate_after_ms = 1500,
        .resume_window_ms = 5000,
        .limits = {.max_connections_per_user = 100,
                   .max_filters_per_session = 60,
                   .max_attachment = 64,
                   .max_awake = 100},
    };
    struct dm_shard_ports ports = {
        .clock = {world, mono_ms, wall_ms},
        .rand = {world, fill},
        .store = {.self = world, .submit = submit},
        .sink = {world, send, hang_up, unsent, resume},
        .verify = {world, verify},
        .post = {.self = world, .send = post},
    };
    world->metrics = DM_NEW(struct dm_metrics);
    world->now = 1000;
    world->ops_end = &world->ops;
    world->shard = dm_shard_create(&options, &ports, world->metrics);
    for (uint32_t at = 0; at < CLIENTS; at++)
        open_session(world, at);
    return world;
}

static void end_world(struct world *world)
{
    pass(world, DM_TIMEOUT_MS_MAX + 1000);
    for (uint32_t i = 0; i < world->publish_count; i++) {
        DM_CHECK(world->publishes[i]->answered);
        dm_envelope_release(world->publishes[i]->publish.envelope);
        dm_buf_dispose(&world->publishes[i]->publish.results);
        free(world->publishes[i]);
    }
    dm_shard_verify(world->shard);
    for (uint32_t at = 0; at < CLIENTS; at++)
        close_session(world, at, true);
    dm_shard_verify(world->shard);
    DM_CHECK(dm_shard_busy(world->shard) == 0);
    dm_shard_destroy(&world->shard);
    while (world->row_count)
        forget_row(world, &world->rows[0].id);
    free(world->metrics);
    free(world);
}

/* --- events --- */

static void say(struct world *world, uint32_t at, bool binary, struct dm_slice message)
{
    struct client *client = &world->clients[at];
    uint32_t answers = client->answers;
    if (!client->number || !(binary || dm_utf8_valid(message)))
        return;
    while (client->number) {
        enum dm_session_answer answer =
            dm_session_message(world->shard, client->number, binary, message);
        if (answer == DM_SESSION_TAKEN)
            break;
        DM_CHECK(answer == DM_SESSION_HOLD);
        client->resumed = false;
        settle(world);
        DM_CHECK(client->resumed || !client->number);
    }
    settle(world);
    DM_CHECK(client->answers - answers <= 1);
}

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    struct publishing *publishing = DM_CONTAINER(publish, struct publishing, publish);
    struct dm_buf all = DM_BUF_INIT;
    (void)here;
    DM_CHECK(!publishing->answered && publish->err == DM_OK);
    DM_CHECK(publish->delivered <= CLIENTS && publish->result_count <= publish->client_count);
    dm_buf_printf(&all, "[%.*s]", (int)publish->results.len, dm_buf_text(&publish->results));
    DM_CHECK(dm_json_valid(dm_buf_slice(&all)));
    dm_buf_dispose(&all);
    publishing->answered = true;
}

/* The nth has n in its id, so that an input can acknowledge it. */
static void publish(struct world *world, struct dm_slice payload)
{
    struct publishing *publishing = DM_NEW(struct publishing);
    const struct dm_envelope_draft draft = {
        .id = {{[6] = 0x70, [8] = 0x80, [15] = (uint8_t)world->publish_count}},
        .ts = wall_ms(world),
        .type = DM_SLICE("message"),
        .payload = dm_json_valid(payload) ? payload : DM_NO_SLICE,
    };
    publishing->publish = (struct dm_publish){
        .envelope = dm_envelope_create(&draft),
        .targets = &user,
        .target_count = 1,
        .timeout_ms = 3000,
        .done = published,
    };
    world->publishes[world->publish_count++] = publishing;
    dm_publish(world->shard, &publishing->publish);
    settle(world);
}

static void happen(struct world *world, char what, struct dm_slice rest)
{
    switch (what) {
    case 'h':
    case 'H':
        say(world, 0, what == 'H', rest);
        return;
    case 'n':
    case 'N':
        say(world, 1, what == 'N', rest);
        return;
    case 'p':
        publish(world, rest);
        return;
    case 't':
        pass(world, 1000);
        return;
    case 'x':
    case 'y':
        close_session(world, what == 'y', rest.len & 1);
        open_session(world, what == 'y');
        return;
    default:
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *world = make_world();
    struct dm_slice rest = dm_slice((const char *)data, size);
    for (uint32_t n = 0; rest.at && n < EVENTS_MAX; n++) {
        struct dm_slice event = dm_slice_split(&rest, '\0');
        if (!event.len)
            continue;
        char *copy = dm_memdup(event.at + 1, event.len - 1);
        happen(world, *event.at, dm_slice(copy, event.len - 1));
        free(copy);
    }
    end_world(world);
    return 0;
}
