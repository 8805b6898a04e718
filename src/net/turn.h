/*
 * A loop's share of requests a turn. h2o handles what a client has pipelined
 * one request after the other within one turn, as long as its answers can be
 * written: meanwhile nobody else would be heard, and no timer would run. So a
 * turn handles a few requests, and those that come then wait for the next, in
 * the order in which they came; a connection has one at a time. One loop's
 * thread.
 */
#ifndef DM_NET_TURN_H
#define DM_NET_TURN_H

#include <stdint.h>

#include "base/check.h"
#include "base/list.h"

struct st_h2o_req_t;

struct dm_turn {
    struct dm_list waiting; /* struct waiting_request */
    uint32_t handled;
};

void dm_turn_init(struct dm_turn *turn);

/* A new turn begins. */
void dm_turn_begin(struct dm_turn *turn);

/* May this request be handled now? Else it waits. */
bool dm_turn_takes(struct dm_turn *turn, struct st_h2o_req_t *req) DM_MUST_CHECK;

/* One that waited and may be handled now; NULL: there is none in this turn. */
struct st_h2o_req_t *dm_turn_next(struct dm_turn *turn);

/* Does any request wait? */
bool dm_turn_has_waiting(const struct dm_turn *turn);

#endif
