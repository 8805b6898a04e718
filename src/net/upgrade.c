/* Handshakes, and the admission of their sessions. */
#include "net/upgrade.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <h2o.h>
#include <h2o/http1.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/alloc.h"
#include "model/name.h"
#include "net/authorize.h"
#include "net/connection.h"
#include "net/guard.h"
#include "net/loop.h"
#include "net/paging.h"
#include "net/reply.h"
#include "net/resume.h"
#include "net/tls.h"

/* --- the handshake --- */

static bool has_token(struct dm_slice list, struct dm_slice lower_token)
{
    while (list.at)
        if (dm_slice_eq_nocase(dm_slice_trim(dm_slice_split(&list, ',')), lower_token))
            return true;
    return false;
}

/* The first subprotocol that is not there to carry a token. */
static struct dm_slice select_subprotocol(struct dm_slice offered)
{
    while (offered.at) {
        struct dm_slice name = dm_slice_trim(dm_slice_split(&offered, ','));
        if (name.len && !dm_slice_starts(name, DM_SLICE("bearer.")))
            return name;
    }
    return DM_NO_SLICE;
}

static bool is_key(struct dm_slice key)
{
    unsigned char decoded[20];
    return key.len == 24 && key.at[22] == '=' && key.at[23] == '=' &&
           EVP_DecodeBlock(decoded, (const unsigned char *)key.at, 24) == 18;
}

static const struct dm_slice native = DM_SLICE_INIT("dormouse.v1");

int dm_handshake_read(struct dm_request *request, struct dm_handshake *handshake)
{
    h2o_req_t *req = request->h2o;
    struct dm_slice upgrade = dm_slice(req->upgrade.base, req->upgrade.len);
    if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) || req->version < 0x101 ||
        !upgrade.at || !has_token(upgrade, DM_SLICE("websocket")))
        return DM_ERR_UPGRADE_REQUIRED;
    struct dm_slice version = dm_request_header(request, DM_SLICE("sec-websocket-version"));
    if (!dm_slice_eq(version, DM_SLICE("13")))
        return DM_ERR_UPGRADE_REQUIRED;
    handshake->key = dm_request_header(request, DM_SLICE("sec-websocket-key"));
    if (!is_key(handshake->key)) {
        request->why = DM_SLICE("Sec-WebSocket-Key is missing or malformed");
        return DM_ERR_BAD_REQUEST;
    }
    struct dm_slice offered = dm_request_header(request, DM_SLICE("sec-websocket-protocol"));
    handshake->msgpack = has_token(offered, DM_SLICE("dormouse.v1.msgpack"));
    handshake->native = has_token(offered, native);
    handshake->subprotocol = handshake->native ? native : select_subprotocol(offered);
    return DM_OK;
}

static void add_accept(h2o_req_t *req, struct dm_slice key)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char both[24 + sizeof guid - 1];
    unsigned char digest[SHA_DIGEST_LENGTH], accept[32];
    memcpy(both, key.at, 24);
    memcpy(both + 24, guid, sizeof guid - 1);
    SHA1((const unsigned char *)both, sizeof both, digest);
    int len = EVP_EncodeBlock(accept, digest, sizeof digest);
    dm_reply_header(req, "sec-websocket-accept", dm_slice((const char *)accept, (size_t)len));
}

struct accepting {
    dm_handshake_done *done;
    void *context;
};

static const struct dm_line no_line = {-1, NULL};

/* Takes the socket away from h2o, for good. `input` is the caller's to dispose of if there is a
 * line. */
static struct dm_line take_out(h2o_socket_t *sock, h2o_buffer_t **input)
{
    struct ssl_st *tls = dm_connection_tls(sock);
    h2o_socket_export_t exported;
    if (h2o_socket_export(sock, &exported) != 0) {
        h2o_socket_close(sock);
        return no_line;
    }
    if (tls && !dm_tls_take(tls, &exported))
        return no_line;
    *input = exported.input;
    return (struct dm_line){exported.fd, tls};
}

/* h2o has let go of the connection: what is left of it is the socket, and input behind the head. */
static void on_accepted(void *data, h2o_socket_t *sock, size_t head_size)
{
    struct accepting accepting = *(struct accepting *)data;
    struct dm_line line = no_line;
    h2o_buffer_t *input;
    free(data);
    if (sock) {
        h2o_buffer_consume(&sock->input, head_size);
        line = take_out(sock, &input);
    }
    if (line.fd < 0) {
        accepting.done(accepting.context, line, DM_NO_SLICE);
        return;
    }
    accepting.done(accepting.context, line, dm_slice(input->bytes, input->size));
    h2o_buffer_dispose(&input);
}

void dm_handshake_accept(h2o_req_t *req, const struct dm_handshake *handshake,
                         dm_handshake_done *done, void *context)
{
    struct accepting *accepting = DM_NEW(struct accepting);
    *accepting = (struct accepting){done, context};
    req->res.status = 101;
    req->res.reason = "Switching Protocols";
    dm_reply_header(req, "upgrade", DM_SLICE("websocket"));
    add_accept(req, handshake->key);
    if (handshake->subprotocol.at)
        dm_reply_header(req, "sec-websocket-protocol", handshake->subprotocol);
    h2o_http1_upgrade(req, NULL, 0, on_accepted, accepting);
}

/* --- admission --- */

/* An upgrade on its way: from the asking of the user's shard to the socket's arrival there. */
struct arrival {
    struct dm_mail mail; /* carries the socket to its shard */
    struct dm_admission admission;
    struct dm_loop *loop; /* where the request is */
    struct dm_handle handle;
    struct dm_handshake handshake; /* slices into the request, good while it is there */
    struct dm_line line;
    struct dm_origin origin;
    struct dm_buf early;
};

static struct dm_slice user_of(const struct arrival *arrival)
{
    return dm_slice(arrival->admission.user_id, arrival->admission.user_len);
}

static void put_away(struct arrival *arrival)
{
    dm_buf_dispose(&arrival->early);
    dm_admission_dispose(&arrival->admission);
    free(arrival);
}

static void arrive(struct dm_mail *mail, struct dm_shard *here)
{
    struct arrival *arrival = DM_CONTAINER(mail, struct arrival, mail);
    dm_loop_adopt(dm_loop_of_shard(here), arrival->line, &arrival->admission, &arrival->origin,
                  dm_buf_slice(&arrival->early));
    put_away(arrival);
}

static void give_places_back(struct dm_loop *loop, uint32_t place)
{
    dm_guard_give_place(dm_server_guard(dm_loop_server(loop)), place);
    dm_server_give_connection(dm_loop_server(loop));
}

static void turn_back(struct arrival *arrival)
{
    give_places_back(arrival->loop, arrival->origin.place);
    dm_session_withdraw(dm_loop_shard(arrival->loop), &arrival->admission);
    put_away(arrival);
}

static void on_socket(void *context, struct dm_line line, struct dm_slice early)
{
    struct arrival *arrival = context;
    struct dm_shard *shard = dm_loop_shard(arrival->loop);
    if (line.fd < 0) {
        turn_back(arrival);
        return;
    }
    arrival->line = line;
    dm_buf_add_slice(&arrival->early, early);
    uint32_t owner = dm_shard_owner(shard, user_of(arrival));
    arrival->mail.run = arrive;
    if (owner == dm_shard_number(shard)) {
        arrive(&arrival->mail, shard);
        return;
    }
    struct dm_post post = dm_server_post(dm_loop_server(arrival->loop));
    post.send(post.self, owner, &arrival->mail);
}

/* What a client does once it has the 101 must find its session: the kernel keeps that back until
 * the session is open (dm_loop_adopt). Not on a Unix socket, where it does no harm. */
static void cork(h2o_req_t *req)
{
    int on = 1, fd = h2o_socket_get_fd(req->conn->callbacks->get_socket(req->conn));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

static void on_admission(struct dm_admission *admission, struct dm_shard *here)
{
    struct arrival *arrival = DM_CONTAINER(admission, struct arrival, admission);
    struct dm_loop *loop = dm_loop_of_shard(here);
    if (admission->err) {
        give_places_back(loop, arrival->origin.place);
        dm_reply_later_error(loop, arrival->handle, admission->err);
        put_away(arrival);
        return;
    }
    h2o_req_t *req = dm_kept_answer(dm_loop_kept(loop), arrival->handle);
    if (!req) {
        turn_back(arrival);
        return;
    }
    cork(req);
    dm_handshake_accept(req, &arrival->handshake, on_socket, arrival);
}

static int take_places(struct dm_request *request, struct dm_handle *handle, uint32_t *place)
{
    struct dm_server *server = dm_loop_server(request->loop);
    if (!dm_server_take_connection(server))
        return DM_ERR_MAX_CONNECTIONS;
    int err = dm_guard_take_place(dm_server_guard(server), request, place);
    if (!err)
        err = dm_request_keep(request, DM_KEEP_SHORT, handle);
    if (err)
        give_places_back(request->loop, *place);
    return err;
}

static void admit(struct dm_request *request, const struct dm_handshake *handshake,
                  struct arrival *arrival)
{
    arrival->loop = request->loop;
    arrival->handshake = *handshake;
    arrival->admission.done = on_admission;
    arrival->admission.user_len = request->principal.id_len;
    memcpy(arrival->admission.user_id, request->principal.id, request->principal.id_len);
    arrival->admission.may_publish = dm_principal_may_publish(&request->principal);
    arrival->admission.expires_ms =
        dm_principal_session_end(&request->principal, dm_shard_wall(dm_loop_shard(request->loop)));
    if (dm_loop_keeps_claims(request->loop, request->claims) &&
        arrival->admission.dialect == DM_DIALECT_NATIVE)
        dm_buf_add_slice(&arrival->admission.claims, request->claims);
    if (dm_dialect_of(arrival->admission.dialect)->resumes) {
        dm_resume_secrets(request, &arrival->admission);
        arrival->origin.forwarded = /* for its refreshes */
            dm_guard_forwarded(dm_server_guard(dm_loop_server(request->loop)), request);
    }
    dm_session_admit(dm_loop_shard(request->loop), &arrival->admission);
}

/* What is known of an upgrade before it is known whose. */
struct upgrade {
    struct dm_handshake handshake;
    enum dm_dialect_id dialect;
    struct dm_slice channel; /* of a dialect that listens */
};

static int upgrade_known(struct dm_request *request)
{
    const struct upgrade *upgrade = request->state;
    struct dm_handle handle;
    uint32_t place = 0;
    if (request->principal.kind != DM_PRINCIPAL_USER) {
        request->why = DM_SLICE("A socket needs a user's token, not an API key");
        return DM_ERR_UNAUTHORIZED;
    }
    if (upgrade->handshake.msgpack) {
        request->why = DM_SLICE("This version does not speak msgpack yet: ask for dormouse.v1");
        return DM_ERR_NOT_YET;
    }
    int err = take_places(request, &handle, &place);
    if (err)
        return err;
    struct arrival *arrival = DM_NEW(struct arrival);
    arrival->handle = handle;
    arrival->origin.place = place;
    arrival->admission.dialect = upgrade->dialect;
    arrival->admission.channel_len = (uint8_t)upgrade->channel.len;
    memcpy(arrival->admission.channel, upgrade->channel.at, upgrade->channel.len);
    admit(request, &upgrade->handshake, arrival);
    return DM_OK;
}

int dm_upgrade(struct dm_request *request, enum dm_dialect_id dialect)
{
    struct upgrade *upgrade = dm_request_alloc(request, sizeof *upgrade);
    int err = dm_handshake_read(request, &upgrade->handshake);
    if (err)
        return err;
    upgrade->channel = DM_SLICE("");
    upgrade->dialect = upgrade->handshake.native ? DM_DIALECT_NATIVE : dialect;
    request->state = upgrade;
    return dm_request_identify(request, upgrade_known);
}

static int channel_known(struct dm_request *request)
{
    const struct upgrade *upgrade = request->state;
    return dm_request_authorize_channel(request, upgrade->channel, upgrade_known);
}

int dm_upgrade_to_channel(struct dm_request *request)
{
    struct upgrade *upgrade = dm_request_alloc(request, sizeof *upgrade);
    int err = dm_handshake_read(request, &upgrade->handshake);
    if (!err && (upgrade->handshake.native || upgrade->handshake.msgpack)) {
        request->why = DM_SLICE("dormouse.v1 is spoken at /, /connect and /ws");
        err = DM_ERR_BAD_REQUEST;
    }
    if (!err)
        err = dm_typed_name(request, &upgrade->channel);
    if (err)
        return err;
    upgrade->dialect = DM_DIALECT_BROADCAST;
    request->state = upgrade;
    return dm_name_needs_grant(upgrade->channel)
               ? dm_request_identify(request, channel_known)
               : dm_request_identify_guest(request, channel_known);
}
