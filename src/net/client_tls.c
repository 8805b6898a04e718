/*
 * The client's side of TLS: the handshake with its deadline, and whether the
 * server is who the URL says, by the authorities that this machine trusts
 * (SSL_CERT_FILE names others).
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/clock.h"
#include "net/client_io.h"

static SSL *create(const char *host)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    DM_CHECK(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_verify_paths(context);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context); /* the session has it */
    DM_CHECK(tls);
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) != 1) /* it is a name, then */
        DM_CHECK(SSL_set1_host(tls, host) == 1 && SSL_set_tlsext_host_name(tls, host) == 1);
    return tls;
}

static bool fail(SSL *tls, int error, struct dm_buf *why)
{
    long verified = SSL_get_verify_result(tls);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (verified != X509_V_OK)
        reason = X509_verify_cert_error_string(verified);
    else if (error == SSL_ERROR_SYSCALL)
        reason = errno ? strerror(errno) : "the server closed it";
    dm_buf_printf(why, "TLS: %s", reason ? reason : "the handshake failed");
    ERR_clear_error();
    return false;
}

bool dm_client_secure(struct dm_client *client, const char *host, struct dm_buf *why)
{
    uint64_t deadline = dm_clock_mono_ms() + client->timeout_ms;
    SSL *tls = client->line.tls = create(host);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes as write(2) does */
    DM_CHECK(SSL_set_fd(tls, client->line.fd) == 1);
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int done = SSL_connect(tls), error = SSL_get_error(tls, done);
        if (done == 1)
            return true;
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return fail(tls, error, why);
        short events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        if (!dm_client_wait(client, events, deadline))
            return fail(tls, SSL_ERROR_SYSCALL, why);
    }
}
