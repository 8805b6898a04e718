/*
 * What the sims over the store's real statements have in common: the hub on a
 * fake clock, its store on a database in memory, mail, sockets, and clients who
 * connect, resume and leave. Operations of the store fail, and the process
 * crashes: then nothing more of it is written, sent or answered. What happens,
 * and what must hold, is each sim's own (struct bed_kind).
 */
#ifndef DM_TESTS_SIM_BED_H
#define DM_TESTS_SIM_BED_H

#include "base/list.h"
#include "cli.h"
#include "hub/session.h"
#include "hub/shard.h"
#include "random.h"
#include "store/connection_priv.h"

enum {
    BED_SHARDS_MAX = 5,
    BED_MESSAGE_MAX = 400,
};

struct bed;
struct bed_client;

struct bed_kind {
    const char *name; /* of the sim: dm-sim-<name> */
    const char *seeds;
    uint32_t shards_max, steps;
    bool late_reads;       /* what is read may be told behind what is written later */
    uint32_t verify_every; /* so many steps dm_shard_verify is called */
    size_t size;           /* of its world, which begins with a struct bed */

    void (*begin)(struct bed *bed);   /* the store is there, and no shard yet */
    void (*started)(struct bed *bed); /* the first process */
    void (*happen)(struct bed *bed);  /* one step */
    void (*finish)(struct bed *bed);  /* what must hold at the end; stops the process */
    void (*end)(struct bed *bed);     /* frees; NULL: nothing to free */
    /* For a process that starts: what its shards are like, `number` and `shards` aside. */
    void (*choose)(struct bed *bed, struct dm_shard_options *options);
    /* NULL: none. It may answer by mail (bed_post). */
    bool (*authorize)(struct bed *bed, struct dm_authorization *ask);
    bool (*more)(struct bed *bed); /* until all is at rest; false: nothing to do. NULL: nothing */
    /* NULL, or told of each operation before it is carried out, and of each that was committed. */
    void (*before)(struct bed *bed, struct dm_store_op *op);
    void (*committed)(struct bed *bed, struct dm_store_op *op);

    void (*opened)(struct bed_client *client, bool resumed); /* a socket, before it is told */
    void (*heard)(struct bed_client *client, struct dm_slice text);
    void (*closed)(struct bed_client *client, int code); /* by the hub */
};

struct bed_client {
    struct bed *bed;
    uint32_t number;
    const char *user;
    enum dm_dialect_id dialect;
    const char *channel; /* of a dialect that listens */
    bool asking;         /* for a place, or it has one and its socket is on its way */
    bool has_secret;
    char secret[DM_RESUME_SECRET_LEN]; /* to be resumed by, if any */
    uint32_t sock;                     /* 0: none */
};

struct bed_sock {
    struct bed_client *client;
    uint32_t shard, number;
    bool open, retry;
    char held[BED_MESSAGE_MAX];
};

struct bed_store {
    struct dm_connection connection;
    struct dm_store_op *writes, **writes_end, *reads, **reads_end;
    struct dm_store_op *late; /* a read that is done, and on its way while others go on */
    uint32_t fail_percent, failures;
};

struct bed {
    const struct bed_kind *kind;
    struct sim_rand rand, hub_rand;
    uint64_t seed, now_ms, settled_ms, secrets_made;
    uint32_t shards, step, life; /* life: how many crashes so far */
    bool trace, quiet, dead;     /* quiet: the store does not fail */
    bool drained;                /* sockets take all at once */
    struct dm_shard *shard[BED_SHARDS_MAX];
    struct dm_metrics metrics[BED_SHARDS_MAX];
    struct dm_list mail[BED_SHARDS_MAX];
    struct bed_store store;
    struct bed_sock *socks;
    uint32_t sock_count, open_calls; /* the calls that the hub has not answered */
    struct bed_asked *granted;
};

/* bed.c: the whole of a sim's main(); and a process's life */
int bed_main(char **argv, const struct bed_kind *kind);
void bed_fail(struct bed *bed, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
void bed_trace(struct bed *bed, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct dm_shard *bed_any_shard(struct bed *bed);
void bed_start(struct bed *bed);
void bed_turn(struct bed *bed);
void bed_end_turn(struct bed *bed);
void bed_settle(struct bed *bed); /* until nothing is on its way; time stands still */
void bed_pass(struct bed *bed, uint64_t ms, uint32_t times);
void bed_stop(struct bed *bed);
void bed_crash(struct bed *bed); /* and starts the next one */

/* bed_store.c */
void bed_store_init(struct bed *bed);
void bed_store_dispose(struct bed *bed);
void bed_store_restart(struct bed *bed); /* what the writer does when it opens */
struct dm_store bed_store_port(struct bed *bed);
bool bed_store_step(struct bed *bed); /* false: it has nothing to do */
bool bed_store_idle(const struct bed *bed);
uint64_t bed_store_number(struct bed *bed, const char *sql);
void bed_store_exec(struct bed *bed, const char *sql);

/* bed_wire.c */
struct dm_post bed_post(struct bed *bed);
struct dm_sink bed_sink(struct bed *bed);
bool bed_mail_step(struct bed *bed);
bool bed_retry_held(struct bed *bed);
uint32_t bed_sock_open(struct bed *bed, struct bed_client *client, uint32_t shard);
bool bed_say(struct bed_client *client, const char *message); /* false: its socket holds one */

/* bed_client.c */
void bed_connect(struct bed_client *client);
bool bed_use_grant(struct bed *bed);  /* a socket arrives, or never does; false: there is none */
bool bed_open_grant(struct bed *bed); /* it arrives */
void bed_leave(struct bed_client *client, bool goodbye);

#endif
