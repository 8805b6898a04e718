/* Places: what an upgrade is given before its socket comes. */
#include "hub/session.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

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
    dm_buf_dispose(&admission->claims);
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
    order->claims = (struct dm_buf)DM_BUF_INIT;
    order->mail.run = withdraw;
    shard->ports.post.send(shard->ports.post.self, owner, &order->mail);
}
