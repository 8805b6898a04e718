/* Posting many. */
#include "ports/mail.h"

void dm_post_all(const struct dm_post *post, uint32_t shard, struct dm_mail *const *mails,
                 size_t count)
{
    if (post->send_all && count) {
        post->send_all(post->self, shard, mails, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        post->send(post->self, shard, mails[i]);
}
