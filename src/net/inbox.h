/*
 * A loop's mail: any thread puts it in, the loop's own runs it. Many at once
 * cost one lock and wake the loop once, when all of them are there. Private to
 * net/; begins with h2o's receiver.
 */
#ifndef DM_NET_INBOX_H
#define DM_NET_INBOX_H

#include <h2o.h>
#include <pthread.h>

#include "base/list.h"
#include "ports/mail.h"

struct dm_inbox {
    h2o_multithread_receiver_t receiver;
    h2o_multithread_message_t wake;
    pthread_mutex_t mutex; /* of the rest */
    struct dm_list mails;
    bool waking; /* `wake` is on its way */
};

void dm_inbox_init(struct dm_inbox *inbox);
void dm_inbox_dispose(struct dm_inbox *inbox); /* what has come and was not run stays so */

/* The loop's own thread: from here on it is woken, and is to call dm_inbox_run then. */
void dm_inbox_open(struct dm_inbox *inbox, h2o_multithread_queue_t *queue,
                   h2o_multithread_receiver_cb on_wake);
void dm_inbox_run(struct dm_inbox *inbox, h2o_linklist_t *messages, struct dm_shard *here);

/* Any thread, once it is open. */
void dm_inbox_put(struct dm_inbox *inbox, struct dm_mail *const *mails, size_t count);

#endif
