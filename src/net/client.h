/*
 * A small blocking client for the command line: one HTTP/1.1 exchange, or one
 * WebSocket, over TCP, with or without TLS, or a Unix socket. Every wait has an
 * end and every buffer a bound (DM_CLIENT_MAX). One thread.
 */
#ifndef DM_NET_CLIENT_H
#define DM_NET_CLIENT_H

#include <stdint.h>

#include "base/buf.h"
#include "codec/frame.h"

enum { DM_CLIENT_MAX = 16 * 1024 * 1024 };

struct dm_client;

/*
 * Connects to `url`: http://host[:port][/path], https://, ws:// and wss://
 * likewise, or unix:/path/of/socket. `path` is asked for where the URL has none but "/".
 * NULL on failure; all the functions here then say why in one line.
 */
struct dm_client *dm_client_connect(const char *url, const char *path, uint32_t timeout_ms,
                                    struct dm_buf *why) DM_MUST_CHECK;
void dm_client_destroy(struct dm_client **client);

struct dm_client_answer {
    int status;
    struct dm_slice body; /* good until the next call */
};

/* GETs. True: there is an answer, whatever its status. */
bool dm_client_get(struct dm_client *client, struct dm_slice token, struct dm_client_answer *answer,
                   struct dm_buf *why) DM_MUST_CHECK;

/* POSTs a JSON body; likewise. */
bool dm_client_post(struct dm_client *client, struct dm_slice token, struct dm_slice body,
                    struct dm_client_answer *answer, struct dm_buf *why) DM_MUST_CHECK;

/* Asks for a WebSocket. True: there is an answer; with status 101 it is open. */
bool dm_client_upgrade(struct dm_client *client, struct dm_slice token,
                       struct dm_client_answer *answer, struct dm_buf *why) DM_MUST_CHECK;

enum dm_client_event {
    DM_CLIENT_MESSAGE, /* `text` is a whole message, good until the next call */
    DM_CLIENT_QUIET,   /* nothing came in time */
    DM_CLIENT_CLOSED,  /* `code` is the Close frame's (1005: none), `text` its reason */
    DM_CLIENT_FAILED,  /* the line broke, or the peer broke the protocol */
};

struct dm_client_frame {
    struct dm_slice text;
    unsigned code;
};

/* Waits for the next message; answers pings and a Close by itself. */
enum dm_client_event dm_client_next(struct dm_client *client, uint32_t wait_ms,
                                    struct dm_client_frame *frame, struct dm_buf *why);

bool dm_client_send(struct dm_client *client, enum dm_opcode opcode, struct dm_slice payload,
                    struct dm_buf *why) DM_MUST_CHECK;

/* Sends Close 1000 and waits a moment for the peer's, so that what was sent before arrives. */
void dm_client_close(struct dm_client *client);

#endif
