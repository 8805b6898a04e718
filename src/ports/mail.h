/*
 * How threads meet: a mail is handed to a shard and run on that shard's
 * thread, in the order in which any one thread posted. It is linked into its
 * receiver's queue by its own head, so that posting allocates nothing; whoever
 * runs it owns it. The hub, the store and the edge all post through dm_post.
 */
#ifndef DM_PORTS_MAIL_H
#define DM_PORTS_MAIL_H

#include <stddef.h>
#include <stdint.h>

struct dm_shard;
struct dm_mail;

typedef void (*dm_mail_run)(struct dm_mail *mail, struct dm_shard *here);

struct dm_mail {
    void *links[2]; /* the transport's */
    dm_mail_run run;
};

struct dm_post {
    void *self;
    void (*send)(void *self, uint32_t shard, struct dm_mail *mail); /* any thread */
    /* The same for many at once, in order. NULL: one by one. */
    void (*send_all)(void *self, uint32_t shard, struct dm_mail *const *mails, size_t count);
};

void dm_post_all(const struct dm_post *post, uint32_t shard, struct dm_mail *const *mails,
                 size_t count);

#endif
