/*
 * Picks what happens next. The weights of a run are drawn once, so that some
 * runs have hardly any acks, a store that barely moves, or little but time.
 */
#include "sim.h"

enum happening {
    ADMIT,
    USE_GRANT,
    COMMAND,
    ACK,
    CHAT,
    END,
    SLOW,
    PUBLISH_ONE,
    PUBLISH_MANY,
    ASK,
    MAIL,
    PUMP,
    STORE,
    TURN,
    TIME,
    SETTLE,
    LULL,
    HAPPENINGS,
};

static void draw_weights(struct world *world, uint32_t weights[HAPPENINGS])
{
    static const uint32_t usual[HAPPENINGS] = {
        [ADMIT] = 10, [USE_GRANT] = 20,   [COMMAND] = 14,     [ACK] = 40,  [CHAT] = 4,
        [END] = 6,    [SLOW] = 2,         [PUBLISH_ONE] = 20, [ASK] = 4,   [MAIL] = 60,
        [PUMP] = 20,  [PUBLISH_MANY] = 8, [STORE] = 30,       [TURN] = 20, [TIME] = 30,
        [SETTLE] = 3, [LULL] = 3,
    };
    for (uint32_t i = 0; i < HAPPENINGS; i++) {
        uint32_t dice = rand_below(&world->rand, 6);
        weights[i] = dice == 0 ? usual[i] / 4 : dice == 1 ? usual[i] * 3 : usual[i];
    }
    weights[MAIL] += 10;
    weights[STORE] += 4;
}

static uint32_t pick(struct world *world, const uint32_t weights[HAPPENINGS])
{
    uint32_t sum = 0, i = 0;
    for (uint32_t k = 0; k < HAPPENINGS; k++)
        sum += weights[k];
    uint32_t dice = rand_below(&world->rand, sum);
    while (dice >= weights[i])
        dice -= weights[i++];
    return i;
}

/* A turn's clock is read once, so time passes only between turns. */
static void pass_time(struct world *world)
{
    for (uint32_t i = 0; i < world->shards; i++)
        if (world->dirty[i])
            world_end_turn(world, i);
    uint32_t dice = rand_below(&world->rand, 10);
    uint32_t most = dice < 7 ? 10 : dice < 9 ? 100 : 2000;
    world->now_ms += 1 + rand_below(&world->rand, most);
    sim_trace(world, "it is %llu", (unsigned long long)world->now_ms);
}

/* Time enough for all to fall asleep, and to try the store again before that; and before either
 * for what was said too fast to be heard. */
static void lull(struct world *world)
{
    sim_trace(world, "lull");
    while (world->plan.rate_messages && sink_has_input(world))
        world_lull(world, SECOND_MS);
    world_lull(world, 2 * world->plan.hibernate_after_ms + 4 * RETRY_MS);
    model_check_asleep(world);
}

static void happen(struct world *world, enum happening what)
{
    uint32_t anywhere = rand_below(&world->rand, world->shards);
    switch (what) {
    case ADMIT:
        script_admit(world);
        return;
    case USE_GRANT:
        script_use_grant(world);
        return;
    case COMMAND:
        script_command(world);
        return;
    case ACK:
        script_ack(world);
        return;
    case CHAT:
        script_chat(world);
        return;
    case END:
        script_end(world);
        return;
    case SLOW:
        script_slow(world);
        return;
    case PUBLISH_ONE:
    case PUBLISH_MANY:
        script_publish(world, anywhere, USERS_MAX, what == PUBLISH_MANY);
        return;
    case ASK:
        script_ask(world);
        return;
    case MAIL:
        mail_deliver_one(world);
        return;
    case PUMP:
        sink_pump(world);
        return;
    case STORE:
        store_step(world);
        return;
    case TURN:
        world_end_turn(world, anywhere);
        return;
    case TIME:
        pass_time(world);
        return;
    case SETTLE:
        sim_trace(world, "settle");
        world_settle(world);
        return;
    case LULL:
        lull(world);
        return;
    default:
        sim_fail(world, "nothing happens");
    }
}

void driver_run(struct world *world)
{
    uint32_t weights[HAPPENINGS];
    draw_weights(world, weights);
    for (uint32_t i = 0; i < world->progress->steps; i++) {
        world->progress->step = i;
        happen(world, pick(world, weights));
        world_verify(world);
    }
    world_settle(world);
}
