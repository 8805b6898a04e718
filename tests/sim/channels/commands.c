/* What clients say: filters, acks, and a native one's commands, each of which is answered once. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "codec/json.h"
#include "world.h"

/* --- filters and acks --- */

void client_subscribe(struct client *client)
{
    uint32_t which = rand_below(&client->world->bed.rand, 2);
    char message[96];
    if (!client->bed.sock || client->bed.dialect != DM_DIALECT_HOPEFLOW)
        return;
    snprintf(message, sizeof message, "{\"type\":\"subscribe\",\"filters\":[{\"type\":\"%c\"}]}",
             (int)('a' + which));
    if (!bed_say(&client->bed, message))
        return;
    bed_trace(client->bed.bed, "client %u asks for %c", client->bed.number, (int)('a' + which));
    client->wants[which] = true;
}

/* One of the last, as a rule. */
void client_ack(struct client *client)
{
    struct world *world = client->world;
    uint32_t back = rand_below(&world->bed.rand, rand_chance(&world->bed.rand, 80) ? 12 : SENDS);
    uint32_t which = world->send_count - 1 - back, number = world->ack_count + 1;
    char message[BED_MESSAGE_MAX], id[DM_UUID_TEXT_LEN];
    if (!client->bed.sock || back >= world->send_count || number == ACKS || listens(client) ||
        client->bed.dialect == DM_DIALECT_NOTIFIER || !client->got[which] ||
        world->sends[which].whisper)
        return;
    dm_uuid_format(&world->sends[which].id, id);
    snprintf(message, sizeof message, "{\"type\":\"ack\",\"envelopeId\":\"%.36s\",\"result\":%u}",
             id, number);
    world->acks[number].send = which;
    world->ack_count = number;
    world->sends[which].maybe_acked |= 1u << client->user;
    bed_trace(&world->bed, "client %u acks %u as %u", client->bed.number, which, number);
    (void)bed_say(&client->bed, message);
}

/* --- commands --- */

static struct command_out *command_begin(struct client *client, enum command what, uint32_t channel)
{
    struct world *world = client->world;
    struct command_out *command = &world->commands[world->command_count++];
    *command = (struct command_out){
        .what = what,
        .client = client->bed.number,
        .sock = client->bed.sock,
        .channel = channel,
    };
    if (what == COMMAND_JOIN || what == COMMAND_LEAVE)
        member_begin(world, channel, client->user, what == COMMAND_JOIN);
    if (what == COMMAND_PRESENCE)
        command->watch = watch_begin(world, channel);
    return command;
}

static bool can_say(const struct client *client)
{
    const struct world *world = client->world;
    return client->bed.sock && !world->bed.socks[client->bed.sock].held[0] &&
           world->command_count < COMMANDS;
}

void client_command(struct client *client)
{
    static const char *const names[] = {"", "join", "leave", "whisper", "presence"};
    struct world *world = client->world;
    uint32_t dice = rand_below(&world->bed.rand, 100);
    uint32_t channel = rand_below(&world->bed.rand, CHANNELS);
    enum command what = dice < 50 ? COMMAND_JOIN : dice < 75 ? COMMAND_LEAVE : COMMAND_PRESENCE;
    char message[BED_MESSAGE_MAX];
    if (!is_native(client) || !can_say(client))
        return;
    snprintf(message, sizeof message, "{\"type\":\"%s\",\"channel\":\"%s\",\"ref\":%u}",
             names[what], channel_names[channel], world->command_count);
    bed_trace(&world->bed, "client %u says %s", client->bed.number, message);
    (void)command_begin(client, what, channel);
    (void)bed_say(&client->bed, message);
}

void client_whisper(struct client *client)
{
    struct world *world = client->world;
    char message[BED_MESSAGE_MAX];
    uint32_t channel = listens(client) ? client->channel : rand_below(&world->bed.rand, CHANNELS);
    if ((!is_native(client) && !listens(client)) || !can_say(client))
        return;
    struct send *send = send_begin(world, channel);
    if (!send)
        return;
    uint32_t which = (uint32_t)(send - world->sends);
    send->whisper = true;
    send->from = client->bed.number;
    send->from_sock = client->bed.sock;
    send->through &= ~(1u << client->bed.number);
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (!is_native(&world->clients[i]) && !listens(&world->clients[i]))
            send->through &= ~(1u << i);
    bed_trace(&world->bed, "client %u whispers %u in %s", client->bed.number, which,
              channel_names[channel]);
    if (listens(client)) {
        send->certain = true;
        snprintf(message, sizeof message, "{\"event\":\"whisper\",\"data\":{\"n\":%u}}", which);
    } else {
        snprintf(message, sizeof message,
                 "{\"type\":\"whisper\",\"channel\":\"%s\",\"data\":{\"n\":%u},\"ref\":%u}",
                 channel_names[channel], which, world->command_count);
        command_begin(client, COMMAND_WHISPER, channel)->send = which;
    }
    (void)bed_say(&client->bed, message);
    send->certain &= !world->bed.socks[send->from_sock].held[0];
}

/* --- their answers --- */

static int err_of(struct world *world, struct dm_slice object)
{
    if (dm_json_string_is(dm_json_get(object, DM_SLICE("type")), DM_SLICE("ok")))
        return DM_OK;
    struct dm_slice code = dm_json_get(object, DM_SLICE("code"));
    for (int err = DM_OK + 1; err < DM_ERR_COUNT; err++)
        if (code.at && dm_json_string_is(code, dm_slice_of(dm_err_code(err))))
            return err;
    bed_fail(&world->bed, "an answer that is none: %.*s", (int)object.len, object.at);
}

/* Who was allowed may be told of it by the hook alone. */
static void answered(struct client *client, struct command_out *command, int err)
{
    struct world *world = client->world;
    bool granted = world->grants[command->channel] & (1u << client->user);
    const struct membership *at = &world->members[command->channel][client->user];
    bool asks_hook = command->what == COMMAND_JOIN || command->what == COMMAND_PRESENCE;
    if (err == DM_ERR_HOOK_UNAVAILABLE && asks_hook)
        return;
    if (command->what == COMMAND_JOIN && (err == DM_ERR_FORBIDDEN) != !granted)
        bed_fail(&world->bed, "client %u joins: %d, and granted is %d", client->bed.number, err,
                 granted);
    if (command->what == COMMAND_WHISPER && err == DM_ERR_FORBIDDEN && at->is && !at->moved)
        bed_fail(&world->bed, "client %u is a member and may not whisper", client->bed.number);
    if (command->what == COMMAND_WHISPER && !err && !at->is && !at->moved)
        bed_fail(&world->bed, "client %u is no member and may whisper", client->bed.number);
    if (command->what == COMMAND_PRESENCE && err == DM_ERR_FORBIDDEN &&
        (granted || (at->is && !at->moved)))
        bed_fail(&world->bed, "client %u may not ask who is there", client->bed.number);
    if (command->what == COMMAND_PRESENCE && !err && !granted && !at->is && !at->moved)
        bed_fail(&world->bed, "client %u may ask who is there", client->bed.number);
    if (err != DM_ERR_FORBIDDEN && err != DM_ERR_TOO_MANY_CHANNELS)
        expect_failures(world, err, "a command");
}

static void whispered(struct world *world, struct send *send, int err)
{
    if (err == DM_ERR_FORBIDDEN && send->live)
        bed_fail(&world->bed, "a whisper that was forbidden was sent");
    send->refused = err != DM_OK;
    send->answered_at = world->bed.step;
    send->answered_in = world->bed.life;
}

void commands_hear(struct client *client, struct dm_slice object)
{
    struct world *world = client->world;
    struct dm_slice ref = dm_json_get(object, DM_SLICE("ref"));
    uint32_t number = ref.at ? (uint32_t)dm_json_number(ref) : COMMANDS;
    struct command_out *command = &world->commands[number];
    int err = err_of(world, object);
    if (!ref.at && err) { /* of an ack */
        expect_failures(world, err, "an ack");
        return;
    }
    if (number >= world->command_count || command->what == COMMAND_NONE ||
        command->sock != client->bed.sock)
        bed_fail(&world->bed, "client %u: nobody waits for %.*s", client->bed.number,
                 (int)object.len, object.at);
    bed_trace(&world->bed, "client %u is answered %u: %d", client->bed.number, number, err);
    answered(client, command, err);
    if (command->what == COMMAND_WHISPER)
        whispered(world, &world->sends[command->send], err);
    if (command->what == COMMAND_JOIN || command->what == COMMAND_LEAVE) {
        member_answered(world, command->channel, client->user, command->what == COMMAND_JOIN,
                        err == DM_ERR_HOOK_UNAVAILABLE ? DM_ERR_FORBIDDEN : err);
        member_done(world, command->channel, client->user);
    }
    if (command->what == COMMAND_PRESENCE)
        watch_end(command->watch, err ? DM_NO_SLICE : dm_json_get(object, DM_SLICE("members")));
    command->what = COMMAND_NONE;
}

/* Whoever has left is answered no more. */
void commands_end(struct world *world, bool all)
{
    for (uint32_t i = 0; i < world->command_count; i++) {
        struct command_out *command = &world->commands[i];
        const struct client *client = &world->clients[command->client];
        if (command->what == COMMAND_NONE)
            continue;
        if (!all && client->bed.sock == command->sock)
            bed_fail(&world->bed, "client %u's command %u is never answered", command->client, i);
        if (command->what == COMMAND_JOIN || command->what == COMMAND_LEAVE)
            member_done(world, command->channel, client->user);
        if (command->what == COMMAND_PRESENCE)
            watch_end(command->watch, DM_NO_SLICE);
        command->what = COMMAND_NONE;
    }
}

/* --- the hook --- */

static void decide(struct world *world, struct dm_authorization *ask)
{
    uint32_t user = user_named(world, ask->user_id), channel = channel_named(world, ask->channel);
    ask->err = world->grants[channel] & (1u << user) ? DM_OK : DM_ERR_FORBIDDEN;
    if (rand_chance(&world->bed.rand, 5) && channel > 0)
        ask->err = DM_ERR_HOOK_UNAVAILABLE;
}

bool commands_authorize(struct bed *bed, struct dm_authorization *ask)
{
    struct world *world = world_of(bed);
    bool now = rand_chance(&bed->rand, 50) || world->undecided_count == DM_COUNT(world->undecided);
    if (now)
        decide(world, ask);
    else
        world->undecided[world->undecided_count++] = ask;
    return now;
}

bool commands_decide(struct bed *bed)
{
    struct world *world = world_of(bed);
    if (!world->undecided_count)
        return false;
    uint32_t which = rand_below(&bed->rand, world->undecided_count);
    struct dm_authorization *ask = world->undecided[which];
    world->undecided[which] = world->undecided[--world->undecided_count];
    decide(world, ask);
    bed_post(bed).send(bed, ask->shard, &ask->mail);
    return true;
}
