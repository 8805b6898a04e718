/*
 * What sessions ask of channels on their sockets: join, leave, whisper, and
 * who is there. Nothing of it wakes their user.
 *
 * A session's joins and leaves are carried out in its order: one that comes
 * while the backend is still asked about an earlier one is held in its socket.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"
#include "model/name.h"

enum { ASKINGS_MAX = 1 << 16, ASKINGS_A_SESSION = 32 };

struct asking {
    struct dm_list link; /* until it is answered, among those of shard->askings[] */
    struct addressee *to;
    enum dm_command_kind kind;
    bool undecided;                   /* the backend is asked */
    bool holds;                       /* the session has more to say, behind this */
    struct dm_slice user_id, channel; /* in `text` */
    struct dm_slice claims, payload;
    struct dm_buf text;
    struct dm_authorization authorization;
    struct dm_membership_call membership;
    struct dm_presence_call presence;
    struct dm_publish whisper;
    struct roster_wait wait;
};

static struct dm_list *list_of(struct dm_shard *shard, const struct dm_uuid *session_id)
{
    uint64_t hash = dm_hash(shard->index_key, session_id, sizeof *session_id);
    return &shard->askings[hash % DM_COUNT(shard->askings)];
}

/* Whispers and questions come one by one: they may be long, and cost much. */
static bool must_wait(const struct asking *earlier, enum dm_command_kind kind)
{
    bool changes = kind == DM_COMMAND_JOIN || kind == DM_COMMAND_LEAVE;
    return earlier->undecided || (!changes && earlier->kind != DM_COMMAND_LEAVE);
}

bool dm_channel_command_waits(struct dm_shard *shard, uint32_t session, enum dm_command_kind kind)
{
    const struct dm_uuid *id = &session_at(shard, session)->id;
    const struct dm_list *list = list_of(shard, id);
    uint32_t count = 0;
    for (struct dm_list *at = list->next; at != list; at = at->next) {
        struct asking *asking = DM_CONTAINER(at, struct asking, link);
        if (!dm_uuid_eq(dm_addressee_session(asking->to), id))
            continue;
        if (!must_wait(asking, kind) && ++count < ASKINGS_A_SESSION)
            continue;
        asking->holds = true;
        return true;
    }
    return false;
}

static struct asking *asking_create(struct dm_shard *shard, uint32_t index,
                                    const struct dm_command *command, struct dm_slice channel)
{
    const struct session *session = session_at(shard, index);
    const struct dm_slice texts[] = {dm_user_id(user_at(shard, session->user)), channel,
                                     dm_claims_of(shard, index), command->payload};
    struct asking *asking = DM_NEW(struct asking);
    struct dm_slice *const to[] = {&asking->user_id, &asking->channel, &asking->claims,
                                   &asking->payload};
    asking->to = dm_addressee_create(shard, index, command->ref);
    asking->kind = command->kind;
    for (size_t i = 0; i < DM_COUNT(texts); i++)
        dm_buf_add_slice(&asking->text, texts[i]);
    const char *at = asking->text.bytes;
    for (size_t i = 0; i < DM_COUNT(texts); at += texts[i++].len)
        if (texts[i].at)
            *to[i] = dm_slice(at, texts[i].len);
    dm_list_push(list_of(shard, &session->id), &asking->link);
    shard->asking_count++;
    return asking;
}

/* --- answers --- */

/* The session, wherever it is by now, goes on at this turn's end. */
static void go_on_reading(struct dm_shard *shard, const struct asking *asking)
{
    uint32_t user = dm_user_find(shard, asking->user_id);
    uint32_t session = user ? dm_session_find(shard, user, dm_addressee_session(asking->to)) : 0;
    if (session && !(session_at(shard, session)->flags & SESSION_GONE))
        shard->ports.sink.resume(shard->ports.sink.self, session_at(shard, session)->sock);
}

static void release(struct dm_shard *shard, struct asking *asking)
{
    dm_list_unlink(&asking->link);
    shard->asking_count--;
    if (asking->holds)
        go_on_reading(shard, asking);
}

static void destroy(struct asking *asking)
{
    dm_buf_dispose(&asking->text);
    dm_buf_dispose(&asking->presence.members);
    dm_buf_dispose(&asking->presence.last);
    dm_publish_dispose(&asking->whisper);
    free(asking);
}

static void answer(struct dm_shard *shard, struct asking *asking, int err)
{
    release(shard, asking);
    dm_addressee_answer(shard, asking->to, err);
    destroy(asking);
}

static void membership_changed(struct dm_membership_call *call, struct dm_shard *here)
{
    answer(here, DM_CONTAINER(call, struct asking, membership), call->err);
}

static void change_membership(struct dm_shard *shard, struct asking *asking)
{
    asking->membership.change =
        asking->kind == DM_COMMAND_JOIN ? DM_MEMBERSHIP_JOIN : DM_MEMBERSHIP_LEAVE;
    asking->membership.channel = asking->channel;
    asking->membership.user_id = asking->user_id;
    asking->membership.done = membership_changed;
    dm_membership_ask(shard, &asking->membership);
}

static void presence_told(struct dm_presence_call *call, struct dm_shard *here)
{
    struct asking *asking = DM_CONTAINER(call, struct asking, presence);
    struct dm_buf more = DM_BUF_INIT;
    dm_buf_lit(&more, "\"members\":[");
    dm_buf_add_slice(&more, dm_buf_slice(&call->members));
    dm_buf_add_byte(&more, ']');
    bool fits = more.len < here->options.limits.max_unsent && !call->last.len;
    if (call->err || !fits) {
        answer(here, asking, call->err ? call->err : DM_ERR_TOO_LARGE);
    } else {
        release(here, asking);
        dm_addressee_tell(here, asking->to, dm_buf_slice(&more));
        destroy(asking);
    }
    dm_buf_dispose(&more);
}

static void tell_presence(struct dm_shard *shard, struct asking *asking)
{
    asking->presence.channel = asking->channel;
    asking->presence.limit = DM_MEMBERS_LIMIT_MAX;
    asking->presence.done = presence_told;
    dm_presence_ask(shard, &asking->presence);
}

static void whispered(struct dm_publish *publish, struct dm_shard *here)
{
    answer(here, DM_CONTAINER(publish, struct asking, whisper), publish->err);
}

static void whisper(struct dm_shard *shard, struct asking *asking)
{
    asking->whisper.envelope = dm_envelope_create(&(struct dm_envelope_draft){
        .id = dm_shard_mint(shard),
        .ts = dm_shard_wall(shard),
        .type = DM_SLICE("whisper"),
        .payload = asking->payload,
        .channel = asking->channel,
        .from = asking->user_id,
        .of_peers = true,
    });
    asking->whisper.channel = asking->channel;
    asking->whisper.except_session = *dm_addressee_session(asking->to);
    asking->whisper.done = whispered;
    dm_metrics_add(shard->metrics, DM_METRIC_WHISPERS, 1);
    dm_publish(shard, &asking->whisper);
}

/* --- who may --- */

static void go_on(struct dm_shard *shard, struct asking *asking)
{
    if (asking->kind == DM_COMMAND_WHISPER)
        whisper(shard, asking);
    else if (asking->kind == DM_COMMAND_PRESENCE)
        tell_presence(shard, asking);
    else
        change_membership(shard, asking);
}

static void authorize(struct dm_shard *shard, struct asking *asking);

static void check_member(struct dm_shard *shard, struct asking *asking)
{
    uint32_t channel = dm_channel_find(shard, asking->channel);
    if (dm_roster_find(shard, channel_at(shard, channel)->roster, asking->user_id))
        go_on(shard, asking);
    else if (asking->kind == DM_COMMAND_PRESENCE) /* who is granted the name may ask, too */
        authorize(shard, asking);
    else
        answer(shard, asking, DM_ERR_FORBIDDEN);
}

static void roster_came(struct dm_shard *shard, struct roster_wait *wait, int err)
{
    struct asking *asking = DM_CONTAINER(wait, struct asking, wait);
    if (err)
        answer(shard, asking, err);
    else
        check_member(shard, asking);
}

static void need_member(struct dm_shard *shard, struct asking *asking)
{
    uint32_t channel = dm_channel_find_or_add(shard, asking->channel);
    asking->wait.go_on = roster_came;
    if (dm_roster_need(shard, channel, &asking->wait))
        check_member(shard, asking);
}

static void decide(struct dm_shard *shard, struct asking *asking)
{
    int err = asking->authorization.err;
    asking->undecided = false;
    if (err == DM_OK)
        go_on(shard, asking);
    else
        answer(shard, asking, err);
}

static void decided(struct dm_mail *mail, struct dm_shard *shard)
{
    shard->ops_out--;
    decide(shard, DM_CONTAINER(mail, struct asking, authorization.mail));
}

static void authorize(struct dm_shard *shard, struct asking *asking)
{
    asking->authorization.mail.run = decided;
    asking->authorization.shard = shard->options.number;
    asking->authorization.user_id = asking->user_id;
    asking->authorization.channel = asking->channel;
    asking->authorization.claims = asking->claims;
    asking->undecided = true;
    shard->ops_out++; /* before it is asked: another thread may answer at once */
    if (!dm_authorize_ask(&shard->ports.authorize, &asking->authorization))
        return;
    shard->ops_out--;
    decide(shard, asking);
}

void dm_channel_command(struct dm_shard *shard, uint32_t session, const struct dm_command *command)
{
    uint32_t listened = dm_listener_channel(shard, session);
    struct dm_slice channel = command->channel;
    if (listened)
        channel = dm_channel_name(channel_at(shard, listened));
    if (shard->asking_count >= ASKINGS_MAX) {
        dm_metrics_refuse(shard->metrics, DM_ERR_OVERLOADED);
        dm_answer(shard, session_at(shard, session), command->ref, DM_ERR_OVERLOADED, DM_NO_SLICE);
        return;
    }
    struct asking *asking = asking_create(shard, session, command, channel);
    if (command->kind == DM_COMMAND_JOIN)
        authorize(shard, asking);
    else if ((command->kind == DM_COMMAND_WHISPER && !listened) ||
             (command->kind == DM_COMMAND_PRESENCE && dm_name_needs_grant(channel)))
        need_member(shard, asking);
    else
        go_on(shard, asking);
}
