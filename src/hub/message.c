/* What a session's messages do. */
#include "hub/session.h"

#include "hub/hub_priv.h"

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

/* With other filters it may take what it is owed and did not take before. */
static int change_filters_and_catch_up(struct dm_shard *shard, uint32_t index,
                                       const struct dm_command *command)
{
    const struct session *session = session_at(shard, index);
    struct dm_filter_set before = {0};
    if (!shard->holds_publishes || dm_session_takes_all(session))
        return change_filters(shard, index, command);
    dm_filter_set_copy(&before, &dm_session_state(shard, index)->filters);
    int err = change_filters(shard, index, command);
    if (command->kind == DM_COMMAND_SUBSCRIBE || dm_session_takes_all(session))
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
    struct dm_buf claims = DM_BUF_INIT;
    int err = shard->ports.verify.token(shard->ports.verify.self, session->sock, token,
                                        dm_user_id(user), &expires_ms, &may_publish, &claims);
    if (err == DM_OK) {
        dm_expiry_set(shard, index, expires_ms);
        dm_session_let_publish(shard, index, may_publish);
        dm_claims_set(shard, index, dm_buf_slice(&claims));
    }
    dm_buf_dispose(&claims);
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

static bool is_of_channels(enum dm_command_kind kind)
{
    return kind == DM_COMMAND_JOIN || kind == DM_COMMAND_LEAVE || kind == DM_COMMAND_WHISPER ||
           kind == DM_COMMAND_PRESENCE;
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
    if (is_of_channels(command.kind)) {
        if (dm_channel_command_waits(shard, index, command.kind))
            return DM_SESSION_HOLD;
        dm_channel_command(shard, index, &command);
        return DM_SESSION_TAKEN;
    }
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
