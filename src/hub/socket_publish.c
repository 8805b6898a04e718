/* `publish` on a session's socket: as POST /publish, and answered on the socket. */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

struct socket_publish {
    struct dm_publish publish;
    struct dm_publication from;
    struct dm_buf principal, body;
    struct addressee *to;
};

static void destroy(struct socket_publish *asked)
{
    dm_publish_dispose(&asked->publish);
    dm_publication_dispose(&asked->from);
    dm_buf_dispose(&asked->principal);
    dm_buf_dispose(&asked->body);
    free(asked);
}

static void published(struct dm_publish *publish, struct dm_shard *shard)
{
    struct socket_publish *asked = DM_CONTAINER(publish, struct socket_publish, publish);
    struct dm_buf answer = DM_BUF_INIT;
    shard->socket_publishes--;
    if (publish->err) {
        dm_addressee_answer(shard, asked->to, publish->err);
    } else {
        dm_publish_describe(publish, &answer);
        if (answer.len < shard->options.limits.max_unsent)
            dm_addressee_tell(shard, asked->to, dm_buf_slice(&answer));
        else /* it would close the socket; GET /publish/{id} has it where it is recorded */
            dm_addressee_answer(shard, asked->to, DM_ERR_TOO_LARGE);
    }
    dm_buf_dispose(&answer);
    destroy(asked);
}

static int read(struct dm_shard *shard, const struct session *session, struct socket_publish *asked,
                struct dm_slice *why)
{
    if (!(session->flags & SESSION_MAY_PUBLISH))
        return DM_ERR_FORBIDDEN;
    if (shard->options.max_publishes && shard->socket_publishes >= shard->options.max_publishes)
        return DM_ERR_OVERLOADED;
    return dm_publication_read(&asked->from, dm_buf_slice(&asked->body),
                               shard->options.limits.max_targets, why);
}

/* The message is gone when this returns, and its session may be gone when it is answered. */
void dm_session_publish(struct dm_shard *shard, uint32_t index, const struct dm_command *command)
{
    const struct session *session = session_at(shard, index);
    struct socket_publish *asked = DM_NEW(struct socket_publish);
    struct dm_slice why = DM_NO_SLICE;
    dm_buf_add_slice(&asked->body, command->body);
    int err = read(shard, session, asked, &why);
    if (err) {
        dm_metrics_refuse(shard->metrics, err);
        dm_answer(shard, session, command->ref, err, why);
        destroy(asked);
        return;
    }
    dm_buf_lit(&asked->principal, "user:");
    dm_buf_add_slice(&asked->principal, dm_user_id(user_at(shard, session->user)));
    dm_publish_prepare(shard, &asked->publish, &asked->from, dm_buf_slice(&asked->principal));
    asked->publish.done = published;
    asked->to = dm_addressee_create(shard, index, command->ref);
    shard->socket_publishes++;
    dm_publish(shard, &asked->publish);
}
