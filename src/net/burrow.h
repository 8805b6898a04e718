/*
 * The burrow: where the sockets of WebSocket sessions live, asleep or awake.
 * It has an epoll set of its own and knows descriptors, bare or with TLS on
 * them (net/line): a parked socket is 16 bytes of record and one of state, with
 * no parser and no buffer, and what OpenSSL keeps where it speaks TLS. What a socket needs for a
 * while (a message that came in part, input that is held, output that the kernel would not take) is
 * allocated then and freed after. RFC 6455.
 *
 *   in    all that is readable is read into one buffer of the shard's; whole frames are
 *         handled there in place. A message that comes in part or in fragments is gathered by a
 *         wslay event context, which lives until that message ends.
 *   out   dm_burrow_send only queues. dm_burrow_flush, at the end of the loop's turn, writes all
 *         that is ready for a socket in one go; where the same run of frames goes to many
 *         sockets it is joined once for all of them. Only a short write gives a socket an
 *         out-queue and EPOLLOUT; one that grows past max_unsent closes it with 4008.
 *
 * A socket's life:
 *
 *   dm_burrow_adopt ─► ADOPTED ─ dm_burrow_start ─► OPEN ─┬─ peer's Close, error, EOF ─► (closed)
 *                                                         └─ dm_burrow_close ─► LINGERING ─► gone
 *
 * LINGERING: our Close frame is on its way; input is read and thrown away until the peer
 * closes or linger_ms have passed. The owner has already forgotten the socket.
 *
 * One thread: the shard's. Numbers of sockets are never 0 and are reused.
 */
#ifndef DM_NET_BURROW_H
#define DM_NET_BURROW_H

#include "base/address.h"
#include "base/metrics.h"
#include "base/slice.h"
#include "codec/frame.h"
#include "model/wire.h"

struct dm_burrow;
struct ssl_st;

enum dm_burrow_answer {
    DM_BURROW_TAKEN, /* go on */
    DM_BURROW_HOLD,  /* offer this message again after dm_burrow_resume; read nothing until then */
};

enum dm_burrow_end {
    DM_BURROW_BY_PEER,  /* a Close frame came, and was answered with its code */
    DM_BURROW_DROPPED,  /* end of file, or an error of the socket */
    DM_BURROW_PROTOCOL, /* the peer broke the protocol (1002, 1007, 1009) */
    DM_BURROW_SLOW,     /* too much was unsent (4008) */
};

/* What the burrow tells the owner. Inside these, send, close and resume may be called for any
 * socket; nothing is freed under the caller. */
struct dm_burrow_events {
    void *self;
    /* One whole message, TEXT (well-formed UTF-8) or BINARY. `message` is good until it returns. */
    enum dm_burrow_answer (*message)(void *self, uint32_t owner, enum dm_opcode opcode,
                                     struct dm_slice message);
    /* The socket is gone, or is lingering by itself. `code` is the Close code, 0 if there was
     * none. Not called after dm_burrow_close. */
    void (*closed)(void *self, uint32_t owner, enum dm_burrow_end how, int code);
};

struct dm_burrow_options {
    uint64_t max_message; /* bytes of one message; over it 1009 */
    uint64_t max_unsent;  /* bytes queued for one socket; over it 4008 */
    uint32_t linger_ms;
    bool from_clients; /* frames that come in are masked (true but in tests) */
};

struct dm_burrow *dm_burrow_create(const struct dm_burrow_options *options,
                                   const struct dm_burrow_events *events,
                                   struct dm_metrics *metrics);
void dm_burrow_destroy(struct dm_burrow **burrow); /* closes every socket, tells nobody */

/* The epoll set: when it is readable, call dm_burrow_ready (which handles one batch). */
int dm_burrow_fd(const struct dm_burrow *burrow);
void dm_burrow_ready(struct dm_burrow *burrow);

/* At the end of every turn: resumes, writes, frees what was closed meanwhile. */
void dm_burrow_flush(struct dm_burrow *burrow);

/* Ends lingering that is over. Returns when it wants to be called again, UINT64_MAX if never. */
uint64_t dm_burrow_tick(struct dm_burrow *burrow, uint64_t now_mono_ms);

/* Takes over `fd` (a connected stream socket after its handshake): sets it non-blocking. Then
 * dm_burrow_start names its owner, handles the bytes that had come behind the handshake, and parks
 * it. */
uint32_t dm_burrow_adopt(struct dm_burrow *burrow, int fd);
void dm_burrow_start(struct dm_burrow *burrow, uint32_t sock, uint32_t owner,
                     struct dm_slice early);

/* In between: all goes through `tls`, which it takes over too. It reads and writes the descriptor,
 * without blocking, and holds no plaintext that was not taken from it. */
void dm_burrow_speak_tls(struct dm_burrow *burrow, uint32_t sock, struct ssl_st *tls);

void dm_burrow_send(struct dm_burrow *burrow, uint32_t sock, struct dm_wire *wire);
void dm_burrow_close(struct dm_burrow *burrow, uint32_t sock, int code, struct dm_slice reason);
void dm_burrow_resume(struct dm_burrow *burrow, uint32_t sock);
uint64_t dm_burrow_unsent(struct dm_burrow *burrow, uint32_t sock); /* bytes of earlier turns */

void dm_burrow_ping_all(struct dm_burrow *burrow); /* an empty Ping to every open socket */

/* Whom it is connected with; UNKNOWN where the kernel cannot say any more. */
struct dm_address dm_burrow_peer(const struct dm_burrow *burrow, uint32_t sock);

/* Sockets that are not yet gone, lingering ones too: for a drain that waits. */
uint32_t dm_burrow_count(const struct dm_burrow *burrow);

#endif
