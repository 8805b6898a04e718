/* Sessions from their place to their end, and what a message of one does. */
#include "hub/session.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

/* --- places --- */

static void admitted(struct dm_mail *mail, struct dm_shard *here)
{
    struct dm_admission *admission = DM_CONTAINER(mail, struct dm_admission, mail);
    admission->done(admission, here);
}

/* What is to be resumed may take the place of a socket that is there: that is only known once the
 * store has answered, and so many may be asking it. */
static int take_place(struct dm_shard *shard, const struct dm_admission *admission)
{
    uint32_t most = shard->options.limits.max_connections_per_user;
    struct dm_slice user_id = dm_admission_user(admission);
    uint32_t found = dm_user_find(shard, user_id);
    if (found) {
        const struct user *user = user_at(shard, found);
        if (user->session_count + user->places >= (admission->resuming ? 2 * most : most) ||
            user->places == UINT16_MAX)
            return DM_ERR_MAX_CONNECTIONS;
    }
    user_at(shard, dm_user_find_or_add(shard, user_id))->places++;
    return DM_OK;
}

void dm_admission_answer(struct dm_shard *shard, struct dm_admission *admission)
{
    if (admission->origin == shard->options.number) {
        admission->done(admission, shard);
        return;
    }
    admission->mail.run = admitted;
    shard->ports.post.send(shard->ports.post.self, admission->origin, &admission->mail);
}

static void admit(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_admission *admission = DM_CONTAINER(mail, struct dm_admission, mail);
    admission->err = take_place(shard, admission);
    if (admission->err == DM_OK && dm_dialect_of(admission->dialect)->resumes)
        dm_resume_begin(shard, admission);
    else
        dm_admission_answer(shard, admission);
}

void dm_admission_dispose(struct dm_admission *admission)
{
    dm_store_op_destroy(admission->row);
    admission->row = NULL;
}

void dm_session_admit(struct dm_shard *shard, struct dm_admission *admission)
{
    uint32_t owner = dm_shard_owner(shard, dm_admission_user(admission));
    admission->origin = shard->options.number;
    admission->mail.run = admit;
    if (owner == admission->origin)
        admit(&admission->mail, shard);
    else
        shard->ports.post.send(shard->ports.post.self, owner, &admission->mail);
}

void dm_place_give_back(struct dm_shard *shard, struct dm_slice user_id)
{
    uint32_t user = dm_user_find(shard, user_id);
    DM_CHECK(user && user_at(shard, user)->places > 0);
    user_at(shard, user)->places--;
    dm_user_free_if_unused(shard, user);
}

static void withdraw_here(struct dm_shard *shard, const struct dm_admission *admission)
{
    if (dm_dialect_of(admission->dialect)->resumes)
        dm_resume_undo(shard, admission);
    dm_place_give_back(shard, dm_admission_user(admission));
}

static void withdraw(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_admission *order = DM_CONTAINER(mail, struct dm_admission, mail);
    withdraw_here(shard, order);
    free(order);
}

void dm_session_withdraw(struct dm_shard *shard, const struct dm_admission *admission)
{
    uint32_t owner = dm_shard_owner(shard, dm_admission_user(admission));
    if (owner == shard->options.number) {
        withdraw_here(shard, admission);
        return;
    }
    struct dm_admission *order = dm_memdup(admission, sizeof *admission);
    order->row = NULL;
    order->mail.run = withdraw;
    shard->ports.post.send(shard->ports.post.self, owner, &order->mail);
}

/* --- the session's own life --- */

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

static void let_publish(struct dm_shard *shard, uint32_t index, bool may)
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
    if (session)
        let_publish(shard, session, admission->may_publish);
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
    if (returns)
        dm_resume_drop(shard, index);
    dm_session_drop_pendings(shard, index, returns);
    dm_session_drop_state(shard, session);
    if (!returns)
        forget_row(shard, session);
    dm_attempt_note(shard, owner, &session->id, returns ? ATTEMPT_DROPPED : ATTEMPT_ENDED);
    dm_expiry_set(shard, index, 0);
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

/* --- messages --- */

/* DM_ERR_TOO_MANY_FILTERS: some were not taken; those that were, stay. */
static int change_filters(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    struct session *session = session_at(shard, index);
    struct session_state *state = dm_session_state(shard, index);
    bool changed = command->kind == DM_COMMAND_SUBSCRIBE
                       ? dm_filter_set_add(&state->filters, command->filters,
                                           shard->options.limits.max_filters_per_session)
                       : dm_filter_set_remove(&state->filters, command->filters);
    bool full = command->kind == DM_COMMAND_SUBSCRIBE && state->filters.full;
    int err = full ? DM_ERR_TOO_MANY_FILTERS : DM_OK;
    if (full)
        dm_metrics_refuse(shard->metrics, err);
    if (!changed)
        return err;
    state->unwritten = true;
    if (state->filters.count)
        session->flags |= SESSION_FILTERED;
    else
        session->flags &= (uint8_t)~SESSION_FILTERED;
    return err;
}

static bool takes_all(const struct session *session)
{
    return !(session->flags & SESSION_FILTERED) && !dm_dialect_of(session->dialect)->needs_filters;
}

/* With other filters it may take what it is owed and did not take before. */
static int change_filters_and_catch_up(struct dm_shard *shard, uint32_t index,
                                       const struct dm_command *command)
{
    const struct session *session = session_at(shard, index);
    struct dm_filter_set before = {0};
    if (!shard->holds_publishes || takes_all(session))
        return change_filters(shard, index, command);
    dm_filter_set_copy(&before, &dm_session_state(shard, index)->filters);
    int err = change_filters(shard, index, command);
    if (command->kind == DM_COMMAND_SUBSCRIBE || takes_all(session))
        dm_catch_up_begin(shard, index, &before);
    else
        dm_filter_set_dispose(&before);
    return err;
}

void dm_session_send_text(struct dm_shard *shard, uint32_t sock, struct dm_slice text)
{
    struct dm_wire *wire = dm_wire_create(DM_OP_TEXT, text);
    shard->ports.sink.send(shard->ports.sink.self, sock, wire);
    dm_wire_release(wire);
}

static void attach(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    struct session_state *state = dm_session_state(shard, index);
    dm_session_attach(state, command->attachment);
    state->unwritten = true;
}

static void carry_out(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    struct session *session = session_at(shard, index);
    bool resumes = dm_dialect_of(session->dialect)->resumes;
    dm_user_touch(shard, session->user);
    if (command->kind == DM_COMMAND_ACK) {
        dm_session_ack(shard, index, command);
        return;
    }
    int err = DM_OK;
    if (command->kind == DM_COMMAND_ATTACH)
        attach(shard, index, command);
    else
        err = change_filters_and_catch_up(shard, index, command);
    if (err)
        dm_answer(shard, session, command->ref, err, DM_NO_SLICE);
    if (resumes)
        dm_answer_when_written(shard, index, err ? DM_NO_SLICE : command->ref);
}

static int refresh(struct dm_shard *shard, uint32_t index, struct dm_slice token)
{
    const struct session *session = session_at(shard, index);
    const struct user *user = user_at(shard, session->user);
    uint64_t expires_ms = 0;
    bool may_publish = false;
    int err = shard->ports.verify.token(shard->ports.verify.self, session->sock, token,
                                        dm_user_id(user), &expires_ms, &may_publish);
    if (err == DM_OK) {
        dm_expiry_set(shard, index, expires_ms);
        let_publish(shard, index, may_publish);
    }
    return err;
}

/* What needs nothing of the user: answered, and nobody wakes. */
static bool answer_at_once(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    const struct session *session = session_at(shard, index);
    switch (command->kind) {
    case DM_COMMAND_IGNORE:
        return true;
    case DM_COMMAND_FIXED:
        dm_metrics_add(shard->metrics, DM_METRIC_FIXED_ANSWERS, 1);
        dm_session_send_text(shard, session->sock, command->answer);
        return true;
    case DM_COMMAND_PING:
        dm_metrics_add(shard->metrics, DM_METRIC_FIXED_ANSWERS, 1);
        dm_answer(shard, session, command->ref, DM_OK, DM_NO_SLICE);
        return true;
    case DM_COMMAND_REFUSED:
        dm_answer(shard, session, command->ref, command->err, command->why);
        return true;
    case DM_COMMAND_REFRESH:
        dm_answer(shard, session, command->ref, refresh(shard, index, command->token), DM_NO_SLICE);
        return true;
    case DM_COMMAND_PUBLISH:
        dm_session_publish(shard, index, command);
        return true;
    case DM_COMMAND_ATTACH:
        if (command->attachment.len <= shard->options.limits.max_attachment)
            return false;
        dm_answer(shard, session, command->ref, DM_ERR_TOO_LARGE, DM_NO_SLICE);
        return true;
    default:
        return false;
    }
}

/* An ack of an envelope that nobody awaits, or an unsubscribe with nothing subscribed, changes
 * nothing: such a message wakes nobody. */
static bool changes_nothing(const struct dm_shard *shard, const struct session *session,
                            const struct dm_command *command)
{
    if (command->kind == DM_COMMAND_ACK)
        return dm_delivery_find(shard, session->user, &command->envelope) == 0;
    return command->kind == DM_COMMAND_UNSUBSCRIBE && !(session->flags & SESSION_FILTERED);
}

static enum dm_session_answer take_message(struct dm_shard *shard, uint32_t index, bool binary,
                                           struct dm_slice message)
{
    struct session *session = session_at(shard, index);
    struct dm_command command;
    dm_dialect_of(session->dialect)->read(message, binary, &shard->scratch, &command);
    if (session->flags & SESSION_UNCONFIRMED)
        dm_resume_confirm(shard, index);
    if (answer_at_once(shard, index, &command))
        return DM_SESSION_TAKEN;
    if (user_at(shard, session->user)->state == USER_ASLEEP &&
        changes_nothing(shard, session, &command)) {
        if (command.kind == DM_COMMAND_ACK)
            dm_session_ack_unawaited(shard, index, &command);
        else
            dm_answer(shard, session, command.ref, DM_OK, DM_NO_SLICE);
        return DM_SESSION_TAKEN;
    }
    if (!dm_user_rouse(shard, session->user)) {
        session->flags |= SESSION_HELD;
        return DM_SESSION_HOLD;
    }
    carry_out(shard, index, &command);
    return DM_SESSION_TAKEN;
}

/* Refused at once, so that a client that goes by answers is not left without one; where a dialect
 * has none, what it says waits. */
static enum dm_session_answer exceed(struct dm_shard *shard, uint32_t index, bool binary,
                                     struct dm_slice message)
{
    const struct session *session = session_at(shard, index);
    const struct dm_dialect *dialect = dm_dialect_of(session->dialect);
    struct dm_command command;
    if (!dialect->answer) {
        dm_pace_hold(shard, index);
        return DM_SESSION_SLOW;
    }
    dialect->read(message, binary, &shard->scratch, &command);
    dm_metrics_refuse(shard->metrics, DM_ERR_RATE_LIMITED);
    dm_answer(shard, session, command.ref, DM_ERR_RATE_LIMITED,
              DM_SLICE("Too many messages in a second"));
    return DM_SESSION_TAKEN;
}

enum dm_session_answer dm_session_message(struct dm_shard *shard, uint32_t session, bool binary,
                                          struct dm_slice message)
{
    if (!shard->options.limits.rate_messages)
        return take_message(shard, session, binary, message);
    if (!dm_pace_spend(shard, session))
        return exceed(shard, session, binary, message);
    enum dm_session_answer answer = take_message(shard, session, binary, message);
    if (answer == DM_SESSION_HOLD)
        dm_pace_refund(shard, session); /* it will be offered again */
    return answer;
}
