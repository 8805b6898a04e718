/*
 * The last word on a session's row: that it has a socket, has none since when,
 * has ended, or is to go. Where the store does not take it, it is said again
 * once the store does. Writes come back in the order in which they were
 * submitted: of those on one session the last to come back decides.
 *
 *   (none) ── said ──► OUT ── written, the last one ──► (none)
 *                      ▲ │
 *      a newer one is  │ │ the last one failed
 *      said; the tick  │ ▼
 *                    WAITING ── resumed: its row says CONNECT by now ──► (none)
 *
 * END and FORGET are never taken back: whoever resumes such a session is
 * refused. A row that is not one of a session that can be resumed has no last
 * word: it matches nothing, and is swept at the next start.
 */
#include "base/clock.h"
#include "hub/hub_priv.h"

enum {
    AT_ONCE = 512,      /* said again at a time; one, while the store fails */
    WORDS_MAX = 1 << 20 /* of more the rows are left to the next start */
};

struct word {
    uint32_t out;        /* operations at the store; 0: WAITING. First: not 0 in a free record */
    uint32_t kind;       /* enum dm_store_kind, of the latest; never 0 */
    struct dm_list link; /* while WAITING, among words->waiting */
    struct dm_uuid session_id;
    uint64_t user_hash;
    uint64_t since; /* by the wall clock, when it was said first */
};

void dm_word_init(struct dm_shard *shard)
{
    dm_slab_init(&shard->words.slab, sizeof(struct word));
    dm_list_init(&shard->words.waiting);
}

void dm_word_dispose(struct dm_shard *shard)
{
    dm_slab_dispose(&shard->words.slab);
    dm_index_dispose(&shard->words.index);
}

static struct word *word_at(const struct dm_shard *shard, uint32_t index)
{
    return dm_slab_at(&shard->words.slab, index);
}

static uint64_t hash_of(const struct dm_shard *shard, const struct dm_uuid *session_id)
{
    return dm_hash(shard->index_key, session_id, sizeof *session_id);
}

static bool is_of(const void *context, uint32_t value, struct dm_slice key)
{
    return memcmp(&word_at(context, value)->session_id, key.at, key.len) == 0;
}

static uint32_t find(const struct dm_shard *shard, const struct dm_uuid *session_id)
{
    if (!shard->words.slab.live)
        return 0;
    return dm_index_find(&shard->words.index, hash_of(shard, session_id), is_of, shard,
                         dm_slice((const char *)session_id, sizeof *session_id));
}

static uint32_t add(struct dm_shard *shard, const struct dm_uuid *session_id)
{
    uint32_t index = dm_slab_take(&shard->words.slab);
    word_at(shard, index)->session_id = *session_id;
    dm_index_put(&shard->words.index, hash_of(shard, session_id), index);
    return index;
}

static void forget(struct dm_shard *shard, uint32_t index)
{
    struct word *word = word_at(shard, index);
    dm_list_unlink(&word->link);
    dm_index_remove(&shard->words.index, hash_of(shard, &word->session_id), index);
    dm_slab_give(&shard->words.slab, index);
}

static void came_back(struct dm_mail *mail, struct dm_shard *shard)
{
    struct dm_store_op *op = DM_CONTAINER(mail, struct dm_store_op, mail);
    struct words *words = &shard->words;
    struct word *word = word_at(shard, op->user);
    words->failing = op->err != DM_OK;
    if (words->failing)
        words->retry_at = dm_shard_now(shard) + STORE_RETRY_MS;
    if (--word->out == 0) {
        if (words->failing && words->slab.live <= WORDS_MAX)
            dm_list_push(&words->waiting, &word->link);
        else
            forget(shard, op->user);
    }
    dm_store_op_done(mail, shard);
}

static void submit(struct dm_shard *shard, uint32_t index)
{
    struct word *word = word_at(shard, index);
    struct dm_store_op *op = dm_store_op_create(word->kind, shard->options.number, came_back);
    op->session_id = word->session_id;
    op->now = word->since;
    op->user = index;
    dm_list_unlink(&word->link);
    word->out++;
    dm_shard_submit(shard, op);
}

void dm_word_say(struct dm_shard *shard, enum dm_store_kind kind, uint32_t user,
                 const struct dm_uuid *session_id)
{
    uint32_t index = find(shard, session_id);
    if (!index)
        index = add(shard, session_id);
    struct word *word = word_at(shard, index);
    word->kind = kind;
    word->user_hash = dm_user_hash(shard, user);
    word->since = dm_shard_wall(shard);
    submit(shard, index);
}

static enum attempt_note note_of(const struct word *word)
{
    switch (word->kind) {
    case DM_STORE_END_SESSION:
    case DM_STORE_FORGET_SESSION:
        return ATTEMPT_ENDED;
    case DM_STORE_DROP_SESSION:
        return ATTEMPT_DROPPED;
    default:
        return 0;
    }
}

/* One that is OUT was said after the store was asked: who said it has told the attempt. */
void dm_word_resumed(struct dm_shard *shard, uint32_t user, const struct dm_uuid *session_id)
{
    uint32_t index = find(shard, session_id);
    if (!index)
        return;
    const struct word *word = word_at(shard, index);
    if (note_of(word) == ATTEMPT_ENDED)
        dm_attempt_note(shard, user, session_id, ATTEMPT_ENDED);
    else if (!word->out)
        forget(shard, index);
}

/* An attempt on its way may have found the row before this: it hears of it as of the first time. */
static void say_again(struct dm_shard *shard, const struct word *word)
{
    uint32_t user = dm_user_find_hash(shard, word->user_hash);
    if (note_of(word))
        dm_attempt_note(shard, user, &word->session_id, note_of(word));
    submit(shard, find(shard, &word->session_id));
}

uint64_t dm_word_tick(struct dm_shard *shard, uint64_t now)
{
    struct words *words = &shard->words;
    if (dm_list_empty(&words->waiting))
        return UINT64_MAX;
    if (now < words->retry_at)
        return words->retry_at;
    words->retry_at = now + STORE_RETRY_MS;
    for (int left = words->failing ? 1 : AT_ONCE; left && !dm_list_empty(&words->waiting); left--)
        say_again(shard, DM_CONTAINER(words->waiting.next, struct word, link));
    return words->retry_at;
}

/* Of a session that has no socket nobody says that it has one, nor the other way round. */
void dm_word_verify(const struct dm_shard *shard)
{
    const struct words *words = &shard->words;
    uint32_t live = 0, waiting = 0;
    for (uint32_t i = 1; i < dm_slab_end(&words->slab); i++) {
        const struct word *word = dm_slab_peek(&words->slab, i);
        if (!word || !word->kind)
            continue;
        uint32_t user = dm_user_find_hash(shard, word->user_hash);
        bool here = user && dm_session_find(shard, user, &word->session_id);
        live++;
        waiting += !word->out;
        DM_CHECK(find(shard, &word->session_id) == i);
        DM_CHECK(dm_list_linked(&word->link) == !word->out);
        DM_CHECK(here ? word->kind == DM_STORE_CONNECT_SESSION || word->kind == DM_STORE_END_SESSION
                      : word->kind != DM_STORE_CONNECT_SESSION);
    }
    DM_CHECK(live == words->slab.live && live == words->index.count);
    for (const struct dm_list *at = words->waiting.next; at != &words->waiting; at = at->next)
        waiting--;
    DM_CHECK(waiting == 0);
}
