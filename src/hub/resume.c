/*
 * Sessions that outlive their sockets. One that drops leaves memory at once:
 * what it had is a row, with the time since when it has no socket, and whoever
 * brings its secret within the window has it again.
 *
 *   (opened in the store) ─► connected ── drop ──► a row ── resumed ──► connected
 *                                │                   └── window over, disconnect ──► nothing
 *                                └── goodbye, disconnect ──► nothing
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/err.h"
#include "hub/hub_priv.h"

/* Of an attempt at the row: what it found, or made. */
static const struct dm_store_session *row_of(const struct dm_store_op *op)
{
    return &op->sessions[op->resumed ? 1 : 0];
}

/* --- single rows --- */

/* What dropped before is past its window. */
static uint64_t oldest(struct dm_shard *shard)
{
    uint64_t wall = dm_shard_wall(shard), window = shard->options.resume_window_ms;
    return wall > window ? wall - window : 0;
}

/* Rows that have dropped are looked for from here on. */
static void expect_expiry(struct dm_shard *shard)
{
    if (!shard->expire_at)
        shard->expire_at = dm_shard_now(shard) + shard->options.resume_window_ms;
}

/* Where it failed the old secret still counts: the session's next frame confirms once more. */
static void confirmed(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct session *session = dm_slab_peek(&shard->sessions, op->user);
    if (op->err && session && dm_uuid_eq(&session->id, &op->session_id))
        session->flags |= SESSION_UNCONFIRMED;
    dm_store_op_done(mail, shard);
}

/* Its pending acks are still read from its row: until then nobody may resume it. */
void dm_resume_end(struct dm_shard *shard, const struct session *session)
{
    dm_word_say(shard, DM_STORE_END_SESSION, session->user, &session->id);
}

/* By the time that it is carried out the store may have resumed the session once more: then the
 * secret before is what this socket's client has, and perhaps all that it will get. */
void dm_resume_confirm(struct dm_shard *shard, uint32_t index)
{
    struct session *session = session_at(shard, index);
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_CONFIRM_SESSION, shard->options.number, confirmed);
    session->flags &= (uint8_t)~SESSION_UNCONFIRMED;
    op->session_id = session->id;
    op->user = index;
    memcpy(op->next_resume, session->print, sizeof session->print);
    dm_shard_submit(shard, op);
}

/* Where the writing fails the row is as old as its last good write: all that was answered is in
 * it. */
void dm_resume_drop(struct dm_shard *shard, uint32_t index)
{
    struct session *session = session_at(shard, index);
    if (dm_session_must_write(shard, session)) {
        struct dm_store_op *op =
            dm_store_op_create(DM_STORE_SAVE_USER, shard->options.number, dm_store_op_done);
        op->user_id = dm_store_op_add_text(op, dm_user_id(user_at(shard, session->user)));
        dm_session_add_to(shard, session, op);
        dm_shard_submit(shard, op);
    }
    dm_word_say(shard, DM_STORE_DROP_SESSION, session->user, &session->id);
    expect_expiry(shard);
}

struct ending {
    void (*done)(void *context, int err, struct dm_shard *shard);
    void *context;
};

static void user_ended(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct ending *ending = op->caller;
    shard->ops_out--;
    if (!op->err)
        dm_absent_remove_user(shard, dm_store_op_text(op, op->user_id));
    ending->done(ending->context, op->err, shard);
    free(ending);
    dm_store_op_destroy(op);
}

void dm_resume_end_user(struct dm_shard *shard, struct dm_slice user_id,
                        void (*done)(void *context, int err, struct dm_shard *shard), void *context)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_END_USER, shard->options.number, user_ended);
    struct ending *ending = DM_NEW(struct ending);
    *ending = (struct ending){done, context};
    shard->endings++;
    op->user_id = dm_store_op_add_text(op, user_id);
    op->caller = ending;
    dm_shard_submit(shard, op);
}

/* A disconnect that was carried out while the new session's socket was on its way has ended it. */
static void reopen(struct dm_shard *shard, const struct dm_store_session *row,
                   const struct dm_admission *admission)
{
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_REOPEN_SESSION, shard->options.number, dm_store_op_done);
    const struct dm_store_op *from = admission->row;
    op->user_id = dm_store_op_add_text(op, dm_admission_user(admission));
    dm_store_op_add_session(op, &row->id, dm_store_op_text(from, row->dialect),
                            dm_store_op_text(from, row->filters),
                            dm_store_op_text(from, row->attachment));
    memcpy(op->resume, admission->next_resume, sizeof op->resume); /* it has no earlier one */
    memcpy(op->next_resume, admission->next_resume, sizeof op->next_resume);
    dm_shard_submit(shard, op);
}

/* --- a socket for the session --- */

static const struct dm_slice replaced = DM_SLICE_INIT("Resumed on another socket");

/* No socket has come for the row: it waits for another attempt, if one may be made. */
static void leave(struct dm_shard *shard, uint32_t user, const struct dm_admission *admission,
                  unsigned what)
{
    bool returns = admission->resumed && !(what & ATTEMPT_ENDED);
    if (admission->resumed && dm_session_find(shard, user, &admission->session_id))
        return; /* it has a socket, or its own end is to come */
    dm_word_say(shard, returns ? DM_STORE_DROP_SESSION : DM_STORE_FORGET_SESSION, user,
                &admission->session_id);
    dm_attempt_note(shard, user, &admission->session_id, returns ? ATTEMPT_DROPPED : ATTEMPT_ENDED);
    if (returns)
        dm_absent_renew(shard, dm_admission_user(admission), &admission->session_id);
    else
        dm_absent_remove(shard, dm_admission_user(admission), &admission->session_id);
    expect_expiry(shard);
}

void dm_resume_undo(struct dm_shard *shard, const struct dm_admission *admission)
{
    struct attempt *attempt = admission->attempt;
    leave(shard, dm_user_find(shard, dm_admission_user(admission)), admission,
          dm_attempt_end(&attempt));
}

/* --- the store's part of an admission --- */

/* One that takes a socket's place needs none of its own. */
static bool has_place(const struct dm_shard *shard, uint32_t index,
                      const struct dm_admission *admission)
{
    const struct user *user = user_at(shard, index);
    if (user->session_count + user->places <= shard->options.limits.max_connections_per_user)
        return true;
    uint32_t session =
        admission->resumed ? dm_session_find(shard, index, &admission->session_id) : 0;
    return session && !(session_at(shard, session)->flags & SESSION_GONE);
}

static int note_stored(struct dm_shard *shard, struct dm_admission *admission)
{
    const struct dm_store_op *op = admission->row;
    uint32_t user = dm_user_find(shard, dm_admission_user(admission));
    bool none = op->err && op->err != DM_ERR_COMMIT_UNKNOWN; /* which may have written one */
    if (none || !op->resumed)
        (void)dm_attempt_end(&admission->attempt);
    if (none)
        return op->err;
    admission->resumed = op->resumed;
    admission->session_id = row_of(op)->id;
    if (op->resumed) {
        dm_attempt_found(shard, admission->attempt, &admission->session_id);
        dm_word_resumed(shard, user, &admission->session_id);
    }
    if (!op->err && has_place(shard, user, admission))
        return DM_OK;
    leave(shard, user, admission, dm_attempt_end(&admission->attempt));
    return op->err ? op->err : DM_ERR_MAX_CONNECTIONS;
}

static void stored(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct dm_admission *admission = op->caller;
    shard->ops_out--;
    admission->row = op;
    admission->err = note_stored(shard, admission);
    if (admission->err) {
        dm_place_give_back(shard, dm_admission_user(admission));
        dm_admission_dispose(admission);
    }
    dm_admission_answer(shard, admission);
}

void dm_resume_begin(struct dm_shard *shard, struct dm_admission *admission)
{
    enum dm_store_kind kind = admission->resuming ? DM_STORE_RESUME_SESSION : DM_STORE_OPEN_SESSION;
    struct dm_store_op *op = dm_store_op_create(kind, shard->options.number, stored);
    struct dm_uuid id = dm_shard_mint(shard);
    admission->endings = shard->endings;
    if (admission->resuming)
        admission->attempt =
            dm_attempt_begin(shard, dm_user_find(shard, dm_admission_user(admission)));
    op->caller = admission;
    op->user_id = dm_store_op_add_text(op, dm_admission_user(admission));
    dm_store_op_add_session(op, &id, dm_slice_of(dm_dialect_of(admission->dialect)->name),
                            DM_SLICE("[]"), DM_NO_SLICE);
    memcpy(op->resume, admission->resume, sizeof op->resume);
    memcpy(op->next_resume, admission->next_resume, sizeof op->next_resume);
    op->oldest = oldest(shard);
    dm_shard_submit(shard, op);
}

/* --- a socket that has arrived --- */

/* The session is here: its socket has not been missed yet, or its drop waits for the user's wake.
 */
static void take_over(struct dm_shard *shard, uint32_t index, uint32_t sock)
{
    struct session *session = session_at(shard, index);
    if (session->flags & SESSION_GONE) {
        user_at(shard, session->user)->session_count++;
        dm_metrics_add(shard->metrics, DM_METRIC_SESSIONS, 1);
    } else {
        dm_pace_forget(shard, index); /* of the earlier socket */
        dm_catch_up_end(shard, index);
        dm_metrics_add(shard->metrics, DM_METRIC_CLOSED_REPLACED, 1);
        shard->ports.sink.close(shard->ports.sink.self, session->sock, 4009, replaced);
    }
    session->flags &= (uint8_t) ~(SESSION_GONE | SESSION_HELD);
    session->sock = sock;
}

static uint32_t bring_back(struct dm_shard *shard, uint32_t user,
                           const struct dm_store_session *row, const struct dm_admission *admission,
                           uint32_t sock)
{
    uint32_t index = dm_session_add(shard, user, &admission->session_id, admission->dialect, sock);
    struct session *session = session_at(shard, index);
    struct dm_store_op *op = admission->row;
    enum user_state state = user_at(shard, user)->state;
    session->flags |= SESSION_STORED;
    if (!dm_slice_eq(dm_store_op_text(op, row->filters), DM_SLICE("[]")))
        session->flags |= SESSION_FILTERED;
    if (state == USER_AWAKE || state == USER_SAVING) {
        dm_store_op_sort(op);
        dm_session_restore(shard, index, op);
    }
    return index;
}

/* The row is what the session had when the store was asked; what is in memory is newer. */
static void welcome(struct dm_shard *shard, const struct session *session,
                    const struct dm_store_session *row, const struct dm_admission *admission)
{
    const struct session_state *state = session->state ? state_at(shard, session->state) : NULL;
    struct dm_welcome welcome = {
        .session_id = session->id,
        .resume = dm_slice(admission->next_secret, sizeof admission->next_secret),
        .user_id = dm_admission_user(admission),
        .resumed = admission->resumed,
        .attachment = state ? state->attachment : dm_store_op_text(admission->row, row->attachment),
    };
    dm_buf_clear(&shard->text);
    dm_dialect_of(session->dialect)->welcome(&welcome, &shard->text);
    dm_session_send_text(shard, session->sock, dm_buf_slice(&shard->text));
}

/* What the store answered does not hold any more, and memory does not know better; or there is
 * something in memory that the welcome must not tell before it is in the store. */
static bool is_outdated(const struct dm_shard *shard, uint32_t index, unsigned what)
{
    if (what & (ATTEMPT_ENDED | ATTEMPT_BEATEN))
        return true;
    if (!index)
        return what & ATTEMPT_WRITTEN;
    const struct session *session = session_at(shard, index);
    if (session->flags & SESSION_ENDED)
        return true;
    return (what & ATTEMPT_WRITTEN) &&
           (!session->state || dm_awake_of(shard, session->user)->writes);
}

/* It has dropped since the store was asked, so long ago that its row may have gone meanwhile. */
static bool is_over(const struct dm_shard *shard, uint32_t index,
                    const struct dm_admission *admission, unsigned what)
{
    return !index && (what & ATTEMPT_DROPPED) &&
           !dm_absent_is(shard, dm_admission_user(admission), &admission->session_id);
}

static void refuse(struct dm_shard *shard, uint32_t user, const struct dm_admission *admission,
                   uint32_t sock, unsigned what)
{
    bool beaten = what & ATTEMPT_BEATEN;
    dm_metrics_add(shard->metrics, DM_METRIC_CLOSED_REPLACED, 1);
    shard->ports.sink.close(shard->ports.sink.self, sock, beaten ? 4009 : 1013,
                            beaten ? replaced : DM_SLICE("The session has just changed"));
    leave(shard, user, admission, what);
    dm_user_free_if_unused(shard, user);
}

uint32_t dm_resume_open(struct dm_shard *shard, const struct dm_admission *admission, uint32_t sock)
{
    struct dm_store_session row = *row_of(admission->row); /* bringing it back sorts the rows */
    struct attempt *attempt = admission->attempt;
    uint32_t user = dm_user_find(shard, dm_admission_user(admission));
    uint32_t index = admission->resumed ? dm_session_find(shard, user, &admission->session_id) : 0;
    unsigned what = dm_attempt_end(&attempt);
    if (is_over(shard, index, admission, what))
        what |= ATTEMPT_ENDED;
    if (admission->resumed && is_outdated(shard, index, what)) {
        refuse(shard, user, admission, sock, what);
        return 0;
    }
    if (what & ATTEMPT_DROPPED)
        dm_word_say(shard, DM_STORE_CONNECT_SESSION, user, &admission->session_id);
    if (index) {
        take_over(shard, index, sock);
    } else {
        index = bring_back(shard, user, &row, admission, sock);
        dm_presence_came(shard, index);
        dm_absent_remove(shard, dm_admission_user(admission), &admission->session_id);
    }
    memcpy(session_at(shard, index)->print, admission->next_resume, DM_RESUME_PRINT_LEN);
    if (admission->resumed) {
        session_at(shard, index)->flags |= SESSION_UNCONFIRMED;
        dm_metrics_add(shard->metrics, DM_METRIC_RESUMES, 1);
    }
    if (!admission->resumed && admission->endings != shard->endings)
        reopen(shard, &row, admission);
    welcome(shard, session_at(shard, index), &row, admission);
    dm_catch_up_begin(shard, index, NULL);
    return index;
}

/* --- expiry --- */

enum { LOOKS_A_WINDOW = 4, LOOK_MS_MIN = 1000 };

/* Rows need a look only once one has dropped; a deletion of nothing writes nothing. */
uint64_t dm_resume_tick(struct dm_shard *shard, uint64_t now)
{
    if (!shard->expire_at)
        return UINT64_MAX;
    if (now < shard->expire_at)
        return shard->expire_at;
    uint64_t pause = shard->options.resume_window_ms / LOOKS_A_WINDOW;
    struct dm_store_op *op =
        dm_store_op_create(DM_STORE_EXPIRE_SESSIONS, shard->options.number, dm_store_op_done);
    op->oldest = oldest(shard);
    dm_shard_submit(shard, op);
    shard->expire_at = now + (pause > LOOK_MS_MIN ? pause : LOOK_MS_MIN);
    return shard->expire_at;
}
