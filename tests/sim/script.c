/* What clients and backends do: each does one thing, drawn at random, and tells the model. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "sim.h"

/* --- sessions --- */

static struct dm_admission admission_of(const struct world *world, uint32_t user)
{
    struct dm_slice id = world_user(world, user);
    struct dm_admission admission = {.dialect = DM_DIALECT_HOPEFLOW, .user_len = (uint8_t)id.len};
    memcpy(admission.user_id, id.at, id.len);
    return admission;
}

void script_admit(struct world *world)
{
    struct m_admission *admission = DM_NEW(struct m_admission);
    admission->user = rand_below(&world->rand, world->plan.users);
    admission->admission = admission_of(world, admission->user);
    admission->admission.done = model_admission_done;
    model_admission_begins(world, admission);
    uint32_t shard = rand_below(&world->rand, world->shards);
    sim_trace(world, "shard %u asks for a place for user %u", shard, admission->user);
    dm_session_admit(world_on(world, shard), &admission->admission);
    world_off(world);
}

void script_withdraw(struct world *world, uint32_t user, uint32_t from)
{
    struct m_user *at = &world->model.users[user];
    sim_trace(world, "a place of user %u is given back", user);
    at->granted--;
    at->withdrawing += world_owner(world, user) != from;
    model_user_changed(world, user);
    struct dm_admission admission = admission_of(world, user);
    dm_session_withdraw(world_on(world, from), &admission);
    world_off(world);
}

static void open_session(struct world *world, uint32_t user)
{
    uint32_t shard = world_owner(world, user);
    uint32_t session = model_session_opened(world, user);
    uint32_t sock = sink_adopt(world, shard, session);
    sim_trace(world, "session %u of user %u opens", session, user);
    world->model.sessions[session].sock = sock;
    struct dm_admission admission = admission_of(world, user);
    uint32_t number = dm_session_open(world_on(world, shard), &admission, sock);
    world_off(world);
    sink_start(world, sock, number);
}

bool script_use_grant(struct world *world)
{
    uint32_t user = rand_below(&world->rand, world->plan.users), tried = 0;
    while (!world->model.users[user].granted && tried++ < world->plan.users)
        user = (user + 1) % world->plan.users;
    if (!world->model.users[user].granted)
        return false;
    if (world->quiet || rand_chance(&world->rand, 10))
        script_withdraw(world, user, rand_below(&world->rand, world->shards));
    else
        open_session(world, user);
    return true;
}

/* --- what a client sends --- */

static struct input *input_new(enum input_kind kind, const char *text)
{
    struct input *input = DM_NEW(struct input);
    input->kind = kind;
    input->text = dm_strndup(text, strlen(text));
    return input;
}

/* Mostly it is read at once; else when the driver comes to it. */
static void say(struct world *world, struct fake_sock *sock, struct input *input)
{
    sink_input(world, sock, input);
    if (rand_chance(&world->rand, 60))
        sink_pump(world);
}

static void add_filter(struct dm_buf *text, uint32_t filter, bool odd)
{
    static const char *const rooms[ROOMS] = {"", ",\"room\":\"a\"", ",\"room\":\"b\"",
                                             ",\"room\":\"1\""};
    static const char *const types[TYPES] = {"message", "alert", "übung \\\"x\\\""};
    dm_buf_printf(text, "{\"type\":\"%s%s%s\"%s}", odd ? " \\n" : "", types[filter / ROOMS],
                  odd ? "\\t" : "", rooms[filter % ROOMS]);
}

/* An element that is no filter. */
static void add_junk(struct world *world, struct dm_buf *text)
{
    static const char *const junk[] = {"7",
                                       "null",
                                       "{}",
                                       "{\"room\":\"a\"}",
                                       "{\"type\":1}",
                                       "{\"type\":\"\"}",
                                       "{\"type\":\"message\",\"room\":1}"};
    dm_buf_printf(text, "%s", junk[rand_below(&world->rand, DM_COUNT(junk))]);
}

/* Writes the frame's filters; returns what the session has once it is carried out. */
static uint32_t write_filters(struct world *world, struct dm_buf *text, uint32_t filters, bool add)
{
    uint32_t junk = rand_chance(&world->rand, 3) ? DM_FILTERS_A_FRAME - 1 : 0;
    uint32_t count = junk + 1 + rand_below(&world->rand, 4);
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            dm_buf_add_byte(text, ',');
        if (i < junk || rand_chance(&world->rand, 10)) {
            add_junk(world, text);
            continue;
        }
        uint32_t filter = rand_below(&world->rand, FILTERS);
        if (rand_chance(&world->rand, 50))
            filter -= filter % ROOMS; /* of a type alone */
        add_filter(text, filter, rand_chance(&world->rand, 10));
        if (i < DM_FILTERS_A_FRAME)
            filters = add ? model_filter_add(world, filters, filter) : filters & ~(1u << filter);
    }
    return filters;
}

bool script_command(struct world *world)
{
    struct fake_sock *sock = sink_pick(world);
    if (!sock)
        return false;
    bool add = rand_chance(&world->rand, 70);
    struct dm_buf text = DM_BUF_INIT;
    dm_buf_printf(&text, "{\"type\":\"%s\",\"filters\":[", add ? "subscribe" : "unsubscribe");
    uint32_t after = write_filters(world, &text, model_filters_asked(world, sock->session), add);
    dm_buf_lit(&text, "]}");
    struct input *input = input_new(IN_COMMAND, dm_buf_text(&text));
    dm_buf_dispose(&text);
    input->number = model_command_sent(world, sock->session, after);
    say(world, sock, input);
    return true;
}

/* Mostly of something recent, mostly something that it was sent, now and then again. */
static const struct m_publish *pick_publish(struct world *world, uint32_t session)
{
    const struct model *model = &world->model;
    const struct m_publish *publish = NULL;
    for (int tries = 0; tries < 10; tries++) {
        uint32_t back = rand_below(&world->rand, tries < 8 ? 8 : model->publish_count);
        publish = model->publishes[model->publish_count - 1 - back % model->publish_count];
        const struct receipt *receipt = model_receipt(publish, session);
        if ((receipt && !receipt->acked) || rand_chance(&world->rand, receipt ? 20 : 2))
            return publish;
    }
    return publish;
}

bool script_ack(struct world *world)
{
    struct fake_sock *sock = sink_pick(world);
    if (!sock || !world->model.publish_count)
        return false;
    const struct m_publish *publish = pick_publish(world, sock->session);
    uint32_t result = rand_chance(&world->rand, 15) ? 0 : (uint32_t)++world->seq;
    char text[160], value[32] = "";
    if (result)
        snprintf(value, sizeof value, ",\"result\": %u ", result);
    else if (rand_chance(&world->rand, 50))
        snprintf(value, sizeof value, ",\"result\":null");
    snprintf(text, sizeof text, "{\"type\":\"ack\",\"envelopeId\":\"%s\"%s}", publish->id, value);
    struct input *input = input_new(IN_ACK, text);
    input->number = result;
    input->envelope = publish->number;
    say(world, sock, input);
    return true;
}

/* Nothing of this may wake anybody. */
bool script_chat(struct world *world)
{
    static const char *const junk[] = {"",
                                       "pong",
                                       "{",
                                       "[]",
                                       "{\"type\":\"subscribe\"}",
                                       "{\"type\":\"ack\",\"envelopeId\":\"no\"}",
                                       "{\"type\":\"ack\",\"envelopeId\":7}",
                                       "{\"type\":\"subscribe\",\"filters\":{}}"};
    struct fake_sock *sock = sink_pick(world);
    if (!sock)
        return false;
    struct input *input;
    if (rand_chance(&world->rand, 60)) {
        input = input_new(IN_PING, rand_chance(&world->rand, 50) ? "ping" : " PiNg\n");
    } else {
        input = input_new(IN_JUNK, junk[rand_below(&world->rand, DM_COUNT(junk))]);
    }
    if (input->kind == IN_JUNK && rand_chance(&world->rand, 30)) {
        free(input->text);
        input->text = dm_strndup("ping", 4);
        input->binary = true;
    }
    say(world, sock, input);
    return true;
}

bool script_end(struct world *world)
{
    struct fake_sock *sock = sink_pick(world);
    if (sock)
        say(world, sock, input_new(IN_END, "(end)"));
    return sock != NULL;
}

bool script_slow(struct world *world)
{
    struct fake_sock *sock = sink_pick(world);
    if (!sock)
        return false;
    sim_trace(world, "session %u is cut off", sock->session);
    sink_cut(world, sock);
    return true;
}

/* --- what a backend asks --- */

static void pick_targets(struct world *world, struct m_publish *publish, uint32_t user, bool many)
{
    uint32_t users = world->plan.users;
    uint32_t start = user < users ? user : rand_below(&world->rand, users);
    uint32_t most = many ? 1 + rand_below(&world->rand, users) : 1;
    for (uint32_t i = 0; i < most; i++)
        publish->targets[publish->target_count++] = (start + i) % users;
    if (many && rand_chance(&world->rand, 20))
        publish->targets[publish->target_count++] = USERS_MAX;
    if (!many && rand_chance(&world->rand, 3))
        publish->targets[0] = USERS_MAX;
    for (uint32_t i = 0; i < publish->target_count; i++)
        publish->names[i] = publish->targets[i] == USERS_MAX
                                ? DM_SLICE("nobody")
                                : world_user(world, publish->targets[i]);
}

void script_publish(struct world *world, uint32_t from, uint32_t user, bool many)
{
    struct m_publish *publish = model_publish_begins(world);
    struct dm_publish *call = DM_NEW(struct dm_publish);
    struct dm_shard *shard = world_on(world, from);
    uint32_t longest = world->plan.longest_timeout_ms;
    pick_targets(world, publish, user, many);
    publish->call = call;
    publish->type = rand_chance(&world->rand, 50) ? 0 : rand_below(&world->rand, TYPES);
    publish->payload = rand_below(&world->rand, PAYLOADS);
    publish->timeout_ms = rand_chance(&world->rand, 30) ? 0 : 1 + rand_below(&world->rand, longest);
    struct dm_uuid id = dm_shard_mint(shard);
    dm_uuid_format(&id, publish->id);
    publish->ts = 1750000000000u + world->now_ms;
    const struct dm_envelope_draft draft = {
        .id = id,
        .ts = publish->ts,
        .type = dm_slice_of(model_type(publish->type)),
        .payload = dm_slice_of(model_payload(publish->payload)),
    };
    call->envelope = dm_envelope_create(&draft);
    call->targets = publish->names;
    call->target_count = publish->target_count;
    call->timeout_ms = publish->timeout_ms;
    call->target_errs = rand_chance(&world->rand, 50) ? publish->errs : NULL;
    call->done = model_publish_done;
    sim_trace(world, "shard %u publishes %u: %s %s to %u+%u, %u ms", from, publish->number,
              model_type(publish->type),
              model_payload(publish->payload) ? model_payload(publish->payload) : "-",
              publish->targets[0], publish->target_count, publish->timeout_ms);
    dm_publish(shard, call);
    world_off(world);
}

void script_ask(struct world *world)
{
    struct m_call *call = DM_NEW(struct m_call);
    uint32_t from = rand_below(&world->rand, world->shards);
    call->user = rand_below(&world->rand, world->plan.users);
    call->call.question = rand_chance(&world->rand, 60) ? DM_USER_PRESENCE : DM_USER_DISCONNECT;
    call->call.user_id = world_user(world, call->user);
    call->call.reason = DM_SLICE("enough");
    call->call.done = model_call_done;
    sim_trace(world, "shard %u asks %d of user %u", from, (int)call->call.question, call->user);
    model_call_begins(world, call);
    dm_user_ask(world_on(world, from), &call->call);
    world_off(world);
}
