/*
 * A second, smaller world: clients of the native dialect that drop and resume
 * over shards whose store is slow and fails. A run is a pure function of its
 * seed.
 *
 *   main.c     options, the events of a run, its end
 *   store.c    rows and operations, as ports/store.h promises
 *   client.c   what clients do, and what must then be so
 *   wire.c     mail, sockets and publishes
 */
#ifndef DM_TESTS_SIM_RESUME_WORLD_H
#define DM_TESTS_SIM_RESUME_WORLD_H

#include "../random.h"
#include "base/list.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "hub/user.h"

enum {
    SHARDS_MAX = 3,
    USERS = 4,
    CLIENTS = 8,
    WINDOW_MS = 4000,
    SLACK_MS = 2500,
    SECRET = DM_RESUME_SECRET_LEN
};

_Static_assert((int)DM_RESUME_SECRET_LEN == (int)DM_RESUME_HASH_LEN,
               "here a secret is its own hash");

struct row {
    struct dm_uuid id;
    char user[16];
    char attachment[16]; /* "": none */
    unsigned char resume[SECRET], before[SECRET];
    bool has_before;
    uint64_t dropped_at; /* 0: connected */
};

struct store {
    struct row *rows;
    uint32_t row_count;
    struct dm_store_pending *pending;
    uint32_t pending_count;
    struct dm_store_op *writes, **writes_end, *reads, **reads_end;
    uint32_t fail_percent;
    uint64_t failures;
};

/* A secret that a client was shown, or one that it had before. */
struct secret {
    char text[SECRET];
    bool is;
};

struct client {
    struct world *world;
    uint32_t number, user;
    /* The session that it means to have. */
    struct secret now, before; /* `before` counts until a frame has gone out on the new socket */
    struct dm_uuid session;
    bool sure;                /* nothing failed and nothing ended it: `now` must bring it back */
    uint64_t opened_failures; /* of the store, when it got its socket */
    uint64_t ended_failures;  /* of the store, when it was ended */
    bool ended;               /* goodbye or disconnect: it must not come back */
    bool doubted;             /* a disconnect may have ended it in the store */
    uint64_t dropped_ms;      /* when it had no socket first; 0: it has one */
    uint32_t sent, kept;      /* attachments are numbers: the last sent, the last answered ok */
    uint32_t floor; /* of `sent` when the session began: earlier ones are another session's */
    /* Its socket. */
    uint32_t sock; /* 0: none */
    bool asking;   /* an admission is under way */
};

struct sock {
    uint32_t client, shard, number; /* number: the hub's session */
    bool open, retry;
    char held[160]; /* a message that waits for a wake */
};

struct asked {
    struct dm_admission admission;
    struct client *client;
    struct secret used; /* what it brought */
    bool must, must_not;
    uint32_t disconnects; /* of its user, when it was asked */
    uint64_t asked_ms;
    struct asked *next;
};

struct call {
    struct dm_publish publish;
    struct world *world;
    struct dm_slice target;
    uint32_t user, least, most;
    struct call *next;
};

struct world {
    struct sim_rand rand, hub_rand;
    uint64_t seed, now_ms;
    uint32_t step, shards, here;
    bool trace, quiet;
    struct dm_shard *shard[SHARDS_MAX];
    struct dm_metrics metrics[SHARDS_MAX];
    struct dm_list mail[SHARDS_MAX];
    struct store store;
    struct client clients[CLIENTS];
    uint32_t disconnecting[USERS], disconnects[USERS]; /* calls that are not answered, and all */
    struct sock *socks;
    uint32_t sock_count;
    struct asked *granted;
    struct call *calls;
    uint32_t asked_open;
    uint64_t secrets_made;
    char last_envelope[DM_UUID_TEXT_LEN + 1];
    struct dm_uuid *ended; /* sessions that said goodbye or were disconnected */
    uint32_t ended_count;
};

void fail(struct world *world, const char *format, ...) __attribute__((noreturn)) DM_PRINTF(2, 3);
void trace(struct world *world, const char *format, ...) DM_PRINTF(2, 3);

const char *user_name(uint32_t user);

/* store.c */
void store_init(struct world *world);
void store_dispose(struct world *world);
struct dm_store store_port(struct world *world);
bool store_step(struct world *world);  /* one operation comes back; false: none is out */
void store_check(struct world *world); /* it has been back for a while: its rows say what is so */

/* wire.c */
struct dm_post post_port(struct world *world);
struct dm_sink sink_port(struct world *world);
bool mail_step(struct world *world);
bool retry_held(struct world *world); /* input that was held goes on */
uint32_t sock_open(struct world *world, uint32_t client, uint32_t shard);
void sock_say(struct world *world, uint32_t sock, const char *message);
uint32_t open_count(const struct world *world, uint32_t user);
void publish(struct world *world);
void counts_changed(struct world *world, uint32_t user);

/* client.c */
void client_connect(struct client *client);
bool client_use_grant(struct world *world);
void client_attach(struct client *client);
void client_ack(struct client *client);
void client_leave(struct client *client, bool goodbye);
void client_disconnect(struct world *world, uint32_t user);
void client_heard(struct world *world, uint32_t sock, struct dm_slice text);
void client_closed(struct world *world, uint32_t sock, int code);
bool client_is_known(const struct client *client, const struct row *row); /* its secret brings it */
bool has_ended(const struct world *world, const struct dm_uuid *session);

#endif
