/*
 * Runs: which frames, in which order, are ready for a socket in this turn. A
 * run is a run before it and one frame more, and equal runs are one, so that
 * however many sockets are sent the same frames, there is one run to join and
 * one buffer to write from. Numbers are good until dm_runs_clear; 0 is the
 * run of nothing. One thread.
 *
 * Past DM_RUN_BYTES a run goes on in a new segment, which is a buffer of its
 * own: dm_run_before leads from a segment to the one that is written first.
 */
#ifndef DM_NET_RUNS_H
#define DM_NET_RUNS_H

#include <stdint.h>

#include "model/wire.h"

enum { DM_RUN_BYTES = 64 * 1024 }; /* of one segment, unless a single frame is longer */

struct dm_run;

struct dm_runs {
    struct dm_run *at;
    uint32_t count, room;
    uint64_t bytes; /* of the frames that are kept, each once a run that ends in it */
};

void dm_runs_init(struct dm_runs *runs);
void dm_runs_dispose(struct dm_runs *runs);
void dm_runs_clear(struct dm_runs *runs);

/* `run` with `wire` behind it. Keeps a reference of its own. */
uint32_t dm_runs_add(struct dm_runs *runs, uint32_t run, struct dm_wire *wire);

uint32_t dm_run_before(const struct dm_runs *runs, uint32_t run); /* 0: it is the first segment */
uint32_t dm_run_frames(const struct dm_runs *runs, uint32_t run); /* of this segment */

/* First every user of a segment is counted, then each asks for its bytes, uses them, and is done
 * with them: the last one's leaving frees what was joined. The bytes are several frames in one
 * wire; retain it to keep it. */
void dm_run_count_user(struct dm_runs *runs, uint32_t run);
struct dm_wire *dm_run_bytes(struct dm_runs *runs, uint32_t run);
void dm_run_done(struct dm_runs *runs, uint32_t run);

#endif
