/* Answers to commands: at once, or once what was commanded is in the store. */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

void dm_answer(struct dm_shard *shard, const struct session *session, struct dm_slice ref, int err,
               struct dm_slice why)
{
    const struct dm_dialect *dialect = dm_dialect_of(session->dialect);
    bool wanted = ref.at || (err && err != DM_ERR_NOT_FOUND);
    if (!dialect->answer || !wanted)
        return;
    dm_buf_clear(&shard->text);
    dialect->answer(ref, err, why, DM_NO_SLICE, &shard->text);
    dm_session_send_text(shard, session->sock, dm_buf_slice(&shard->text));
}

/* Whom to answer: the session may have gone meanwhile, and its number be another's; or it is on
 * another socket, whose client has refs of its own. */
struct addressee {
    uint32_t session, sock;
    unsigned char print[DM_RESUME_PRINT_LEN]; /* numbers of sockets come again: welcomes differ */
    struct dm_uuid id;
    struct dm_slice ref;
    char bytes[];
};

struct addressee *dm_addressee_create(const struct dm_shard *shard, uint32_t session,
                                      struct dm_slice ref)
{
    struct addressee *addressee = dm_alloc(sizeof *addressee + ref.len);
    const struct session *its = session_at(shard, session);
    *addressee = (struct addressee){.session = session, .sock = its->sock, .id = its->id};
    memcpy(addressee->print, its->print, sizeof its->print);
    if (ref.at) {
        memcpy(addressee->bytes, ref.at, ref.len);
        addressee->ref = dm_slice(addressee->bytes, ref.len);
    }
    return addressee;
}

static bool is_still(const struct session *session, const struct addressee *addressee)
{
    return dm_uuid_eq(&session->id, &addressee->id) && session->sock == addressee->sock &&
           memcmp(session->print, addressee->print, sizeof session->print) == 0 &&
           !(session->flags & SESSION_GONE);
}

static const struct session *session_of(const struct dm_shard *shard,
                                        const struct addressee *addressee)
{
    const struct session *session = dm_slab_peek(&shard->sessions, addressee->session);
    return session && is_still(session, addressee) ? session : NULL;
}

const struct dm_uuid *dm_addressee_session(const struct addressee *addressee)
{
    return &addressee->id;
}

void dm_addressee_answer(struct dm_shard *shard, struct addressee *addressee, int err)
{
    const struct session *session = session_of(shard, addressee);
    if (session)
        dm_answer(shard, session, addressee->ref, err, DM_NO_SLICE);
    free(addressee);
}

void dm_addressee_tell(struct dm_shard *shard, struct addressee *addressee, struct dm_slice more)
{
    const struct session *session = session_of(shard, addressee);
    if (session && addressee->ref.at) {
        dm_buf_clear(&shard->text);
        dm_dialect_of(session->dialect)
            ->answer(addressee->ref, DM_OK, DM_NO_SLICE, more, &shard->text);
        dm_session_send_text(shard, session->sock, dm_buf_slice(&shard->text));
    }
    free(addressee);
}

static void written(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    shard->ops_out--;
    dm_awake_of(shard, op->user)->writes--;
    if (op->err) {
        dm_user_mark_unwritten(shard, op->user);
        shard->store_retry_at = dm_shard_now(shard) + STORE_RETRY_MS;
    }
    dm_addressee_answer(shard, op->caller, op->err);
    dm_user_free_if_unused(shard, op->user);
    dm_store_op_destroy(op);
}

void dm_answer_when_written(struct dm_shard *shard, uint32_t index, struct dm_slice ref)
{
    struct session *session = session_at(shard, index);
    struct dm_store_op *op = dm_store_op_create(DM_STORE_SAVE_USER, shard->options.number, written);
    op->user = session->user;
    op->user_id = dm_store_op_add_text(op, dm_user_id(user_at(shard, session->user)));
    op->caller = dm_addressee_create(shard, index, ref);
    dm_session_add_to(shard, session, op);
    dm_awake_of(shard, session->user)->writes++;
    dm_shard_submit(shard, op);
}
