/*
 * Attempts to resume, from the question to the store until their socket has
 * arrived. What becomes of their session meanwhile (another socket of it writes,
 * drops, says goodbye) is noted here: what the store answered may be outdated
 * by then. Hides that the session is only known once the store has answered.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "hub/hub_priv.h"

/* What was noted of one of the user's sessions while the store is asked for which it is. */
struct note {
    struct dm_uuid session_id;
    unsigned what;
};

struct attempt {
    struct dm_list link; /* among those of shard->attempts[] */
    uint32_t user;
    bool found;
    unsigned what; /* enum attempt_note, of its session */
    struct dm_uuid session_id;
    struct dm_buf notes; /* struct note, until it is found; one a session */
};

static struct dm_list *list_of(struct dm_shard *shard, uint32_t user)
{
    struct dm_list *list = &shard->attempts[user % DM_COUNT(shard->attempts)];
    if (!list->next)
        dm_list_init(list);
    return list;
}

struct attempt *dm_attempt_begin(struct dm_shard *shard, uint32_t user)
{
    struct attempt *attempt = DM_NEW(struct attempt);
    attempt->user = user;
    dm_list_push(list_of(shard, user), &attempt->link);
    return attempt;
}

static void note_for_later(struct attempt *attempt, const struct dm_uuid *id, unsigned what)
{
    struct note *notes = (void *)attempt->notes.bytes;
    for (size_t i = 0; i < attempt->notes.len / sizeof *notes; i++)
        if (dm_uuid_eq(&notes[i].session_id, id)) {
            notes[i].what |= what;
            return;
        }
    struct note note = {*id, what};
    dm_buf_add(&attempt->notes, &note, sizeof note);
}

void dm_attempt_note(struct dm_shard *shard, uint32_t user, const struct dm_uuid *session_id,
                     enum attempt_note what)
{
    if (!user || !user_at(shard, user)->places)
        return;
    const struct dm_list *list = list_of(shard, user);
    for (struct dm_list *at = list->next; at != list; at = at->next) {
        struct attempt *attempt = DM_CONTAINER(at, struct attempt, link);
        if (attempt->user != user)
            continue;
        if (!session_id || (attempt->found && dm_uuid_eq(&attempt->session_id, session_id)))
            attempt->what |= what;
        else if (!attempt->found)
            note_for_later(attempt, session_id, what);
    }
}

void dm_attempt_found(struct dm_shard *shard, struct attempt *attempt,
                      const struct dm_uuid *session_id)
{
    const struct note *notes = (const void *)attempt->notes.bytes;
    for (size_t i = 0; i < attempt->notes.len / sizeof *notes; i++)
        if (dm_uuid_eq(&notes[i].session_id, session_id))
            attempt->what |= notes[i].what;
    dm_buf_dispose(&attempt->notes);
    const struct dm_list *list = list_of(shard, attempt->user);
    for (struct dm_list *at = list->next; at != list; at = at->next) {
        struct attempt *earlier = DM_CONTAINER(at, struct attempt, link);
        if (earlier->found && dm_uuid_eq(&earlier->session_id, session_id))
            earlier->what |= ATTEMPT_BEATEN;
    }
    attempt->session_id = *session_id;
    attempt->found = true;
}

unsigned dm_attempt_end(struct attempt **at)
{
    struct attempt *attempt = *at;
    if (!attempt)
        return 0;
    unsigned what = attempt->what;
    dm_list_unlink(&attempt->link);
    dm_buf_dispose(&attempt->notes);
    free(attempt);
    *at = NULL;
    return what;
}
