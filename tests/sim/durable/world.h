/*
 * The world of dm-sim-durable (../bed.h): clients come and go, publishers ask,
 * ask again and look, operations of the store fail, and the process crashes.
 *
 * What it holds the hub to: a publish that was answered is delivered to each
 * user until an ack of it was answered, in order, once a socket; an ack that was
 * answered is in what its publisher is told; asked again it is the same publish.
 */
#ifndef DM_TESTS_SIM_DURABLE_WORLD_H
#define DM_TESTS_SIM_DURABLE_WORLD_H

#include "../bed.h"
#include "hub/publish.h"

enum {
    USERS = 3,
    CLIENTS = 8,
    PUBLISHES = 200, /* of one run at most */
    SHARDS_MAX = 3,
    ACKS = 2000,
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
    bool forgotten;             /* some target could not be reached: asked again it goes to all */
    char told[BED_MESSAGE_MAX]; /* the results of its first answer */
};

/* An ack, whose result is its number. */
struct ack {
    uint32_t publish, ok_at; /* the step when it was answered; 0: not yet */
};

struct client {
    struct bed_client bed;
    struct world *world;
    uint32_t user;
    bool native;
    /* Of its socket. */
    uint32_t opened_at;
    bool wants[2];       /* the types that it has asked for, hopeflow only */
    bool got[PUBLISHES]; /* on this socket */
};

struct world {
    struct bed bed;
    struct client clients[CLIENTS];
    struct published published[PUBLISHES];
    uint32_t published_count;
    struct ack acks[ACKS];
    uint32_t ack_count;
};

const char *user_name(uint32_t user);

/* clients.c */
void client_opened(struct bed_client *client, bool resumed);
void client_heard(struct bed_client *client, struct dm_slice text);
void client_subscribe(struct client *client);
void client_ack(struct client *client);

/* publishers.c */
void publisher_publish(struct world *world);
void publisher_repeat(struct world *world);
void publisher_look(struct world *world);
struct published *published_of(struct world *world, const struct dm_uuid *id);
void answer_check(struct world *world, const struct published *published, struct dm_slice results,
                  uint32_t asked_at);

#endif
