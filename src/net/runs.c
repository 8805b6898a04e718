/* Runs as a trie in one array, cleared every turn; joined only where a write needs it. */
#include "net/runs.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

struct dm_run {
    struct dm_wire *wire;    /* its last frame */
    struct dm_wire *joined;  /* the whole segment, while that is needed */
    uint32_t parent;         /* the same segment but the last frame; 0: there is no more */
    uint32_t before;         /* the segment before this one */
    uint32_t child, sibling; /* longer runs: the latest, and from each the one made before it */
    uint32_t frames, bytes;  /* of this segment */
    uint32_t users;
};

enum {
    FIRST_ROOM = 64,
    KEPT_ROOM = 1 << 16,
    MOST_LOOKED_AT = 8, /* children: dialects and encodings are few, other runs are rarely shared */
};

void dm_runs_init(struct dm_runs *runs)
{
    *runs = (struct dm_runs){.count = 1, .room = FIRST_ROOM};
    runs->at = dm_calloc(FIRST_ROOM, sizeof *runs->at);
}

void dm_runs_clear(struct dm_runs *runs)
{
    for (uint32_t i = 1; i < runs->count; i++) {
        dm_wire_release(runs->at[i].wire);
        dm_wire_release(runs->at[i].joined);
    }
    if (runs->room > KEPT_ROOM) {
        runs->at = dm_realloc(runs->at, FIRST_ROOM * sizeof *runs->at);
        runs->room = FIRST_ROOM;
    }
    runs->at[0].child = 0;
    runs->count = 1;
    runs->bytes = 0;
}

void dm_runs_dispose(struct dm_runs *runs)
{
    dm_runs_clear(runs);
    free(runs->at);
    *runs = (struct dm_runs){0};
}

static uint32_t make(struct dm_runs *runs, uint32_t parent, struct dm_wire *wire)
{
    if (runs->count == runs->room) {
        DM_CHECK(runs->room < UINT32_MAX / 2);
        runs->room *= 2;
        runs->at = dm_realloc(runs->at, runs->room * sizeof *runs->at);
    }
    uint32_t index = runs->count++;
    struct dm_run *from = &runs->at[parent], *run = &runs->at[index];
    *run = (struct dm_run){.wire = dm_wire_retain(wire), .sibling = from->child};
    from->child = index;
    if (parent && (uint64_t)from->bytes + wire->len <= DM_RUN_BYTES) {
        run->parent = parent;
        run->before = from->before;
        run->frames = from->frames;
        run->bytes = from->bytes;
    } else {
        run->before = parent;
    }
    run->frames++;
    run->bytes += wire->len;
    runs->bytes += wire->len;
    return index;
}

uint32_t dm_runs_add(struct dm_runs *runs, uint32_t run, struct dm_wire *wire)
{
    uint32_t child = runs->at[run].child;
    for (int looked_at = 0; child && looked_at < MOST_LOOKED_AT; looked_at++) {
        if (runs->at[child].wire == wire)
            return child;
        child = runs->at[child].sibling;
    }
    return make(runs, run, wire);
}

uint32_t dm_run_before(const struct dm_runs *runs, uint32_t run)
{
    return runs->at[run].before;
}

uint32_t dm_run_frames(const struct dm_runs *runs, uint32_t run)
{
    return runs->at[run].frames;
}

void dm_run_count_user(struct dm_runs *runs, uint32_t run)
{
    runs->at[run].users++;
}

static struct dm_wire *join(const struct dm_runs *runs, uint32_t run)
{
    uint32_t end = runs->at[run].bytes;
    struct dm_wire *joined = dm_alloc(sizeof *joined + end);
    joined->refs = 1;
    joined->len = end;
    for (; run; run = runs->at[run].parent) {
        const struct dm_wire *wire = runs->at[run].wire;
        end -= wire->len;
        memcpy(joined->bytes + end, wire->bytes, wire->len);
    }
    DM_CHECK(end == 0);
    return joined;
}

struct dm_wire *dm_run_bytes(struct dm_runs *runs, uint32_t run)
{
    if (runs->at[run].frames == 1)
        return runs->at[run].wire;
    if (!runs->at[run].joined)
        runs->at[run].joined = join(runs, run);
    return runs->at[run].joined;
}

void dm_run_done(struct dm_runs *runs, uint32_t run)
{
    DM_CHECK(runs->at[run].users > 0);
    if (--runs->at[run].users == 0) {
        dm_wire_release(runs->at[run].joined);
        runs->at[run].joined = NULL;
    }
}
