/*
 * Clients of all dialects on one shard of the hub, of several users, with
 * fakes behind it: whatever they say among publishes, joins, disconnects and in
 * time, they are sent whole frames that their dialects know, each command and
 * call is answered once, nobody is held for ever, channels go to whom the store
 * says, and the shard holds to its own invariants.
 *
 * The input is a list of events with NUL between them: a letter, and what it
 * is about, mostly a client, user or channel by its digit.
 *   0-8M      client says M                  bCM   the same, binary
 *   hM nM     client 0, 1 says M             HM NM the same, binary
 *   cC cCg    client ends, g: with a goodbye, and opens another session
 *   x y       the same of client 0, 1        zC ZC client drops and resumes; resumes first
 *   pP        publish P to all users         sCP   publish P to a channel; without P: check it
 *   jUC qUC eUC  user joins, leaves, is expelled      fC   end of a channel
 *   kU KU     user is disconnected, forgotten         lCL mCL  who is there, who is a member
 *   d dn du   the oldest question is answered with yes, no, nobody knows
 *   W w       the store is slow, is not      i r   a step of its writes, reads
 *   FN        the next operation on a channel fails
 *   o         sockets of admitted clients arrive, where the store is slow
 *   t         a second passes
 */
#include "hub/channel.h"
#include "hub/user.h"
#include "session_world.h"

/* --- publishes --- */

static void published(struct dm_publish *publish, struct dm_shard *here)
{
    struct publishing *publishing = DM_CONTAINER(publish, struct publishing, publish);
    struct dm_buf all = DM_BUF_INIT;
    (void)here;
    DM_CHECK(!publishing->answered);
    DM_CHECK(publish->err == DM_OK || (publish->err == DM_ERR_UNAVAILABLE && publish->channel.at));
    DM_CHECK(publish->delivered <= CLIENTS && publish->result_count <= publish->client_count);
    dm_buf_printf(&all, "[%.*s]", (int)publish->results.len, dm_buf_text(&publish->results));
    DM_CHECK(dm_json_valid(dm_buf_slice(&all)));
    dm_buf_dispose(&all);
    publishing->answered = true;
}

/* The nth has n in its id, so that an input can acknowledge it. */
static struct dm_publish *publish(struct world *world, struct dm_slice channel,
                                  struct dm_slice payload)
{
    struct publishing *publishing = DM_NEW(struct publishing);
    const struct dm_envelope_draft draft = {
        .id = {{[6] = 0x70, [8] = 0x80, [15] = (uint8_t)world->publish_count}},
        .ts = wall_ms(world),
        .type = DM_SLICE("message"),
        .channel = channel,
        .payload = dm_json_valid(payload) ? payload : DM_NO_SLICE,
    };
    publishing->publish = (struct dm_publish){
        .envelope = dm_envelope_create(&draft),
        .targets = users,
        .target_count = channel.at ? 0 : DM_COUNT(users),
        .timeout_ms = payload.len ? 3000 : 0,
        .done = published,
    };
    publishing->publish.channel = publishing->publish.envelope->channel;
    world->publishes[world->publish_count++] = publishing;
    dm_publish(world->shard, &publishing->publish);
    return &publishing->publish;
}

/* Where nothing is on its way a channel's members are those that the store has. */
static void check_members(struct world *world, struct dm_slice channel)
{
    const struct dm_publish *sent;
    if (world->slow || world->store.failing)
        return;
    sent = publish(world, channel, DM_NO_SLICE);
    settle(world);
    DM_CHECK(sent->err == DM_OK && sent->members == members_of(&world->store.rows, channel));
}

/* --- calls --- */

struct asked {
    struct world *world;
    union {
        struct dm_membership_call membership;
        struct dm_members_call members;
        struct dm_presence_call presence;
        struct dm_channel_end end;
        struct dm_user_call user;
    };
};

static struct asked *ask(struct world *world)
{
    struct asked *asked = DM_NEW(struct asked);
    asked->world = world;
    world->open_calls++;
    return asked;
}

static void answered(struct asked *asked, int err)
{
    DM_CHECK(err == DM_OK || err == DM_ERR_UNAVAILABLE || err == DM_ERR_COMMIT_UNKNOWN ||
             err == DM_ERR_TOO_MANY_CHANNELS);
    asked->world->open_calls--;
    free(asked);
}

static void changed(struct dm_membership_call *call, struct dm_shard *here)
{
    (void)here;
    answered(DM_CONTAINER(call, struct asked, membership), call->err);
}

static void check_page(struct dm_buf *rows, struct dm_buf *last)
{
    struct dm_buf all = DM_BUF_INIT;
    dm_buf_printf(&all, "[%.*s]", (int)rows->len, dm_buf_text(rows));
    DM_CHECK(dm_json_valid(dm_buf_slice(&all)) && (!last->len || rows->len));
    dm_buf_dispose(&all);
    dm_buf_dispose(rows);
    dm_buf_dispose(last);
}

static void listed(struct dm_members_call *call, struct dm_shard *here)
{
    (void)here;
    check_page(&call->names, &call->last);
    answered(DM_CONTAINER(call, struct asked, members), call->err);
}

static void told(struct dm_presence_call *call, struct dm_shard *here)
{
    (void)here;
    check_page(&call->members, &call->last);
    answered(DM_CONTAINER(call, struct asked, presence), call->err);
}

static void ended(struct dm_channel_end *end, struct dm_shard *here)
{
    (void)here;
    answered(DM_CONTAINER(end, struct asked, end), end->err);
}

static void user_asked(struct dm_user_call *call, struct dm_shard *here)
{
    (void)here;
    answered(DM_CONTAINER(call, struct asked, user), call->err);
}

static void change(struct world *world, enum dm_membership_change how, struct dm_slice user,
                   struct dm_slice channel)
{
    struct asked *asked = ask(world);
    asked->membership = (struct dm_membership_call){
        .change = how, .channel = channel, .user_id = user, .done = changed};
    dm_membership_ask(world->shard, &asked->membership);
}

static void list(struct world *world, bool members, struct dm_slice channel, uint32_t limit)
{
    struct asked *asked = ask(world);
    struct dm_slice after = limit > 3 ? users[limit % DM_COUNT(users)] : DM_NO_SLICE;
    if (members) {
        asked->members = (struct dm_members_call){
            .channel = channel, .after = after, .limit = limit, .done = listed};
        dm_members_ask(world->shard, &asked->members);
    } else {
        asked->presence = (struct dm_presence_call){
            .channel = channel, .after = after, .limit = limit, .done = told};
        dm_presence_ask(world->shard, &asked->presence);
    }
}

static void end_channel(struct world *world, struct dm_slice channel)
{
    struct asked *asked = ask(world);
    asked->end = (struct dm_channel_end){.channel = channel, .done = ended};
    dm_channel_end(world->shard, &asked->end);
}

static void ask_user(struct world *world, enum dm_user_question question, struct dm_slice user)
{
    struct asked *asked = ask(world);
    asked->user = (struct dm_user_call){
        .question = question, .user_id = user, .reason = DM_SLICE("why"), .done = user_asked};
    dm_user_ask(world->shard, &asked->user);
}

/* --- its end --- */

/* All is quiet: nobody is held, all is answered. */
static void check_quiet(struct world *world)
{
    pass(world, DM_TIMEOUT_MS_MAX + 1000, 5000);
    for (uint32_t at = 0; at < CLIENTS; at++) {
        const struct client *client = &world->clients[at];
        DM_CHECK(!client->inbox && !client->admitting);
        DM_CHECK(!client->number || client->told == client->wanted);
    }
    DM_CHECK(world->open_calls == 0);
}

static void end_world(struct world *world)
{
    world->slow = false;
    world->store.failing = DM_OK;
    for (settle(world); world->question_count; settle(world))
        decide(world, DM_OK);
    for (uint32_t i = 0; i < DM_COUNT(channels); i++)
        check_members(world, channels[i]);
    check_quiet(world);
    for (uint32_t at = 0; at < CLIENTS; at++) {
        close_session(world, &world->clients[at], true);
        settle(world);
    }
    pass(world, 1000, 250);
    DM_CHECK(dm_shard_busy(world->shard) == 0);
    for (uint32_t i = 0; i < world->publish_count; i++) {
        DM_CHECK(world->publishes[i]->answered);
        dm_publish_dispose(&world->publishes[i]->publish);
        free(world->publishes[i]);
    }
    dm_shard_destroy(&world->shard);
    store_dispose(&world->store);
    free(world->metrics);
    free(world);
}

/* --- events --- */

static void say(struct world *world, uint32_t at, bool binary, struct dm_slice text)
{
    struct client *client = &world->clients[at];
    struct message **end = &client->inbox;
    if (!client->number || !(binary || dm_utf8_valid(text)))
        return;
    while (*end)
        end = &(*end)->next;
    *end = DM_NEW(struct message);
    **end = (struct message){.binary = binary,
                             .text = dm_slice(dm_memdup(text.at, text.len), text.len)};
}

static uint32_t digit(struct dm_slice text, size_t at, uint32_t below)
{
    return at < text.len ? (uint8_t)(text.at[at] - '0') % below : 0;
}

static void happen_to_client(struct world *world, char what, struct dm_slice rest)
{
    bool by_letter = what == 'x' || what == 'y';
    uint32_t at = by_letter ? what == 'y' : digit(rest, 0, CLIENTS);
    struct client *client = &world->clients[at];
    bool goodbye = by_letter ? rest.len & 1 : rest.len > 1 && rest.at[1] == 'g';
    if (what != 'Z')
        close_session(world, client, goodbye);
    admit(world, at, what == 'z' || what == 'Z');
}

static void happen_to_channel(struct world *world, char what, struct dm_slice rest)
{
    struct dm_slice user = users[digit(rest, 0, DM_COUNT(users))];
    struct dm_slice channel = channels[digit(rest, 1, DM_COUNT(channels))];
    struct dm_slice first = channels[digit(rest, 0, DM_COUNT(channels))];
    if (what == 's' && rest.len > 1)
        (void)publish(world, first, dm_slice_from(rest, 1));
    else if (what == 's')
        check_members(world, first);
    else if (what == 'j')
        change(world, DM_MEMBERSHIP_JOIN, user, channel);
    else if (what == 'q')
        change(world, DM_MEMBERSHIP_LEAVE, user, channel);
    else if (what == 'e')
        change(world, DM_MEMBERSHIP_EXPEL, user, channel);
    else if (what == 'f')
        end_channel(world, first);
    else
        list(world, what == 'm', first, 1 + digit(rest, 1, 9));
}

static void happen_to_store(struct world *world, char what, struct dm_slice rest)
{
    uint32_t how = digit(rest, 0, 4);
    if (what == 'W' || what == 'w') {
        world->slow = what == 'W';
    } else if (what == 'i' || what == 'r') {
        struct fake_store *store = &world->store;
        (void)store_step(store, what == 'i' ? &store->writes : &store->reads, world->shard);
    } else {
        world->store.failing = how & 1 ? DM_ERR_COMMIT_UNKNOWN : DM_ERR_UNAVAILABLE;
        world->store.half = how & 2;
    }
}

static void sockets_arrive(struct world *world)
{
    for (uint32_t at = 0; at < CLIENTS; at++)
        if (world->clients[at].admitted)
            arrive(world, at);
}

static void happen(struct world *world, char what, struct dm_slice rest)
{
    if (what >= '0' && what < '0' + CLIENTS)
        say(world, (uint32_t)(what - '0'), false, rest);
    else if (what == 'h' || what == 'H')
        say(world, 0, what == 'H', rest);
    else if (what == 'n' || what == 'N')
        say(world, 1, what == 'N', rest);
    else if (what == 'b')
        say(world, digit(rest, 0, CLIENTS), true, dm_slice_from(rest, rest.len > 0));
    else if (what == 'p')
        (void)publish(world, DM_NO_SLICE, rest);
    else if (what == 't')
        pass(world, 1000, 250);
    else if (what == 'o')
        sockets_arrive(world);
    else if (what == 'd')
        decide(world, !rest.len           ? DM_OK
                      : rest.at[0] == 'n' ? DM_ERR_FORBIDDEN
                                          : DM_ERR_HOOK_UNAVAILABLE);
    else if (what == 'k' || what == 'K')
        ask_user(world, what == 'k' ? DM_USER_DISCONNECT : DM_USER_FORGET,
                 users[digit(rest, 0, DM_COUNT(users))]);
    else if (strchr("xyczZ", what))
        happen_to_client(world, what, rest);
    else if (strchr("sjqeflm", what))
        happen_to_channel(world, what, rest);
    else if (strchr("WwirF", what))
        happen_to_store(world, what, rest);
    settle(world);
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
