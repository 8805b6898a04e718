/* Making a TLS context, what it tells us of h2o's connections, and the way out of h2o. */
#include "net/tls.h"

#include <fcntl.h>

#include <h2o.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/err.h"
#include "net/connection.h"

/* --- the certificate and its key --- */

static int fail(struct dm_buf *why, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    dm_buf_printf(why, "%s (%s)", what, reason ? reason : "unknown error");
    return DM_ERR_INVALID_FIELD;
}

/* For a key under a passphrase: without this OpenSSL would ask the terminal. */
static int no_passphrase(char *to, int room, int writing, void *context)
{
    (void)to, (void)room, (void)writing, (void)context;
    return -1;
}

static BIO *reader_of(struct dm_slice text)
{
    BIO *reader = BIO_new_mem_buf(text.len ? text.at : "", (int)text.len);
    DM_CHECK(reader);
    return reader;
}

/* The certificate itself, then those of its chain up to the end of the text. */
static bool use_certificates(SSL_CTX *tls, BIO *reader)
{
    X509 *one = PEM_read_bio_X509_AUX(reader, NULL, no_passphrase, NULL);
    bool ok = one && SSL_CTX_use_certificate(tls, one) == 1;
    X509_free(one);
    while (ok && (one = PEM_read_bio_X509(reader, NULL, no_passphrase, NULL)) != NULL) {
        ok = SSL_CTX_add0_chain_cert(tls, one) == 1;
        if (!ok)
            X509_free(one);
    }
    return ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

static int load_pair(SSL_CTX *tls, struct dm_slice certificate, struct dm_slice key,
                     struct dm_buf *why)
{
    BIO *reader = reader_of(certificate);
    bool ok = use_certificates(tls, reader);
    BIO_free(reader);
    if (!ok)
        return fail(why, "tls_cert: holds no certificate that can be used, or a broken chain");
    ERR_clear_error();
    reader = reader_of(key);
    EVP_PKEY *pair = PEM_read_bio_PrivateKey(reader, NULL, no_passphrase, NULL);
    BIO_free(reader);
    if (!pair)
        return fail(why, "tls_key: holds no private key, or one under a passphrase");
    ok = X509_check_private_key(SSL_CTX_get0_certificate(tls), pair) == 1 &&
         SSL_CTX_use_PrivateKey(tls, pair) == 1;
    EVP_PKEY_free(pair);
    return ok ? DM_OK : fail(why, "tls_key: is not the key of the certificate");
}

/* --- the context --- */

/* RFC 7301: a client that names protocols and not ours is refused; one that names none is not. */
static int select_protocol(SSL *tls, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *context)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)tls, (void)context;
    unsigned char *selected;
    int found = SSL_select_next_proto(&selected, out_len, ours, sizeof ours - 1, in, in_len);
    *out = selected;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* While h2o has the connection, its socket is what OpenSSL reads from. h2o itself keeps the session
 * to itself, and does not notice that the peer has ended it. */
static void on_progress(const SSL *tls, int where, int value)
{
    h2o_socket_t *sock = BIO_get_data(SSL_get_rbio(tls));
    if (where == SSL_CB_HANDSHAKE_DONE)
        dm_connection_secured(sock, (SSL *)(uintptr_t)tls);
    else if (where == SSL_CB_READ_ALERT && (value & 0xff) == SSL_AD_CLOSE_NOTIFY)
        dm_connection_peer_done(sock);
}

static void ignore_progress(const SSL *tls, int where, int value)
{
    (void)tls, (void)where, (void)value;
}

static void configure(SSL_CTX *tls)
{
    DM_CHECK(SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1);
    DM_CHECK(SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1); /* of TLS 1.2 */
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF); /* tickets are with the clients */
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(tls, select_protocol, NULL);
    SSL_CTX_set_info_callback(tls, on_progress);
}

int dm_tls_create(struct dm_slice certificate, struct dm_slice key, SSL_CTX **tls,
                  struct dm_buf *why)
{
    *tls = SSL_CTX_new(TLS_server_method());
    DM_CHECK(*tls);
    configure(*tls);
    ERR_clear_error();
    int err = load_pair(*tls, certificate, key, why);
    ERR_clear_error();
    if (err) {
        SSL_CTX_free(*tls);
        *tls = NULL;
    }
    return err;
}

SSL_CTX *dm_tls_retain(SSL_CTX *tls)
{
    if (tls)
        SSL_CTX_up_ref(tls);
    return tls;
}

void dm_tls_release(SSL_CTX *tls)
{
    SSL_CTX_free(tls);
}

/* --- out of h2o --- */

/* What h2o keeps of a session is its own; it is freed as h2o frees it, with an empty buffer and a
 * descriptor to close in the place of ours. Nothing is lost on the way: h2o has given all that came
 * to OpenSSL, and OpenSSL has given all of its plaintext to h2o. */
static void free_rest(h2o_socket_export_t *exported, int spare)
{
    h2o_socket_export_t rest = {.fd = spare, .ssl = exported->ssl};
    h2o_buffer_init(&rest.input, &h2o_socket_buffer_prototype);
    h2o_socket_dispose_export(&rest);
    exported->ssl = NULL;
}

bool dm_tls_take(SSL *tls, h2o_socket_export_t *exported)
{
    int spare = fcntl(exported->fd, F_DUPFD_CLOEXEC, 0);
    if (spare < 0) {
        h2o_socket_dispose_export(exported);
        return false;
    }
    SSL_up_ref(tls);
    SSL_set_info_callback(tls, ignore_progress);
    DM_CHECK(SSL_set_fd(tls, exported->fd) == 1);
    SSL_clear_mode(tls, SSL_MODE_AUTO_RETRY); /* a peer could keep one call busy without end */
    if (SSL_get_shutdown(tls) & SSL_RECEIVED_SHUTDOWN)
        shutdown(exported->fd, SHUT_RD); /* no byte may follow: so that a poll finds the end */
    free_rest(exported, spare);
    return true;
}
