/*
 * Who is seen to come and go on presence channels. A user is there as a member
 * while it has a session, open or to be resumed; or because it listens.
 *
 * What that depends on is partly in the store: the channels that the user is a
 * member of, and sessions that may come back. So each coming and going is
 * looked at by an operation that the writer carries out behind all earlier
 * writes of this shard; results come back in order, and each follows from what
 * was before it. Where the store fails, looks wait for it, in order.
 *
 * A session that dropped and may come back leaves when its window is over: the
 * expiry of rows tells of it (resume.c), after a crash too.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "hub/hub_priv.h"
#include "model/name.h"
#include "ports/store_channel.h"

enum { LOOKS_WAITING_MAX = 1 << 16 /* of more nothing is told */ };

struct look {
    struct dm_list link; /* while it waits for the store, among shard->looks */
    bool came;           /* else it went */
    bool all;            /* its first or last session: the channels that it is a member of */
    bool online;         /* it has other sessions */
    bool listens;        /* another one of them listens to `channel` */
    uint64_t since;      /* when the session was opened */
    struct dm_uuid session_id;
    struct dm_buf user_id, channel; /* the channel that the session listens to, if any */
};

/* --- telling --- */

struct announcement {
    struct dm_publish publish;
    struct dm_buf user_id;
};

static void announced(struct dm_publish *publish, struct dm_shard *here)
{
    struct announcement *announcement = DM_CONTAINER(publish, struct announcement, publish);
    (void)here;
    dm_buf_dispose(&announcement->user_id);
    dm_publish_dispose(publish);
    free(announcement);
}

void dm_presence_describe(struct dm_buf *out, struct dm_slice user_id, uint64_t since)
{
    if (dm_slice_starts(user_id, dm_guest_prefix))
        user_id = dm_slice_from(user_id, dm_guest_prefix.len);
    dm_buf_lit(out, "{\"id\":");
    dm_json_encode(out, user_id);
    if (since) {
        dm_buf_lit(out, ",\"joinedAt\":");
        dm_buf_add_number(out, since);
    }
    dm_buf_add_byte(out, '}');
}

void dm_presence_announce(struct dm_shard *shard, struct dm_slice channel, struct dm_slice user_id,
                          bool came, uint64_t since)
{
    struct announcement *announcement = DM_NEW(struct announcement);
    struct dm_buf payload = DM_BUF_INIT;
    dm_buf_lit(&payload, "{\"member\":");
    dm_presence_describe(&payload, user_id, came ? since : 0);
    dm_buf_add_byte(&payload, '}');
    dm_buf_add_slice(&announcement->user_id, user_id);
    announcement->publish.except_user = dm_buf_slice(&announcement->user_id);
    announcement->publish.envelope = dm_envelope_create(&(struct dm_envelope_draft){
        .id = dm_shard_mint(shard),
        .ts = dm_shard_wall(shard),
        .type = came ? DM_SLICE("presence.join") : DM_SLICE("presence.leave"),
        .payload = dm_buf_slice(&payload),
        .channel = channel,
        .of_peers = true,
    });
    announcement->publish.channel = announcement->publish.envelope->channel;
    announcement->publish.done = announced;
    dm_buf_dispose(&payload);
    dm_metrics_add(shard->metrics, DM_METRIC_PRESENCE_EVENTS, 1);
    dm_publish(shard, &announcement->publish);
}

/* --- looking --- */

static void destroy(struct look *look)
{
    dm_buf_dispose(&look->user_id);
    dm_buf_dispose(&look->channel);
    free(look);
}

static void tell(struct dm_shard *shard, const struct look *look, struct dm_slice channel,
                 uint64_t since)
{
    dm_presence_announce(shard, channel, dm_buf_slice(&look->user_id), look->came,
                         since > look->since ? since : look->since);
}

/* It is there, or was, whatever becomes of the session that is looked at. */
static bool is_there_anyhow(const struct look *look, const struct dm_store_channel *found)
{
    return look->online || (found && found->resumable);
}

static void conclude(struct dm_shard *shard, const struct look *look, const struct dm_store_op *op)
{
    const struct dm_store_channel *found = op ? op->channel : NULL;
    struct dm_slice own = dm_buf_slice(&look->channel);
    bool member = false, anyhow = is_there_anyhow(look, found);
    for (uint32_t i = 0; found && i < found->count; i++) {
        struct dm_slice channel = dm_store_op_text(op, found->rows[i].name);
        bool is_own = own.len && dm_slice_eq(channel, own);
        member |= is_own;
        if (look->all && !anyhow && !(is_own && look->listens))
            tell(shard, look, channel, found->rows[i].since);
    }
    bool told = member && look->all && !anyhow;
    if (own.len && !look->listens && !told && !(member && anyhow))
        tell(shard, look, own, 0);
}

static void ask(struct dm_shard *shard, struct look *look);

static void looked(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct look *look = op->caller;
    shard->ops_out--;
    if (op->err && shard->looks_waiting < LOOKS_WAITING_MAX) {
        shard->looks_waiting++;
        shard->look_again_at = dm_shard_now(shard) + STORE_RETRY_MS;
        dm_list_push(&shard->looks, &look->link);
    } else {
        if (!op->err)
            conclude(shard, look, op);
        destroy(look);
    }
    dm_store_op_destroy(op);
}

static void ask(struct dm_shard *shard, struct look *look)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_LOOK_PRESENCE, shard->options.number, looked);
    (void)dm_store_op_channel(op);
    op->user_id = dm_store_op_add_text(op, dm_buf_slice(&look->user_id));
    op->session_id = look->session_id;
    op->oldest = dm_resume_oldest(shard);
    op->caller = look;
    dm_shard_submit(shard, op);
}

/* Those that wait go first, so that what a user does is told in order. */
static void begin(struct dm_shard *shard, struct look *look)
{
    if (!shard->holds_presence) { /* nobody is a member of any */
        conclude(shard, look, NULL);
        destroy(look);
    } else if (shard->looks_waiting) {
        shard->looks_waiting++;
        dm_list_push(&shard->looks, &look->link);
    } else {
        ask(shard, look);
    }
}

uint64_t dm_presence_tick(struct dm_shard *shard, uint64_t now)
{
    struct dm_list due, *link;
    if (dm_list_empty(&shard->looks))
        return UINT64_MAX;
    if (now < shard->look_again_at)
        return shard->look_again_at;
    dm_list_init(&due);
    while ((link = dm_list_shift(&shard->looks)) != NULL)
        dm_list_push(&due, link);
    shard->looks_waiting = 0;
    while ((link = dm_list_shift(&due)) != NULL)
        ask(shard, DM_CONTAINER(link, struct look, link));
    return UINT64_MAX;
}

void dm_presence_dispose(struct dm_shard *shard)
{
    struct dm_list *link;
    while ((link = dm_list_shift(&shard->looks)) != NULL)
        destroy(DM_CONTAINER(link, struct look, link));
}

/* --- what is looked at --- */

void dm_presence_expect(struct dm_shard *shard)
{
    shard->holds_presence = true;
}

static struct look *look_create(const struct dm_shard *shard, uint32_t session, bool came)
{
    const struct session *its = session_at(shard, session);
    const struct user *user = user_at(shard, its->user);
    uint32_t channel = dm_listener_channel(shard, session);
    struct look *look = DM_NEW(struct look);
    look->came = came;
    look->all = user->first_session == session && !its->next;
    look->online = !look->all;
    look->since = dm_uuid_ms(&its->id);
    look->session_id = its->id;
    dm_buf_add_slice(&look->user_id, dm_user_id(user));
    if (channel && dm_name_is_presence(dm_channel_name(channel_at(shard, channel))))
        dm_buf_add_slice(&look->channel, dm_channel_name(channel_at(shard, channel)));
    return look;
}

/* Does another session of its user listen to the same channel? */
static bool another_listens(const struct dm_shard *shard, uint32_t session)
{
    const struct user *user = user_at(shard, session_at(shard, session)->user);
    uint32_t channel = dm_listener_channel(shard, session);
    for (uint32_t i = channel ? user->first_session : 0; i; i = session_at(shard, i)->next)
        if (i != session && dm_dialect_of(session_at(shard, i)->dialect)->listens &&
            dm_listener_channel(shard, i) == channel)
            return true;
    return false;
}

static bool matters(const struct dm_shard *shard, const struct look *look)
{
    return look->channel.len || (look->all && shard->holds_presence);
}

/* Most sessions are of no user that is in a presence channel. */
static bool minds(const struct dm_shard *shard, uint32_t session)
{
    return (shard->holds_presence || dm_dialect_of(session_at(shard, session)->dialect)->listens) &&
           !shard->ending;
}

void dm_presence_came(struct dm_shard *shard, uint32_t session)
{
    if (!minds(shard, session))
        return;
    struct look *look = look_create(shard, session, true);
    look->listens = another_listens(shard, session);
    if (matters(shard, look))
        begin(shard, look);
    else
        destroy(look);
}

struct look *dm_presence_goes(struct dm_shard *shard, uint32_t session)
{
    if (!minds(shard, session))
        return NULL;
    struct look *look = look_create(shard, session, false);
    look->listens = another_listens(shard, session);
    if (matters(shard, look))
        return look;
    destroy(look);
    return NULL;
}

/* Where its session can be resumed that counts: the row says so by now. */
void dm_presence_went(struct dm_shard *shard, struct look *look)
{
    if (look) {
        look->session_id = (struct dm_uuid){{0}};
        begin(shard, look);
    }
}

void dm_presence_may_have_gone(struct dm_shard *shard, struct dm_slice user_id)
{
    uint32_t user = dm_user_find(shard, user_id);
    if (!shard->holds_presence || (user && user_at(shard, user)->first_session))
        return;
    struct look *look = DM_NEW(struct look);
    look->all = true;
    dm_buf_add_slice(&look->user_id, user_id);
    begin(shard, look);
}
