/*
 * The sockets: each has input on its way in, which is offered in order and
 * held when the hub says so, and an end, told after all input before it.
 * Frames that the hub sends go to the model.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "sim.h"

void sink_init(struct world *world)
{
    world->sink.count = 1;
    world->sink.socks = dm_calloc(1, sizeof *world->sink.socks);
}

static void input_free(struct input *input)
{
    free(input->text);
    free(input);
}

static void drop_input(struct fake_sock *sock)
{
    while (sock->first) {
        struct input *input = sock->first;
        sock->first = input->next;
        input_free(input);
    }
}

static void sock_free(struct fake_sock *sock)
{
    drop_input(sock);
    *sock = (struct fake_sock){0};
}

void sink_dispose(struct world *world)
{
    for (uint32_t i = 0; i < world->sink.count; i++)
        drop_input(&world->sink.socks[i]);
    free(world->sink.socks);
}

/* --- what the hub asks --- */

static struct fake_sock *sock_at(struct world *world, uint32_t number)
{
    if (number == 0 || number >= world->sink.count || !world->sink.socks[number].number)
        sim_fail(world, "the hub names socket %u, which is not open", number);
    struct fake_sock *sock = &world->sink.socks[number];
    if (sock->shard != world->mail.here)
        sim_fail(world, "the hub names a socket of shard %u on %u", sock->shard, world->mail.here);
    return sock;
}

static void send(void *self, uint32_t number, struct dm_wire *wire)
{
    struct world *world = self;
    struct fake_sock *sock = sock_at(world, number);
    struct dm_frame_head head;
    if (dm_frame_read_head(wire->bytes, wire->len, false, &head) != DM_FRAME_WHOLE ||
        head.opcode != DM_OP_TEXT || !head.fin || head.size + head.payload != wire->len)
        sim_fail(world, "a frame that is no whole text frame");
    struct dm_slice text = dm_slice(wire->bytes + head.size, (size_t)head.payload);
    if (dm_slice_eq(text, DM_SLICE("pong"))) {
        world->sink.pongs++;
        return;
    }
    world->sink.frames++;
    model_frame(world, sock->session, text);
}

static void close(void *self, uint32_t number, int code, struct dm_slice reason)
{
    struct world *world = self;
    struct fake_sock *sock = sock_at(world, number);
    if ((code != 1000 && code != 1012) || !dm_slice_eq(reason, DM_SLICE("enough")))
        sim_fail(world, "closed with %d", code);
    world->sink.disconnected += code == 1000;
    model_session_closed(world, sock->session);
    sock_free(sock);
}

static uint64_t unsent(void *self, uint32_t sock)
{
    (void)self, (void)sock;
    return 0;
}

static void resume(void *self, uint32_t number)
{
    struct world *world = self;
    struct fake_sock *sock = sock_at(world, number);
    if (!sock->held)
        sim_fail(world, "socket %u is resumed and holds nothing", number);
    sock->resumed = true;
}

struct dm_sink sink_port(struct world *world)
{
    return (struct dm_sink){world, send, close, unsent, resume};
}

/* --- sockets --- */

uint32_t sink_adopt(struct world *world, uint32_t shard, uint32_t session)
{
    struct fake_sink *sink = &world->sink;
    uint32_t number = 1;
    while (number < sink->count && sink->socks[number].session)
        number++;
    if (number == sink->count) {
        struct fake_sock *grown = dm_calloc(sink->count + 1, sizeof *grown);
        for (uint32_t i = 0; i < sink->count; i++) {
            grown[i] = sink->socks[i];
            if (!grown[i].first)
                grown[i].end = &grown[i].first;
        }
        free(sink->socks);
        sink->socks = grown;
        sink->count++;
    }
    sink->socks[number] = (struct fake_sock){.shard = shard, .session = session};
    sink->socks[number].end = &sink->socks[number].first;
    return number;
}

void sink_start(struct world *world, uint32_t sock, uint32_t number)
{
    if (!number)
        sim_fail(world, "a session without a number");
    world->sink.socks[sock].number = number;
}

struct fake_sock *sink_pick(struct world *world)
{
    struct fake_sink *sink = &world->sink;
    uint32_t start = rand_below(&world->rand, sink->count);
    for (uint32_t i = 0; i < sink->count; i++) {
        struct fake_sock *sock = &sink->socks[(start + i) % sink->count];
        if (sock->number)
            return sock;
    }
    return NULL;
}

/* --- input --- */

void sink_input(struct world *world, struct fake_sock *sock, struct input *input)
{
    (void)world;
    input->next = NULL;
    *sock->end = input;
    sock->end = &input->next;
}

static void end(struct world *world, struct fake_sock *sock)
{
    uint32_t number = sock->number, shard = sock->shard;
    model_session_closed(world, sock->session);
    sock_free(sock);
    dm_session_closed(world_on(world, shard), number, false);
    world_off(world);
}

static bool is_slowed(struct world *world, struct fake_sock *sock, enum dm_session_answer answer)
{
    if (answer != DM_SESSION_SLOW)
        return false;
    if (!world->plan.rate_messages)
        sim_fail(world, "a session is slowed without a rate");
    sock->slowed_to = world->now_ms + SECOND_MS;
    return true;
}

/* What must not wake anybody is held to it here. False: it is over the rate. */
static bool offer_idle(struct world *world, struct fake_sock *sock, const struct input *input)
{
    uint64_t wakes = world_metric(world, DM_METRIC_WAKES);
    uint64_t awake = world_metric(world, DM_METRIC_USERS_AWAKE);
    uint32_t pongs = world->sink.pongs, frames = world->sink.frames;
    enum dm_session_answer answer = dm_session_message(world_on(world, sock->shard), sock->number,
                                                       input->binary, dm_slice_of(input->text));
    world_off(world);
    if (is_slowed(world, sock, answer))
        return false;
    if (answer != DM_SESSION_TAKEN)
        sim_fail(world, "'%s' is held", input->text);
    if (world->sink.pongs != pongs + (input->kind == IN_PING) || world->sink.frames != frames)
        sim_fail(world, "'%s' is answered wrongly", input->text);
    if (wakes != world_metric(world, DM_METRIC_WAKES) ||
        awake != world_metric(world, DM_METRIC_USERS_AWAKE))
        sim_fail(world, "'%s' wakes somebody", input->text);
    world->model.pings_taken += input->kind == IN_PING;
    return true;
}

/* False: it is held. */
static bool offer(struct world *world, struct fake_sock *sock, const struct input *input)
{
    if (input->kind == IN_PING || input->kind == IN_JUNK)
        return offer_idle(world, sock, input);
    uint32_t session = sock->session;
    bool first =
        input->kind == IN_ACK && model_ack_begins(world, session, input->envelope, input->number);
    struct dm_slice text = dm_slice_of(input->text);
    enum dm_session_answer answer =
        dm_session_message(world_on(world, sock->shard), sock->number, false, text);
    world_off(world);
    if (answer == DM_SESSION_HOLD || is_slowed(world, sock, answer)) {
        if (first)
            model_ack_undo(world, session, input->envelope);
        return false;
    }
    if (input->kind == IN_ACK)
        world->model.acks_taken++;
    else
        model_command_taken(world, session, input->number);
    return true;
}

static struct input *take_input(struct fake_sock *sock)
{
    struct input *input = sock->first;
    sock->first = input->next;
    if (!sock->first)
        sock->end = &sock->first;
    return input;
}

static void hold(struct fake_sock *sock, struct input *input)
{
    input->next = sock->first;
    sock->first = input;
    if (!input->next)
        sock->end = &input->next;
    sock->held = true;
}

/* Offers what a socket has until it is held or has ended. The message at hand outlives a close
 * from inside. */
static void offer_all(struct world *world, uint32_t number)
{
    struct fake_sock *sock;
    while ((sock = &world->sink.socks[number])->first && !sock->held) {
        struct input *input = take_input(sock);
        sim_trace(world, "session %u says %s", sock->session, input->text);
        if (input->kind == IN_END) {
            end(world, sock);
        } else if (!offer(world, sock, input)) {
            sim_trace(world, "session %u is held", sock->session);
            hold(sock, input);
            continue;
        }
        input_free(input);
    }
}

bool sink_has_input(const struct world *world)
{
    for (uint32_t i = 1; i < world->sink.count; i++)
        if (world->sink.socks[i].first)
            return true;
    return false;
}

bool sink_pump(struct world *world)
{
    struct fake_sink *sink = &world->sink;
    uint32_t start = rand_below(&world->rand, sink->count);
    for (uint32_t i = 0; i < sink->count; i++) {
        uint32_t number = (start + i) % sink->count;
        if (sink->socks[number].first && !sink->socks[number].held) {
            offer_all(world, number);
            return true;
        }
    }
    return false;
}

void sink_flush(struct world *world, uint32_t shard)
{
    for (uint32_t i = 1; i < world->sink.count; i++) {
        struct fake_sock *sock = &world->sink.socks[i];
        if (!sock->resumed || sock->shard != shard)
            continue;
        sock->held = sock->resumed = false;
        offer_all(world, i);
    }
}

void sink_cut(struct world *world, struct fake_sock *sock)
{
    end(world, sock);
}
