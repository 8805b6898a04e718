/* A list under a mutex, and one message of h2o's that says that it has something. */
#include "net/inbox.h"

#include "base/check.h"

void dm_inbox_init(struct dm_inbox *inbox)
{
    pthread_mutex_init(&inbox->mutex, NULL);
    dm_list_init(&inbox->mails);
}

void dm_inbox_dispose(struct dm_inbox *inbox)
{
    pthread_mutex_destroy(&inbox->mutex);
}

void dm_inbox_open(struct dm_inbox *inbox, h2o_multithread_queue_t *queue,
                   h2o_multithread_receiver_cb on_wake)
{
    h2o_multithread_register_receiver(queue, &inbox->receiver, on_wake);
}

void dm_inbox_put(struct dm_inbox *inbox, struct dm_mail *const *mails, size_t count)
{
    pthread_mutex_lock(&inbox->mutex);
    for (size_t i = 0; i < count; i++)
        dm_list_push(&inbox->mails, (struct dm_list *)mails[i]->links);
    bool wake = !inbox->waking;
    inbox->waking = true;
    pthread_mutex_unlock(&inbox->mutex);
    if (wake)
        h2o_multithread_send_message(&inbox->receiver, &inbox->wake);
}

/* What is there is taken as a whole. From then on new mail wakes the loop anew. */
static void take(struct dm_inbox *inbox, struct dm_list *mails)
{
    dm_list_init(mails);
    pthread_mutex_lock(&inbox->mutex);
    if (!dm_list_empty(&inbox->mails)) {
        *mails = inbox->mails;
        mails->next->prev = mails->prev->next = mails;
        dm_list_init(&inbox->mails);
    }
    inbox->waking = false;
    pthread_mutex_unlock(&inbox->mutex);
}

void dm_inbox_run(struct dm_inbox *inbox, h2o_linklist_t *messages, struct dm_shard *here)
{
    struct dm_list mails, *link;
    while (!h2o_linklist_is_empty(messages))
        h2o_linklist_unlink(messages->next);
    take(inbox, &mails);
    while ((link = dm_list_shift(&mails)) != NULL) {
        struct dm_mail *mail = DM_CONTAINER(link, struct dm_mail, links);
        mail->run(mail, here);
    }
}
