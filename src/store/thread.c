/* A named thread that takes no signals. */
#include "store/thread_priv.h"

#include <signal.h>

bool dm_thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, NULL, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return false;
    pthread_setname_np(*out, name);
    return true;
}
