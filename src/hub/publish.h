/*
 * Publishing an envelope to users and waiting for their sessions' acks
 * (seed: HopeFlow Realtime, POST /publish).
 *
 * One shard coordinates a publish: the target's owner where there is one
 * target, else the shard that was asked. It scatters the envelope to the
 * owners, gathers counts and ack results, and answers when every awaited ack
 * is in or the timeout has come. What is for a channel is coordinated by the
 * shard that the channel's name picks, and goes to all shards: so a channel's
 * publishes come in one order everywhere.
 *
 * One that is durable or repeatable is recorded in the store before anybody is
 * sent it, and its answer before anybody is told; the shard that its id picks
 * does that, so that the same asked twice meets there, and coordinates it where
 * it is not for a channel. The members of its channel are its targets then, as
 * they were when it was recorded.
 */
#ifndef DM_HUB_PUBLISH_H
#define DM_HUB_PUBLISH_H

#include <stdatomic.h>

#include "base/list.h"
#include "hub/shard.h"
#include "model/envelope.h"
#include "model/publication.h"
#include "ports/store_publish.h"

/* Results that the store has, shared by all who have asked for them. Any thread. */
struct dm_stored_results {
    _Atomic uint32_t refs;
    struct dm_buf json;
};

struct dm_publish {
    struct dm_mail mail;
    uint32_t origin; /* set by dm_publish */

    /* Asked. All of it stays good and unchanged until `done`. */
    struct dm_envelope *envelope;   /* the caller's reference */
    const struct dm_slice *targets; /* valid userIds, each once */
    uint32_t target_count;
    struct dm_slice channel;       /* or the one that it is for: its members and listeners */
    struct dm_slice except_user;   /* to all of them but this one; absent: to all */
    struct dm_uuid except_session; /* the same for one session; all zero: none */
    uint32_t timeout_ms;           /* 0: wait for no ack */
    bool durable;    /* owed to each target until one of its sessions acks, or `ttl_ms` */
    bool repeatable; /* the id is the caller's: asked again it is the same publish */
    uint64_t ttl_ms;
    struct dm_slice principal;              /* of a recorded one: who asks */
    unsigned char body_hash[DM_SHA256_LEN]; /* of a repeatable one: what is asked */

    /* Answered. */
    int err;               /* DM_ERR_TOO_MANY_TARGETS: its channel has too many members for one
                            * that is recorded; DM_ERR_UNAVAILABLE: some target could not be reached, or the
                            * store;               DM_ERR_COMMIT_UNKNOWN; DM_ERR_CONFLICT: another publish has the
                            * id;               DM_ERR_OWED_TOO_MUCH: to some target */
    int *target_errs;      /* NULL, or room for one code a target, zeroed by the caller */
    uint32_t client_count; /* sessions whose dialect acks */
    uint32_t delivered;    /* all sessions */
    uint32_t members;      /* of the channel */
    uint32_t owed;         /* targets that a durable one is still owed to */
    uint32_t result_count;
    /* JSON values in order of arrival, with commas between: dm_publish_results has them. */
    struct dm_buf results;            /* of one that is in memory alone */
    struct dm_stored_results *stored; /* of a recorded one; NULL: none */

    struct dm_list asking;       /* the hub's: those that wait for the same answer */
    uint64_t number;             /* the hub's: of a recorded one */
    struct dm_slice *members_at; /* the hub's: the targets that its channel had */
    struct dm_buf members_text;
    struct record *record; /* the hub's: on the way to its coordinator */

    void (*done)(struct dm_publish *publish, struct dm_shard *here);
};

/* Fills what is asked in, from what was read: that and `principal` stay the caller's, and good. */
void dm_publish_prepare(struct dm_shard *shard, struct dm_publish *publish,
                        const struct dm_publication *from, struct dm_slice principal);
void dm_publish_dispose(struct dm_publish *publish); /* not the struct itself */
struct dm_slice dm_publish_results(const struct dm_publish *publish);

/* The answer as JSON members: "envelopeId":…,"clientCount":…,"delivered":…,"results":[…], and
 * "owed":… of a durable one. */
void dm_publish_describe(const struct dm_publish *publish, struct dm_buf *out);

/* On any shard; `done` is run on the same, perhaps before this returns. The struct is the caller's
 * throughout. */
void dm_publish(struct dm_shard *shard, struct dm_publish *publish);

/* What has become of a recorded publish. */
struct dm_publish_look {
    /* Asked. */
    struct dm_uuid envelope_id;
    struct dm_slice principal; /* who must have published it; absent: anybody */
    /* Answered; good until `done` returns. */
    int err;                              /* DM_ERR_NOT_FOUND, DM_ERR_UNAVAILABLE */
    const struct dm_store_publish *found; /* its `found` is OPEN or DONE */
    void (*done)(struct dm_publish_look *look, struct dm_shard *here);
};

/* On any shard; `done` is run on the same, later. */
void dm_publish_look_up(struct dm_shard *shard, struct dm_publish_look *look);

#endif
