/*
 * The limits that every layer knows, in bytes and counts: what a deployment
 * may set (the struct, filled from the configuration), and what is fixed.
 */
#ifndef DM_MODEL_LIMITS_H
#define DM_MODEL_LIMITS_H

#include <stdint.h>

enum {
    DM_USER_ID_MAX = 128,                   /* bytes */
    DM_CHANNEL_NAME_MAX = 200,              /* bytes; topics, rooms and resources too */
    DM_TYPE_MAX = 1024,                     /* bytes of an envelope's type */
    DM_FILTERS_A_FRAME = 50,                /* the first so many of a subscribe are taken */
    DM_FILTER_BYTES_MAX = 64 * 1024,        /* all filters of one session together */
    DM_RESULT_BYTES_MAX = 16 * 1024 * 1024, /* all ack results of one publish together */
    DM_TIMEOUT_MS_DEFAULT = 5000,
    DM_TIMEOUT_MS_MAX = 60000,
    DM_TTL_SECONDS_DEFAULT = 86400, /* of a durable publish */
    DM_TTL_SECONDS_MAX = 30 * 24 * 3600,
    DM_SLOTS = 4096, /* userIds hash to so many slots; shards own ranges of them */
    DM_SHARDS_MAX = 64,
};

struct dm_limits {
    uint32_t max_connections, max_connections_per_user;
    uint32_t max_connections_per_address;                        /* 0: any number */
    uint32_t rate_messages, rate_requests, rate_unauthenticated; /* a second; 0: any number */
    uint32_t max_filters_per_session, max_targets, max_owed_per_user, max_channels_per_user;
    uint32_t max_awake;
    uint64_t max_message, max_body, max_header, max_unsent, max_attachment;
};

#endif
