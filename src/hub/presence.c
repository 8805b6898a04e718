/*
 * Who is seen to come and go on presence channels. A user is there as a member
 * while it has a session, open or to be resumed (absent.c); or because it
 * listens.
 *
 * Which channels it is a member of is in the store: so each coming and going is
 * looked at by an operation that the writer carries out behind all earlier
 * changes of memberships by this shard. Results come back in order. Where the
 * store fails, looks wait for it, and are asked again one by one: so that what
 * a user does is always told in order.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/json.h"
#include "hub/hub_priv.h"
#include "model/name.h"
#include "ports/store_channel.h"

enum { LOOKS_WAITING_MAX = 1 << 16 /* of more nothing is told */ };

struct look {
    struct dm_list link;            /* while it waits for the store, among shard->looks */
    bool came;                      /* else it went */
    bool all;                       /* with it the user is there, or there no more */
    bool listens;                   /* another session of the user listens to `channel` */
    uint64_t since;                 /* when the session was opened */
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

/* A member of the session's own channel is there anyhow, unless this is all that it has. */
static void conclude(struct dm_shard *shard, const struct look *look, const struct dm_store_op *op)
{
    struct dm_slice own = dm_buf_slice(&look->channel);
    uint32_t count = op ? op->channel->count : 0;
    bool member = false;
    for (uint32_t i = 0; i < count; i++) {
        struct dm_slice channel = dm_store_op_text(op, op->channel->rows[i].name);
        bool is_own = own.len && dm_slice_eq(channel, own);
        member |= is_own;
        if (look->all && !(is_own && look->listens))
            tell(shard, look, channel, op->channel->rows[i].since);
    }
    if (own.len && !member && !look->listens)
        tell(shard, look, own, 0);
}

static void ask(struct dm_shard *shard, struct look *look);

static struct look *first_waiting(const struct dm_shard *shard)
{
    return DM_CONTAINER(shard->looks.next, struct look, link);
}

static void wait_for_store(struct dm_shard *shard, struct look *look)
{
    if (shard->looks_waiting == LOOKS_WAITING_MAX) {
        destroy(look);
        return;
    }
    if (!shard->looks_waiting++)
        shard->look_again_at = dm_shard_now(shard) + STORE_RETRY_MS;
    dm_list_push(&shard->looks, &look->link);
}

/* The first of those that wait has been asked again. */
static void looked_again(struct dm_shard *shard, struct look *look, const struct dm_store_op *op)
{
    if (op->err) {
        shard->look_again_at = dm_shard_now(shard) + STORE_RETRY_MS;
        return;
    }
    dm_list_unlink(&look->link);
    shard->looks_waiting--;
    conclude(shard, look, op);
    destroy(look);
    if (shard->looks_waiting)
        ask(shard, first_waiting(shard));
}

static void looked(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct look *look = op->caller;
    shard->ops_out--;
    if (dm_list_linked(&look->link)) {
        looked_again(shard, look, op);
    } else if (op->err || shard->looks_waiting) {
        wait_for_store(shard, look);
    } else {
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
    op->caller = look;
    if (dm_list_linked(&look->link))
        shard->look_again_at = UINT64_MAX;
    dm_shard_submit(shard, op);
}

static void begin(struct dm_shard *shard, struct look *look)
{
    if (shard->holds_presence) {
        ask(shard, look);
        return;
    }
    conclude(shard, look, NULL); /* nobody is a member of any */
    destroy(look);
}

uint64_t dm_presence_tick(struct dm_shard *shard, uint64_t now)
{
    if (shard->looks_waiting && now >= shard->look_again_at)
        ask(shard, first_waiting(shard));
    return shard->looks_waiting ? shard->look_again_at : UINT64_MAX;
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

bool dm_presence_is(const struct dm_shard *shard, struct dm_slice user_id)
{
    uint32_t user = dm_user_find(shard, user_id);
    return (user && user_at(shard, user)->first_session) || dm_absent_any(shard, user_id);
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

/* Most sessions are of no user that is in a presence channel. */
static bool minds(const struct dm_shard *shard, uint32_t session)
{
    return (shard->holds_presence || dm_dialect_of(session_at(shard, session)->dialect)->listens) &&
           !shard->ending;
}

static void look_at(struct dm_shard *shard, uint32_t session, bool came, bool stays)
{
    const struct session *its = session_at(shard, session);
    const struct user *user = user_at(shard, its->user);
    struct dm_slice user_id = dm_user_id(user);
    uint32_t channel = dm_listener_channel(shard, session);
    struct dm_slice name = channel ? dm_channel_name(channel_at(shard, channel)) : DM_SLICE("");
    bool only = user->first_session == session && !its->next;
    bool all = only && !stays && !dm_absent_any(shard, user_id) && shard->holds_presence;
    bool own = dm_name_is_presence(name);
    if (!all && !own)
        return;
    struct look *look = DM_NEW(struct look);
    look->came = came;
    look->all = all;
    look->listens = another_listens(shard, session);
    look->since = dm_uuid_ms(&its->id);
    dm_buf_add_slice(&look->user_id, user_id);
    if (own)
        dm_buf_add_slice(&look->channel, name);
    begin(shard, look);
}

void dm_presence_came(struct dm_shard *shard, uint32_t session)
{
    if (minds(shard, session))
        look_at(shard, session, true, false);
}

void dm_presence_goes(struct dm_shard *shard, uint32_t session, bool returns)
{
    if (minds(shard, session))
        look_at(shard, session, false, returns);
}

static void look_from_afar(struct dm_shard *shard, struct dm_slice user_id, bool came,
                           uint64_t since)
{
    struct look *look = DM_NEW(struct look);
    look->came = came;
    look->all = true;
    look->since = since;
    dm_buf_add_slice(&look->user_id, user_id);
    begin(shard, look);
}

void dm_presence_came_back(struct dm_shard *shard, struct dm_slice user_id,
                           const struct dm_uuid *session_id)
{
    if (shard->holds_presence && !shard->ending)
        look_from_afar(shard, user_id, true, dm_uuid_ms(session_id));
}

void dm_presence_may_have_gone(struct dm_shard *shard, struct dm_slice user_id)
{
    if (shard->holds_presence && !shard->ending && !dm_presence_is(shard, user_id))
        look_from_afar(shard, user_id, false, 0);
}
