/* The echo server: h2o accepts and shakes hands, the burrow does the rest. */
#include "net/echo.h"

#include <unistd.h>

#include <h2o.h>
#include <h2o/http1.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "net/burrow.h"
#include "net/reply.h"
#include "net/upgrade.h"

enum {
    ACCEPTS_A_TURN = 64,
    LINGER_MS = 3000,
    LONGEST_TURN_MS = 60000,
    UNSENT_MESSAGES = 16, /* of the largest size, for one socket */
};

struct echo {
    h2o_loop_t *h2o;
    h2o_globalconf_t config;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    struct dm_burrow *burrow;
    struct dm_metrics metrics;
    struct dm_server_options options; /* all at rest: what errors look like depends on them */
};

struct handler {
    h2o_handler_t super;
    struct echo *echo;
};

/* A socket is its own owner. */
static enum dm_burrow_answer on_message(void *self, uint32_t sock, enum dm_opcode opcode,
                                        struct dm_slice message)
{
    struct dm_wire *wire = dm_wire_create(opcode, message);
    dm_burrow_send(((struct echo *)self)->burrow, sock, wire);
    dm_wire_release(wire);
    return DM_BURROW_TAKEN;
}

static void on_closed(void *self, uint32_t sock, enum dm_burrow_end how, int code)
{
    (void)self, (void)sock, (void)how, (void)code;
}

static void on_socket(void *self, struct dm_line line, struct dm_slice early)
{
    struct echo *echo = self;
    if (line.fd < 0)
        return;
    uint32_t sock = dm_burrow_adopt(echo->burrow, line.fd);
    dm_burrow_start(echo->burrow, sock, sock, early);
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    struct echo *echo = ((struct handler *)self)->echo;
    struct dm_request request = {.h2o = req};
    struct dm_handshake handshake;
    int err = dm_handshake_read(&request, &handshake);
    if (err)
        dm_reply_raw_error(req, &echo->options, err, request.why);
    else
        dm_handshake_accept(req, &handshake, on_socket, echo);
    return 0;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct echo *echo = listener->data;
    for (int i = 0; !err && i < ACCEPTS_A_TURN; i++) {
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (!sock)
            return;
        h2o_http1_accept(&echo->accept, sock, *h2o_get_timestamp(&echo->context, NULL, NULL));
    }
}

static void on_burrow_ready(h2o_socket_t *sock, const char *err)
{
    DM_CHECK(err == NULL);
    dm_burrow_ready(((struct echo *)sock->data)->burrow);
}

static void read_from(struct echo *echo, int fd, h2o_socket_cb on_ready)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(echo->h2o, fd, H2O_SOCKET_FLAG_DONT_READ);
    sock->data = echo;
    h2o_socket_read_start(sock, on_ready);
}

static void configure_h2o(struct echo *echo)
{
    h2o_config_init(&echo->config);
    echo->config.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host =
        h2o_config_register_host(&echo->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct handler *handler = (struct handler *)h2o_create_handler(path, sizeof *handler);
    handler->super.on_req = on_request;
    handler->echo = echo;
    h2o_context_init(&echo->context, echo->h2o, &echo->config);
    echo->accept.ctx = &echo->context;
    echo->accept.hosts = echo->config.hosts;
}

static void create_burrow(struct echo *echo, uint64_t max_message)
{
    struct dm_burrow_options options = {
        .max_message = max_message,
        .max_unsent = UNSENT_MESSAGES * max_message,
        .linger_ms = LINGER_MS,
        .from_clients = true,
    };
    struct dm_burrow_events events = {echo, on_message, on_closed};
    echo->burrow = dm_burrow_create(&options, &events, &echo->metrics);
}

void dm_echo_run(int listen_fd, uint64_t max_message)
{
    struct echo *echo = DM_NEW(struct echo);
    echo->h2o = h2o_evloop_create();
    configure_h2o(echo);
    create_burrow(echo, max_message);
    read_from(echo, dm_burrow_fd(echo->burrow), on_burrow_ready);
    read_from(echo, listen_fd, on_accept);
    for (;;) {
        dm_burrow_flush(echo->burrow);
        uint64_t now = dm_clock_mono_ms(), next = dm_burrow_tick(echo->burrow, now);
        uint64_t wait = next > now ? next - now : 0;
        h2o_evloop_run(echo->h2o, wait < LONGEST_TURN_MS ? (int32_t)wait : LONGEST_TURN_MS);
    }
}
