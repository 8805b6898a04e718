/*
 * The world of dm-sim-channels (../bed.h): users join and leave channels by the
 * hub's calls and on their sockets; backends send to channels, list and end
 * them; clients of every dialect hear what comes.
 *
 * What it holds the hub to: see check_send (sends.c) for who gets a send,
 * changed (members.c) for what an answered change means, presence_look
 * (presence.c) for who is seen where.
 */
#ifndef DM_TESTS_SIM_CHANNELS_WORLD_H
#define DM_TESTS_SIM_CHANNELS_WORLD_H

#include "../bed.h"
#include "hub/channel.h"
#include "hub/publish.h"
#include "hub/user.h"

enum {
    USERS = 7, /* and a bit for each in a uint32_t */
    CLIENTS = 21,
    CHANNELS = 4, /* the last two are presence channels */
    FIRST_PRESENCE = 2,
    SENDS = 240, /* of one run at most */
    ACKS = 1000,
    COMMANDS = 1000,
    STEPS = 400,
    NEVER = 0,
};

/* --- sends and whispers --- */

struct send {
    struct dm_uuid id; /* a whisper's is the hub's */
    uint32_t channel, type;
    uint32_t timeout_ms;
    bool durable, repeatable;
    bool whisper, certain;    /* certain: nobody will say that it was sent, but it was */
    uint32_t from, from_sock; /* of a whisper: a client's number, and its socket */

    uint32_t asked_at, answered_at, answered_in; /* steps, and a life; NEVER */
    uint32_t failures;                           /* of the store, when all was last at rest */
    uint32_t asking;                             /* calls that are not answered */
    bool refused;                                /* it was answered with an error */
    bool repeated;                               /* asked more than once */
    bool loose; /* asked again after an error: some may get it twice, others never */
    bool checked;

    /* Users, while it is asked: those that are members all the time, those that never are. */
    uint32_t members, strangers;
    uint32_t extras_low, extras_high;
    bool recorded; /* the store has it, for these: */
    uint32_t targets, target_extras;
    /* Clients. */
    uint32_t through;     /* those that take it, and have been there ever since it was asked */
    uint32_t live, again; /* those that got it; were redelivered it */
    uint32_t gone;        /* how many have left, that might have been about to get it */
    uint32_t maybe_acked; /* users that have said an ack */
    uint32_t forgotten;   /* users to whom it may be owed no more */
    uint32_t told_members, told_delivered;
};

/* --- clients --- */

enum sight { SIGHT_UNKNOWN, SIGHT_AWAY, SIGHT_HERE };

struct client {
    struct bed_client bed;
    struct world *world;
    uint32_t user, channel; /* channel: that it listens to, in a dialect that does */
    /* Of its socket. */
    uint32_t opened_at;
    bool wants[2];                 /* the types that it has asked for, hopeflow only */
    bool got[SENDS];               /* on this socket */
    uint32_t heard[SENDS], hears;  /* the same in order, without what was redelivered */
    uint8_t sees[CHANNELS][USERS]; /* enum sight: what it must think by what it was told */
};

/* A command of a native session, by its ref. */
enum command { COMMAND_NONE, COMMAND_JOIN, COMMAND_LEAVE, COMMAND_WHISPER, COMMAND_PRESENCE };

struct command_out {
    enum command what; /* COMMAND_NONE: it was answered, or never will be */
    uint32_t client, sock, channel, send;
    struct watch *watch;
};

/* --- members --- */

/* One user in one channel. While changes are out it is shaky, unless they change nothing. */
struct membership {
    bool is;             /* as the store has committed it */
    bool shaky, moved;   /* moved: since the last quiet moment */
    bool was;            /* before those that are out */
    uint32_t out, begun; /* begun: since none was out */
};

/* Who must, and must not, be in a list while that is being made. */
struct watch {
    struct watch *next;
    struct world *world;
    uint32_t channel, here, away; /* users */
    bool partial;                 /* a page may end before them */
    struct dm_presence_call call;
};

struct world {
    struct bed bed;
    struct client clients[CLIENTS];
    struct membership members[CHANNELS][USERS];
    struct {
        uint32_t is, was; /* members that never connect, as the store has them; before it ended */
        uint32_t endings; /* that are out */
    } extras[CHANNELS];
    bool ended[CHANNELS]; /* since the last quiet moment: of its members' end nobody is told */
    uint64_t unclear_until[USERS]; /* may its sessions be there for the hub, and not in the store */
    uint32_t grants[CHANNELS];     /* users whom the hook lets in */
    uint32_t window_ms, page_rows, max_channels;
    uint32_t failures_at_rest; /* of the store */
    bool calm;                 /* the store does not fail, and has not for a while */
    struct send sends[SENDS];
    uint32_t send_count;
    bool before[SENDS][SENDS]; /* someone got this one before that one */
    struct {
        uint32_t send;
        bool told;
    } acks[ACKS];
    uint32_t ack_count;
    struct command_out commands[COMMANDS];
    uint32_t command_count;
    struct watch *watches;
    struct dm_authorization *undecided[64];
    uint32_t undecided_count;
};

static inline struct world *world_of(struct bed *bed)
{
    return DM_CONTAINER(bed, struct world, bed);
}

static inline struct client *client_of(struct bed_client *bed)
{
    return DM_CONTAINER(bed, struct client, bed);
}

static inline bool is_native(const struct client *client)
{
    return client->bed.dialect == DM_DIALECT_NATIVE;
}

static inline bool listens(const struct client *client)
{
    return client->bed.dialect == DM_DIALECT_BROADCAST;
}

/* main.c */
extern const char *const user_names[USERS];
extern const char *const channel_names[CHANNELS];
uint32_t user_named(struct world *world, struct dm_slice name);
uint32_t channel_named(struct world *world, struct dm_slice name); /* CHANNELS: none of ours */
struct dm_slice channel_name(uint32_t channel);
void expect_failures(struct world *world, int err, const char *what);
void world_rest(struct world *world); /* nothing is on its way, to clients neither */

/* members.c */
void members_ask(struct world *world);
void members_end_channel(struct world *world);
void members_disconnect(struct world *world);
void members_check(struct world *world); /* at rest */
void members_add_extras(struct world *world);
void member_begin(struct world *world, uint32_t channel, uint32_t user, bool join);
void member_done(struct world *world, uint32_t channel, uint32_t user);
void member_answered(struct world *world, uint32_t channel, uint32_t user, bool join, int err);
void members_committed(struct bed *bed, struct dm_store_op *op);
uint32_t members_mask(const struct world *world, uint32_t channel);

/* clients.c */
void clients_init(struct world *world);
void client_opened(struct bed_client *bed, bool resumed);
void client_heard(struct bed_client *bed, struct dm_slice text);
void client_closed(struct bed_client *bed, int code);
void client_connect(struct client *client);
void client_leave(struct client *client, bool goodbye);

/* commands.c: what clients say */
void client_subscribe(struct client *client);
void client_ack(struct client *client);
void client_command(struct client *client);
void client_whisper(struct client *client);
void commands_hear(struct client *client, struct dm_slice object);
void commands_end(struct world *world, bool all); /* at rest; all: or after a crash */
bool commands_authorize(struct bed *bed, struct dm_authorization *ask);
bool commands_decide(struct bed *bed);

/* sends.c */
void send_make(struct world *world);
void send_again(struct world *world);
struct send *send_begin(struct world *world, uint32_t channel); /* NULL: there are too many */
void send_got(struct client *client, struct dm_slice channel, uint32_t which, bool again);
void sends_shake(struct world *world, uint32_t channel, uint32_t user);
void sends_recorded(struct world *world, struct dm_store_op *op);
void sends_forgotten(struct world *world, uint32_t user); /* what is owed to it */
void sends_left(struct client *client);                   /* its socket is gone */
void sends_check(struct world *world);                    /* at rest, and the store is well */
void sends_check_order(struct world *world);
void sends_check_owed(struct world *world);

/* presence.c */
void presence_ask(struct world *world);
struct watch *watch_begin(struct world *world, uint32_t channel);
void watch_end(struct watch *watch, struct dm_slice members);
void presence_shake(struct world *world, uint32_t channel, uint32_t user);
void presence_opened(struct client *client);
void presence_left(struct client *client);
void presence_heard(struct client *client, uint32_t channel, struct dm_slice payload, bool came);
void presence_forget(struct world *world);
void presence_look(struct world *world); /* at rest, and the store is well */

#endif
