/* Starting the store's threads. */
#ifndef DM_STORE_THREAD_PRIV_H
#define DM_STORE_THREAD_PRIV_H

#include <pthread.h>
#include <stdbool.h>

#include "base/check.h"

/* Signals are left to the threads that were there before: all are blocked in the new one. False
 * if the system has no more threads to give. */
bool dm_thread_start(pthread_t *out, const char *name, void *(*run)(void *),
                     void *self) DM_MUST_CHECK;

#endif
