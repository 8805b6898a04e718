/* User records: found by userId, made at the first place, freed after the last. */
#include "hub/user.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "hub/hub_priv.h"
#include "model/name.h"
#include "ports/store_channel.h"
#include "ports/store_publish.h"

enum { ARRIVAL_MS = 100 /* a socket's way from its handshake's answer to its owner, at most */ };

struct dm_slice dm_user_id(const struct user *user)
{
    return dm_short_id_text(&user->id);
}

static bool has_id(const void *context, uint32_t value, struct dm_slice id)
{
    return dm_slice_eq(dm_user_id(user_at(context, value)), id);
}

static uint64_t hash_of(const struct dm_shard *shard, struct dm_slice id)
{
    return dm_hash(shard->index_key, id.at, id.len);
}

uint32_t dm_user_find(const struct dm_shard *shard, struct dm_slice user_id)
{
    return dm_index_find(&shard->index, hash_of(shard, user_id), has_id, shard, user_id);
}

uint32_t dm_user_find_hashed(const struct dm_shard *shard, uint64_t hash, struct dm_slice user_id)
{
    return dm_index_find(&shard->index, hash, has_id, shard, user_id);
}

uint64_t dm_user_hash(const struct dm_shard *shard, uint32_t user)
{
    return hash_of(shard, dm_user_id(user_at(shard, user)));
}

static bool has_hash(const void *context, uint32_t value, struct dm_slice hash)
{
    uint64_t its = dm_user_hash(context, value);
    return memcmp(&its, hash.at, sizeof its) == 0;
}

uint32_t dm_user_find_hash(const struct dm_shard *shard, uint64_t hash)
{
    return dm_index_find(&shard->index, hash, has_hash, shard,
                         dm_slice((const char *)&hash, sizeof hash));
}

static void count_state(struct dm_shard *shard, enum user_state state, uint64_t by)
{
    dm_metrics_add(shard->metrics,
                   state == USER_ASLEEP ? DM_METRIC_USERS_ASLEEP : DM_METRIC_USERS_AWAKE, by);
}

uint32_t dm_user_find_or_add(struct dm_shard *shard, struct dm_slice user_id)
{
    uint32_t index = dm_user_find(shard, user_id);
    if (index)
        return index;
    index = dm_slab_take(&shard->users);
    dm_short_id_set(&user_at(shard, index)->id, user_id);
    dm_index_put(&shard->index, hash_of(shard, user_id), index);
    count_state(shard, USER_ASLEEP, 1);
    return index;
}

void dm_user_move(struct dm_shard *shard, uint32_t index, enum user_state to)
{
    static const bool allowed[4][4] = {
        [USER_ASLEEP] = {[USER_WAKING] = true, [USER_AWAKE] = true},
        [USER_WAKING] = {[USER_AWAKE] = true, [USER_ASLEEP] = true},
        [USER_AWAKE] = {[USER_SAVING] = true, [USER_ASLEEP] = true},
        [USER_SAVING] = {[USER_AWAKE] = true, [USER_ASLEEP] = true},
    };
    struct user *user = user_at(shard, index);
    DM_CHECK(allowed[user->state][to]);
    count_state(shard, user->state, (uint64_t)-1);
    user->state = (uint8_t)to;
    count_state(shard, to, 1);
}

/* A user that is WAKING or SAVING has an operation out, whose return asks again. */
void dm_user_free_if_unused(struct dm_shard *shard, uint32_t index)
{
    struct user *user = user_at(shard, index);
    if (user->session_count || user->first_session || user->places || user->first_delivery)
        return;
    if (user->state == USER_WAKING || user->state == USER_SAVING)
        return;
    if (user->state == USER_AWAKE) {
        if (awake_at(shard, user->awake)->writes)
            return; /* their answers will ask again */
        if (!dm_list_empty(&awake_at(shard, user->awake)->waiting))
            return; /* its deliveries, due this turn, will ask again */
        dm_user_forget_awake(shard, index);
    }
    count_state(shard, USER_ASLEEP, (uint64_t)-1);
    struct dm_slice id = dm_user_id(user);
    dm_index_remove(&shard->index, hash_of(shard, id), index);
    dm_short_id_dispose(&user->id);
    dm_slab_give(&shard->users, index);
}

static void answer(struct dm_mail *mail, struct dm_shard *here)
{
    struct dm_user_call *call = DM_CONTAINER(mail, struct dm_user_call, mail);
    call->done(call, here);
}

static void send_back(struct dm_shard *shard, struct dm_user_call *call)
{
    if (call->origin == shard->options.number) {
        call->done(call, shard);
        return;
    }
    call->mail.run = answer;
    shard->ports.post.send(shard->ports.post.self, call->origin, &call->mail);
}

static void forget(struct dm_shard *shard, struct dm_user_call *call);

/* Others were told that it has left before it did, unless it has come back meanwhile. */
static void tell_left(struct dm_shard *shard, const struct dm_user_call *call,
                      struct dm_slice channel)
{
    uint32_t user = dm_user_find(shard, call->user_id);
    if (dm_name_is_presence(channel) && !dm_user_listens(shard, user, channel))
        dm_presence_announce(shard, channel, call->user_id, false, 0);
}

static void forgotten(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct dm_user_call *call = op->caller;
    bool more = !op->err && op->channel->more;
    shard->ops_out--;
    call->err = op->err;
    for (uint32_t i = 0; i < op->channel->count; i++) {
        struct dm_slice channel = dm_store_op_text(op, op->channel->rows[i].name);
        if (op->err)
            dm_roster_doubt(shard, channel);
        else
            dm_roster_change(shard, channel, call->user_id, false, 0);
        if (!op->err && op->user)
            tell_left(shard, call, channel);
    }
    dm_store_op_destroy(op);
    if (more)
        forget(shard, call);
    else
        send_back(shard, call);
}

static void forget(struct dm_shard *shard, struct dm_user_call *call)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_FORGET_USER, shard->options.number, forgotten);
    (void)dm_store_op_channel(op);
    dm_store_op_publish(op)->retention = shard->options.result_retention_ms;
    op->user_id = dm_store_op_add_text(op, call->user_id);
    op->now = dm_shard_wall(shard);
    op->caller = call;
    op->user = dm_presence_is(shard, call->user_id); /* when it is asked */
    dm_shard_submit(shard, op);
}

static void ended(void *context, int err, struct dm_shard *shard)
{
    struct dm_user_call *call = context;
    call->err = err;
    if (call->question == DM_USER_FORGET && !err)
        forget(shard, call);
    else
        send_back(shard, call);
}

static void carry_out(struct dm_shard *shard, struct dm_user_call *call)
{
    uint32_t user = dm_user_find(shard, call->user_id);
    call->connections = 0;
    call->err = DM_OK;
    if (call->question == DM_USER_PRESENCE) {
        call->connections = user ? user_at(shard, user)->session_count : 0;
        send_back(shard, call);
        return;
    }
    if (user)
        call->connections = dm_user_close_sessions(shard, user, 1000, call->reason);
    dm_metrics_add(shard->metrics, DM_METRIC_CLOSED_BY_BACKEND, call->connections);
    dm_attempt_note(shard, dm_user_find(shard, call->user_id), NULL, ATTEMPT_ENDED);
    if (shard->options.resume_window_ms) /* answered once it is certain that none comes back */
        dm_resume_end_user(shard, call->user_id, ended, call);
    else
        ended(call, DM_OK, shard);
}

static bool awaits_sockets(const struct dm_shard *shard, const struct dm_user_call *call)
{
    uint32_t user = dm_user_find(shard, call->user_id);
    return user && user_at(shard, user)->places > 0;
}

static void ask_here(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_user_call *call = DM_CONTAINER(mail, struct dm_user_call, mail);
    if (!awaits_sockets(shard, call)) {
        carry_out(shard, call);
        return;
    }
    call->wait_until = dm_shard_now(shard) + ARRIVAL_MS;
    dm_list_push(&shard->calls, &call->waiting);
}

/* Not from within the arrival: its socket has not begun to read then. */
uint64_t dm_user_tick(struct dm_shard *shard, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    struct dm_list *after;
    for (struct dm_list *at = shard->calls.next; at != &shard->calls; at = after) {
        struct dm_user_call *call = DM_CONTAINER(at, struct dm_user_call, waiting);
        after = at->next;
        if (call->wait_until > now && awaits_sockets(shard, call)) {
            next = dm_clock_earlier(next, call->wait_until);
            continue;
        }
        dm_list_unlink(at);
        dm_list_push(&shard->due_calls, at);
    }
    while ((after = dm_list_shift(&shard->due_calls)) != NULL)
        carry_out(shard, DM_CONTAINER(after, struct dm_user_call, waiting));
    return next;
}

void dm_user_ask(struct dm_shard *shard, struct dm_user_call *call)
{
    uint32_t owner = dm_shard_owner(shard, call->user_id);
    call->origin = shard->options.number;
    call->mail.run = ask_here;
    if (owner == call->origin)
        ask_here(&call->mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, owner, &call->mail);
}
