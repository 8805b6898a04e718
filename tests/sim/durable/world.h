/*
 * The world of dm-sim-durable: the real hub on a fake clock, over the store's
 * real statements on a database in memory. Clients come and go, publishers ask,
 * ask again and look, operations of the store fail, and the process crashes:
 * then nothing more of it is written, sent or answered.
 *
 * What it holds the hub to: a publish that was answered is delivered to each
 * user until an ack of it was answered, in order, once a socket; an ack that was
 * answered is in what its publisher is told; asked again it is the same publish.
 */
#ifndef DM_TESTS_SIM_DURABLE_WORLD_H
#define DM_TESTS_SIM_DURABLE_WORLD_H

#include "../random.h"
#include "base/list.h"
#include "hub/publish.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "store/connection_priv.h"

enum {
    USERS = 3,
    CLIENTS = 8,
    PUBLISHES = 200, /* of one run at most */
    SHARDS_MAX = 3,
    ACKS = 2000,
    MESSAGE_MAX = 400,
    STEPS = 700,
};

/* A publish, and what its world knows of it. */
struct published {
    struct dm_uuid id;
    uint32_t users; /* a bit for each target */
    bool durable, repeatable;
    char type; /* 'a' or 'b' */
    uint32_t timeout_ms;
    uint32_t asked_at, answered_at; /* steps; 0: not yet */
    uint32_t asked_in, answered_in; /* lives */
    uint32_t acked, maybe_acked;    /* users with an ack that was answered ok; that was sent */
    bool forgotten;         /* some target could not be reached: asked again it goes to all */
    char told[MESSAGE_MAX]; /* the results of its first answer */
};

/* An ack, whose result is its number. */
struct ack {
    uint32_t publish, ok_at; /* the step when it was answered; 0: not yet */
};

struct client {
    struct world *world;
    uint32_t number, user;
    bool native, asking;
    char secret[DM_RESUME_SECRET_LEN]; /* to be resumed by, if any */
    bool has_secret;
    /* Its socket. */
    uint32_t sock, opened_at;
    bool wants[2];       /* the types that it has asked for, hopeflow only */
    bool got[PUBLISHES]; /* on this socket */
};

struct sock {
    uint32_t client, shard, number;
    bool open, retry;
    char held[MESSAGE_MAX];
};

struct store {
    struct dm_connection connection;
    struct dm_store_op *writes, **writes_end, *reads, **reads_end;
    uint32_t fail_percent, failures;
};

struct world {
    struct sim_rand rand, hub_rand;
    uint64_t seed, now_ms, settled_ms, secrets_made;
    uint32_t shards, step, life; /* life: how many crashes so far */
    bool trace, quiet, dead;
    struct dm_shard *shard[SHARDS_MAX];
    struct dm_metrics metrics[SHARDS_MAX];
    struct dm_list mail[SHARDS_MAX];
    struct store store;
    struct client clients[CLIENTS];
    struct sock *socks;
    uint32_t sock_count, open_calls;
    struct asked *granted;
    struct published published[PUBLISHES];
    uint32_t published_count;
    struct ack acks[ACKS];
    uint32_t ack_count;
};

void fail(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
void trace(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *user_name(uint32_t user);

/* store.c */
void store_init(struct world *world);
void store_dispose(struct world *world);
struct dm_store store_port(struct world *world);
bool store_step(struct world *world);
bool store_idle(const struct world *world);
void store_restart(struct world *world);
uint64_t store_number(struct world *world, const char *sql);

/* wire.c */
struct dm_post post_port(struct world *world);
struct dm_sink sink_port(struct world *world);
bool mail_step(struct world *world);
bool retry_held(struct world *world);
uint32_t sock_open(struct world *world, uint32_t client, uint32_t shard);
bool sock_say(struct world *world, uint32_t sock, const char *message); /* false: it holds one */

/* clients.c */
void client_connect(struct client *client);
bool client_use_grant(struct world *world);
void client_subscribe(struct client *client);
void client_ack(struct client *client);
void client_leave(struct client *client, bool goodbye);
void client_heard(struct world *world, uint32_t sock, struct dm_slice text);
void client_closed(struct world *world, uint32_t sock, int code);

/* publishers.c */
void publisher_publish(struct world *world);
void publisher_repeat(struct world *world);
void publisher_look(struct world *world);
struct published *published_of(struct world *world, const struct dm_uuid *id);
void answer_check(struct world *world, const struct published *published, struct dm_slice results,
                  uint32_t asked_at);

#endif
