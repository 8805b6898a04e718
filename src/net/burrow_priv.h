/*
 * What the burrow's own files share: the record of a socket, what it has
 * beside that for a while, and how the parts call one another.
 *
 *   burrow.c       the table and the epoll set; a turn's order
 *   burrow_life.c  what comes and goes with a socket's states
 *   burrow_in.c    bytes to messages
 *   burrow_out.c   frames to bytes
 */
#ifndef DM_NET_BURROW_PRIV_H
#define DM_NET_BURROW_PRIV_H

#include "base/buf.h"
#include "base/list.h"
#include "base/slab.h"
#include "net/burrow.h"
#include "net/gather.h"
#include "net/line.h"
#include "net/runs.h"

/*
 *   FREE ── adopt ─► ADOPTED ── start ─► OPEN ──┬─ a Close either way ─► LINGERING ─┐
 *     ▲                 └───────── close ───────│──────────▲                        │
 *     │                                         └─ end of file, error ──────────────┴─► GONE
 *     └──────────────────────── at the turn's end: the number may be used again ──────────┘
 */
enum dm_sock_life { DM_SOCK_FREE, DM_SOCK_ADOPTED, DM_SOCK_OPEN, DM_SOCK_LINGERING, DM_SOCK_GONE };

/* A socket's byte of state: its life, and these. */
enum {
    DM_SOCK_LIFE = 7,
    DM_SOCK_IN_FRAME = 1 << 3, /* stands in the middle of an incoming frame or message */
    DM_SOCK_IN_WRITE = 1 << 4, /* stands in the middle of a write */
    DM_SOCK_HELD = 1 << 5,     /* its owner answered HOLD */
    DM_SOCK_WATCH_IN = 1 << 6, /* what the epoll set was told; with neither it is not in the set */
    DM_SOCK_WATCH_OUT = 1 << 7,
};

/* All that a parked socket is, with its byte of state. */
struct dm_sock {
    int fd;
    uint32_t owner;
    uint32_t live; /* in burrow.lives; 0: none */
    uint32_t turn; /* the run of frames to write at this turn's end; 0: nothing */
};

/* Bytes from..to of shared frames that the kernel would not take. */
struct dm_unsent {
    struct dm_wire *wire;
    uint32_t from, to;
    uint32_t frames; /* how many end in it */
};

struct dm_outq {
    struct dm_unsent *at;
    uint32_t first, end, room; /* at[first..end) wait */
    uint64_t bytes;
};

/* What a socket has only for a while. */
struct dm_sock_live {
    struct dm_list lingering; /* burrow.lingering, in the order of deadlines */
    uint64_t deadline;
    struct dm_gather *gather; /* the message that is coming in part */
    uint64_t frame_left;      /* bytes of its current frame that have not come */
    struct dm_buf message;    /* came whole, and is held */
    struct dm_buf rest;       /* came after that; or less than a header or control frame */
    size_t rest_at;           /* where in `rest` it begins */
    struct dm_wire *pong;     /* the answer to the latest Ping, when there were too many */
    struct dm_outq out;
    uint32_t sock;
    uint8_t opcode;   /* of `message` */
    bool resumed;     /* is in burrow.resumed */
    bool deaf;        /* what still comes is not even looked at */
    bool peer_closed; /* the peer's Close came */
    bool shut;        /* our side is shut down */
};

struct dm_sock_list {
    uint32_t *at;
    uint32_t count, room;
};

/* An end that was found where the owner must not be called. */
struct dm_untold {
    uint32_t sock, owner;
    enum dm_burrow_end how;
    int code;
};

/* A message event that is under way: they nest, as start may be called in one. */
struct dm_offer {
    uint32_t sock;
    bool resumed;
    struct dm_offer *outer;
};

enum {
    DM_BURROW_READ = 64 * 1024,
    DM_BURROW_FRONT = 256, /* room before what is read, for what had come in part before it */
    DM_BURROW_BATCH = 256,
};

struct dm_burrow {
    struct dm_burrow_options options;
    struct dm_burrow_events events;
    struct dm_metrics *metrics;
    int epoll, poke; /* `poke` is an eventfd: work is left for the next turn */
    struct dm_slab socks, lives;
    uint8_t *states; /* by number of the socket */
    uint32_t states_room, count;
    struct ssl_st **tls; /* by number too; as far as the highest that has spoken TLS, if any has */
    uint32_t tls_room;
    struct dm_runs runs;
    struct dm_sock_list dirty;    /* have something to write at this turn's end, */
    struct dm_sock_list writing;  /* and these had at an earlier one's; */
    uint32_t written;             /* so many of them are done */
    struct dm_sock_list resumed;  /* may be offered what they hold */
    struct dm_sock_list gone;     /* to be freed at this turn's end */
    struct dm_sock_list segments; /* scratch */
    struct dm_untold *untold;
    uint32_t untold_count, untold_room;
    struct dm_offer *offers; /* innermost first */
    struct dm_list lingering;
    char buffer[DM_BURROW_FRONT + DM_BURROW_READ];
};

static inline struct dm_sock *dm_sock_at(const struct dm_burrow *burrow, uint32_t sock)
{
    return dm_slab_at(&burrow->socks, sock);
}

static inline struct dm_sock_live *dm_sock_live(const struct dm_burrow *burrow, uint32_t sock)
{
    uint32_t live = dm_sock_at(burrow, sock)->live;
    return live ? dm_slab_at(&burrow->lives, live) : NULL;
}

static inline struct dm_line dm_sock_line(const struct dm_burrow *burrow, uint32_t sock)
{
    return (struct dm_line){dm_sock_at(burrow, sock)->fd,
                            sock < burrow->tls_room ? burrow->tls[sock] : NULL};
}

static inline enum dm_sock_life dm_sock_life(const struct dm_burrow *burrow, uint32_t sock)
{
    return burrow->states[sock] & DM_SOCK_LIFE;
}

static inline bool dm_sock_held(const struct dm_burrow *burrow, uint32_t sock)
{
    return (burrow->states[sock] & DM_SOCK_HELD) != 0;
}

static inline bool dm_outq_empty(const struct dm_outq *out)
{
    return out->first == out->end;
}

static inline void dm_sock_flag(struct dm_burrow *burrow, uint32_t sock, unsigned flag, bool on)
{
    unsigned state = burrow->states[sock];
    burrow->states[sock] = (uint8_t)(on ? state | flag : state & ~flag);
}

void dm_sock_list_push(struct dm_sock_list *list, uint32_t sock);

/* burrow_life.c */
void dm_sock_enter(struct dm_burrow *burrow, uint32_t sock, enum dm_sock_life life);
struct dm_sock_live *dm_sock_need_live(struct dm_burrow *burrow, uint32_t sock);
void dm_sock_linger(struct dm_burrow *burrow, uint32_t sock); /* a Close frame is queued */
void dm_sock_finish(struct dm_burrow *burrow, uint32_t sock); /* GONE, the fd is closed */
/* The peer is gone: the owner hears of it now, or at the flush. */
void dm_sock_drop(struct dm_burrow *burrow, uint32_t sock);
void dm_sock_mark_resumed(struct dm_burrow *burrow, uint32_t sock);
/* The last step whenever something was done with a socket: ends lingering that is over, frees what
 * is not needed any more, tells the epoll set what to wait for. Calls no event. */
void dm_sock_settle(struct dm_burrow *burrow, uint32_t sock);
void dm_sock_mute(struct dm_burrow *burrow, uint32_t sock); /* held: takes it out of the set */
void dm_burrow_tell(struct dm_burrow *burrow, uint32_t owner, enum dm_burrow_end how, int code);
void dm_burrow_tell_later(struct dm_burrow *burrow, uint32_t sock, enum dm_burrow_end how,
                          int code);
bool dm_burrow_forget_untold(struct dm_burrow *burrow, uint32_t sock);
bool dm_burrow_is_untold(const struct dm_burrow *burrow, uint32_t sock);

/* burrow_in.c */
void dm_sock_read(struct dm_burrow *burrow, uint32_t sock);
void dm_sock_take_early(struct dm_burrow *burrow, uint32_t sock, struct dm_slice early);
void dm_sock_offer_held(struct dm_burrow *burrow, uint32_t sock);

/* burrow_out.c */
void dm_sock_queue(struct dm_burrow *burrow, uint32_t sock, struct dm_wire *wire);
void dm_sock_write_unsent(struct dm_burrow *burrow, uint32_t sock); /* on EPOLLOUT */
void dm_burrow_write(struct dm_burrow *burrow);        /* a turn's share; calls no event */
bool dm_burrow_writes(const struct dm_burrow *burrow); /* there is more to write */
void dm_sock_drop_output(struct dm_burrow *burrow, struct dm_sock_live *live);

#endif
