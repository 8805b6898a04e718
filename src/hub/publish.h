/*
 * Publishing an envelope to users and waiting for their sessions' acks
 * (seed: HopeFlow Realtime, POST /publish).
 *
 * One shard coordinates a publish: the target's owner where there is one
 * target, else the shard that was asked. It scatters the envelope to the
 * owners, gathers counts and ack results, and answers when every awaited ack
 * is in or the timeout has come.
 */
#ifndef DM_HUB_PUBLISH_H
#define DM_HUB_PUBLISH_H

#include "hub/shard.h"
#include "model/envelope.h"

struct dm_publish {
    struct dm_mail mail;
    uint32_t origin; /* set by dm_publish */

    /* Asked. All of it stays good and unchanged until `done`. */
    struct dm_envelope *envelope;   /* the caller's reference */
    const struct dm_slice *targets; /* valid userIds, each once */
    uint32_t target_count;
    uint32_t timeout_ms; /* 0: wait for no ack */

    /* Answered. */
    int err;               /* DM_ERR_UNAVAILABLE if some target could not be reached */
    int *target_errs;      /* NULL, or room for one code a target, zeroed by the caller */
    uint32_t client_count; /* sessions whose dialect acks */
    uint32_t delivered;    /* all sessions */
    uint32_t result_count;
    struct dm_buf results; /* JSON values in order of arrival, with commas between */

    void (*done)(struct dm_publish *publish, struct dm_shard *here);
};

/* On any shard; `done` is run on the same, perhaps before this returns. The struct is the caller's
 * throughout. */
void dm_publish(struct dm_shard *shard, struct dm_publish *publish);

#endif
