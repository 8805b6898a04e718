/*
 * The client's connection: where to, and bytes with deadlines. Private to the
 * client files.
 */
#ifndef DM_NET_CLIENT_IO_H
#define DM_NET_CLIENT_IO_H

#include "net/client.h"
#include "net/line.h"

struct dm_client {
    struct dm_line line;
    uint32_t timeout_ms;       /* for connecting, sending and an answer */
    struct dm_buf host, path;  /* the Host field's value; the request target */
    struct dm_buf in;          /* what was read */
    size_t at;                 /* so much of it is used up */
    struct dm_buf out;         /* the request or frame being sent */
    struct dm_buf gathered;    /* the fragments of a message so far */
    enum dm_opcode fragmented; /* of what kind it is; 0: none is open */
    bool closing;              /* our Close frame has been sent */
};

/* Opens the socket and fills in host and path. */
bool dm_client_dial(struct dm_client *client, const char *url, const char *path,
                    struct dm_buf *why) DM_MUST_CHECK;

/* Waits for poll(2)'s `events`; false with errno ETIMEDOUT at the deadline (monotonic ms). */
bool dm_client_wait(const struct dm_client *client, short events, uint64_t deadline) DM_MUST_CHECK;

/* client_tls.c: puts TLS on the connection, and sees that `host` is who answers. */
bool dm_client_secure(struct dm_client *client, const char *host, struct dm_buf *why) DM_MUST_CHECK;

/* Sends `out`, all of it, within the timeout. */
bool dm_client_flush(struct dm_client *client, struct dm_buf *why) DM_MUST_CHECK;

enum dm_client_read { DM_CLIENT_READ_SOME, DM_CLIENT_READ_LATE, DM_CLIENT_READ_END };

/* Reads more behind `in`, waiting until `deadline` (monotonic ms). END: end of file or an error;
 * `why` says which. */
enum dm_client_read dm_client_fill(struct dm_client *client, uint64_t deadline, struct dm_buf *why);

static inline struct dm_slice dm_client_unread(const struct dm_client *client)
{
    return dm_slice(client->in.bytes ? client->in.bytes + client->at : "",
                    client->in.len - client->at);
}

#endif
