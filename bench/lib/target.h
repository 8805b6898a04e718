/*
 * What the load is run against: the real server, started with a database and
 * secrets of its own, or the floor. Both speak enough of the same protocol
 * that the load cannot tell them apart.
 */
#ifndef DM_BENCH_TARGET_H
#define DM_BENCH_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/child.h"
#include "lib/token.h"

struct dm_target {
    struct dm_child child;
    const char *name; /* "server", "floor" or a peer's */
    uint16_t port;
    bool floor; /* or a peer: it knows neither our tokens nor what we ask an answer to say */
    char secret[DM_SECRET_LEN + 1], api_key[DM_SECRET_LEN + 1];
    char folder[512];  /* the database's; "" where there is none */
    uint64_t ready_us; /* from its start until it said that it is ready */
};

struct dm_target_place {
    const char *server, *floor, *rows; /* the programs */
    const char *out;                   /* a folder for databases and logs */
    unsigned shards;                   /* 0: the server's default */
    bool floors_alone; /* the floor in the server's place too: checks the load itself */
};

/* `settings` are further "KEY=value" (without DORMOUSE_), then NULL. Waits until it is ready.
 * 0, or -1 after saying why on stderr; then there is nothing to stop. */
int dm_target_start_server(struct dm_target *target, const struct dm_target_place *place,
                           const char *const settings[]) DM_MUST_CHECK;

/* The same in two steps, so that there can be a database before the server: a folder with an empty
 * one of the server's own making, and the server started on what is there. */
int dm_target_make_database(struct dm_target *target,
                            const struct dm_target_place *place) DM_MUST_CHECK;
int dm_target_start_again(struct dm_target *target, const struct dm_target_place *place,
                          const char *const settings[]) DM_MUST_CHECK;

/* With `acks` each publish waits for the session's ack; frames are `frame_len` bytes in all. */
int dm_target_start_floor(struct dm_target *target, const struct dm_target_place *place, bool acks,
                          size_t frame_len) DM_MUST_CHECK;

/* Another server, of whatever kind, on target->port, ready once `path` answers 200. */
int dm_target_start_peer(struct dm_target *target, const struct dm_target_place *place,
                         char *const argv[], const char *ready_path) DM_MUST_CHECK;
/* A free port, a folder of its own, secrets. */
int dm_target_make(struct dm_target *target, const struct dm_target_place *place,
                   const char *name) DM_MUST_CHECK;

void dm_target_stop(struct dm_target *target); /* and removes its database */

#endif
