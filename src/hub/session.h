/*
 * Sessions: one WebSocket each. An upgrade first asks the user's owner for a
 * place (so that a refusal can still be plain HTTP), then opens the session
 * there once the socket has arrived.
 */
#ifndef DM_HUB_SESSION_H
#define DM_HUB_SESSION_H

#include "dialect/dialect.h"
#include "hub/shard.h"
#include "ports/store.h"

enum { DM_RESUME_SECRET_LEN = 32 };

struct attempt;

struct dm_admission {
    struct dm_mail mail;
    uint32_t origin; /* set by dm_session_admit */

    /* Asked. */
    enum dm_dialect_id dialect;
    uint8_t user_len;
    char user_id[DM_USER_ID_MAX];
    uint64_t expires_ms;  /* when its identity ends, by the wall clock; 0: never */
    bool may_publish;     /* its token has the scope */
    struct dm_buf claims; /* of its token, where they are to be kept: a JSON object */
    uint8_t channel_len;  /* of a dialect that listens: to which one */
    char channel[DM_CHANNEL_NAME_MAX];
    /* Of a dialect that resumes: the hash of the secret that the client brought, if it brought one;
     * the secret that it is to bring next time, and that one's hash. */
    bool resuming;
    unsigned char resume[DM_RESUME_HASH_LEN], next_resume[DM_RESUME_HASH_LEN];
    char next_secret[DM_RESUME_SECRET_LEN];

    /* Answered. */
    int err; /* DM_OK, DM_ERR_MAX_CONNECTIONS; where it resumes the store's, too */
    struct dm_uuid session_id;
    uint32_t endings;        /* the owner's count of disconnects, when it asked the store */
    bool resumed;            /* the session was there before */
    struct dm_store_op *row; /* and is this; dm_admission_dispose frees it */
    struct attempt *attempt; /* the owner's own */

    void (*done)(struct dm_admission *admission, struct dm_shard *here);
};

static inline struct dm_slice dm_admission_user(const struct dm_admission *admission)
{
    return dm_slice(admission->user_id, admission->user_len);
}

void dm_admission_dispose(struct dm_admission *admission); /* any thread; not the struct itself */

/* Asks for a place for one more session of a user. On any shard; `done` is run on the same, perhaps
 * before this returns. The admission is the caller's throughout and must live until then. */
void dm_session_admit(struct dm_shard *shard, struct dm_admission *admission);

/* Gives an admitted place back: the handshake failed. On any shard. */
void dm_session_withdraw(struct dm_shard *shard, const struct dm_admission *admission);

/* Opens an admitted session, on the owner only; `sock` is what the sink knows it by. Returns the
 * session's number. A session that is resumed while it has a socket loses that (4009). 0: what was
 * to be resumed has changed since it was admitted, and the socket is closed. */
uint32_t dm_session_open(struct dm_shard *shard, const struct dm_admission *admission,
                         uint32_t sock);

enum dm_session_answer {
    DM_SESSION_TAKEN,
    DM_SESSION_HOLD, /* the object is waking: offer it again after sink.resume, keep the order */
    DM_SESSION_SLOW, /* over rate_messages, and no answer for that: the same, within a second */
};

/* One whole message from the session's socket. */
enum dm_session_answer dm_session_message(struct dm_shard *shard, uint32_t session, bool binary,
                                          struct dm_slice message);

/* The sink's number for the session's socket. */
uint32_t dm_session_sock(const struct dm_shard *shard, uint32_t session);

/* The socket is gone (or lingers by itself). The number is no longer the caller's to use. Unless
 * its client has said goodbye, a session of a dialect that resumes can be resumed from here on. */
void dm_session_closed(struct dm_shard *shard, uint32_t session, bool goodbye);

#endif
