/* A session's own life: among its user's, with its state, to its end. */
#include "hub/session.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

static uint32_t last_session(const struct dm_shard *shard, const struct user *user)
{
    /* The list is circular through the first one's prev, so that both ends are at hand. */
    return user->first_session ? session_at(shard, user->first_session)->prev : 0;
}

static void link_session(struct dm_shard *shard, struct user *user, uint32_t index)
{
    struct session *session = session_at(shard, index);
    uint32_t last = last_session(shard, user);
    session->next = 0;
    session->prev = last ? last : index;
    if (last)
        session_at(shard, last)->next = index;
    else
        user->first_session = index;
    session_at(shard, user->first_session)->prev = index;
}

static void unlink_session(struct dm_shard *shard, struct user *user, uint32_t index)
{
    struct session *session = session_at(shard, index);
    bool first = user->first_session == index;
    if (session->next)
        session_at(shard, session->next)->prev = session->prev;
    else if (!first)
        session_at(shard, user->first_session)->prev = session->prev;
    if (first)
        user->first_session = session->next;
    else
        session_at(shard, session->prev)->next = session->next;
}

uint32_t dm_session_add(struct dm_shard *shard, uint32_t owner, const struct dm_uuid *id,
                        enum dm_dialect_id dialect, uint32_t sock)
{
    struct user *user = user_at(shard, owner);
    uint32_t index = dm_slab_take(&shard->sessions);
    struct session *session = session_at(shard, index);
    session->id = *id;
    session->user = owner;
    session->sock = sock;
    session->dialect = (uint8_t)dialect;
    link_session(shard, user, index);
    user->session_count++;
    dm_metrics_add(shard->metrics, DM_METRIC_SESSIONS, 1);
    return index;
}

void dm_session_let_publish(struct dm_shard *shard, uint32_t index, bool may)
{
    struct session *session = session_at(shard, index);
    session->flags &= (uint8_t)~SESSION_MAY_PUBLISH;
    if (may)
        session->flags |= SESSION_MAY_PUBLISH;
}

uint32_t dm_session_open(struct dm_shard *shard, const struct dm_admission *admission,
                         uint32_t sock)
{
    uint32_t user = dm_user_find(shard, dm_admission_user(admission));
    DM_CHECK(user && user_at(shard, user)->places > 0);
    user_at(shard, user)->places--;
    bool resumes = dm_dialect_of(admission->dialect)->resumes;
    struct dm_uuid id = dm_shard_mint(shard);
    uint32_t session = resumes ? dm_resume_open(shard, admission, sock)
                               : dm_session_add(shard, user, &id, admission->dialect, sock);
    if (session && (resumes || shard->options.expire_sessions))
        dm_expiry_set(shard, session, admission->expires_ms);
    if (!session)
        return 0;
    dm_session_let_publish(shard, session, admission->may_publish);
    dm_claims_set(shard, session, dm_buf_slice(&admission->claims));
    if (dm_dialect_of(admission->dialect)->listens)
        dm_listener_add(shard, session, dm_slice(admission->channel, admission->channel_len));
    if (!resumes) /* else dm_resume_open has seen to that */
        dm_presence_came(shard, session);
    return session;
}

struct session_state *dm_session_state(struct dm_shard *shard, uint32_t index)
{
    struct session *session = session_at(shard, index);
    if (!session->state)
        session->state = dm_slab_take(&shard->states);
    return state_at(shard, session->state);
}

void dm_session_drop_state(struct dm_shard *shard, struct session *session)
{
    if (!session->state)
        return;
    struct session_state *state = state_at(shard, session->state);
    DM_CHECK(state->first_pending == 0);
    dm_filter_set_dispose(&state->filters);
    dm_session_attach(state, DM_NO_SLICE);
    dm_slab_give(&shard->states, session->state);
    session->state = 0;
}

void dm_session_attach(struct session_state *state, struct dm_slice attachment)
{
    free((char *)state->attachment.at);
    state->attachment = attachment;
    if (attachment.at)
        state->attachment.at = dm_memdup(attachment.at, attachment.len);
}

static bool may_return(const struct session *session)
{
    return dm_dialect_of(session->dialect)->resumes && !(session->flags & SESSION_ENDED);
}

uint32_t dm_session_find(const struct dm_shard *shard, uint32_t user, const struct dm_uuid *id)
{
    uint32_t i = user_at(shard, user)->first_session;
    while (i && !dm_uuid_eq(&session_at(shard, i)->id, id))
        i = session_at(shard, i)->next;
    return i;
}

/* A row that nobody can resume matches nothing: it is deleted, or swept at the next start. */
static void forget_row(struct dm_shard *shard, const struct session *session)
{
    if (dm_dialect_of(session->dialect)->resumes)
        dm_word_say(shard, DM_STORE_FORGET_SESSION, session->user, &session->id);
    else if (session->flags & SESSION_STORED)
        dm_shard_forget_rows(shard, DM_STORE_FORGET_SESSION, NULL, &session->id);
}

void dm_session_end(struct dm_shard *shard, uint32_t index)
{
    struct session *session = session_at(shard, index);
    struct user *user = user_at(shard, session->user);
    uint32_t owner = session->user;
    bool returns = may_return(session);
    dm_presence_goes(shard, index, returns);
    if (returns) {
        dm_absent_add(shard, dm_user_id(user), &session->id);
        dm_resume_drop(shard, index);
    }
    dm_session_drop_pendings(shard, index, returns);
    dm_session_drop_state(shard, session);
    if (!returns)
        forget_row(shard, session);
    dm_attempt_note(shard, owner, &session->id, returns ? ATTEMPT_DROPPED : ATTEMPT_ENDED);
    dm_expiry_set(shard, index, 0);
    dm_claims_set(shard, index, DM_NO_SLICE);
    dm_listener_remove(shard, index);
    unlink_session(shard, user, index);
    dm_slab_give(&shard->sessions, index);
    dm_user_free_if_unused(shard, owner);
}

/* Its pending acks may be in the store alone: then it cannot end before its user is awake. It is
 * GONE before any of them is settled, for that may answer a publish whose caller publishes again.
 */
static void end_when_awake(struct dm_shard *shard, uint32_t index)
{
    struct session *session = session_at(shard, index);
    struct user *user = user_at(shard, session->user);
    bool elsewhere = (session->flags & SESSION_STORED) && user->first_delivery;
    session->flags = (uint8_t)((session->flags | SESSION_GONE) & ~SESSION_HELD);
    user->session_count--;
    dm_pace_forget(shard, index);
    dm_catch_up_end(shard, index);
    dm_metrics_sub(shard->metrics, DM_METRIC_SESSIONS, 1);
    if (elsewhere && (user->state == USER_WAKING || user->state == USER_ASLEEP))
        if (!dm_user_rouse(shard, session->user)) {
            if (session->flags & SESSION_ENDED && dm_dialect_of(session->dialect)->resumes)
                dm_resume_end(shard, session);
            return;
        }
    dm_session_end(shard, index);
}

uint32_t dm_session_sock(const struct dm_shard *shard, uint32_t session)
{
    return session_at(shard, session)->sock;
}

void dm_session_closed(struct dm_shard *shard, uint32_t session, bool goodbye)
{
    if (goodbye)
        session_at(shard, session)->flags |= SESSION_ENDED;
    end_when_awake(shard, session);
}

void dm_session_expel(struct dm_shard *shard, uint32_t index, struct dm_slice reason)
{
    struct session *session = session_at(shard, index);
    session->flags |= SESSION_ENDED;
    shard->ports.sink.close(shard->ports.sink.self, session->sock, 4403, reason);
    end_when_awake(shard, index);
}

uint32_t dm_user_close_sessions(struct dm_shard *shard, uint32_t owner, int code,
                                struct dm_slice reason)
{
    uint32_t closed = 0;
    uint32_t next;
    for (uint32_t i = user_at(shard, owner)->first_session; i; i = next) {
        struct session *session = session_at(shard, i);
        next = session->next;
        if (session->flags & SESSION_GONE)
            continue;
        closed++;
        if (code == 1000)
            session->flags |= SESSION_ENDED;
        shard->ports.sink.close(shard->ports.sink.self, session->sock, code, reason);
        end_when_awake(shard, i);
    }
    return closed;
}
