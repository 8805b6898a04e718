/*
 * The TLS that a listener speaks: a certificate with its key, made ready for
 * OpenSSL. TLS 1.2 and 1.3, forward-secret ciphers, HTTP/1.1 and no other
 * protocol. h2o does the handshake and speaks HTTP; a WebSocket leaves it with
 * dm_tls_take. Contexts are counted; any thread may retain and release.
 */
#ifndef DM_NET_TLS_H
#define DM_NET_TLS_H

#include "base/buf.h"

struct ssl_ctx_st;
struct ssl_st;
struct st_h2o_socket_export_t;

/* Both as PEM; behind the certificate may come its chain. DM_OK, or DM_ERR_INVALID_FIELD with
 * "tls_cert: …" or "tls_key: …" in `why`, and nothing of the key. */
int dm_tls_create(struct dm_slice certificate, struct dm_slice key, struct ssl_ctx_st **tls,
                  struct dm_buf *why) DM_MUST_CHECK;
struct ssl_ctx_st *dm_tls_retain(struct ssl_ctx_st *tls); /* NULL is no TLS */
void dm_tls_release(struct ssl_ctx_st *tls);

/* Takes `tls` away from what h2o has exported: from then on it is the caller's, and reads and
 * writes the descriptor by itself, as net/line.h wants it. False when there is no descriptor to
 * spare: then all of `exported` is closed and freed, `tls` too. */
bool dm_tls_take(struct ssl_st *tls, struct st_h2o_socket_export_t *exported) DM_MUST_CHECK;

#endif
