/*
 * Public keys out of PEM text (RFC 7468). Any thread.
 */
#ifndef DM_AUTH_PEM_H
#define DM_AUTH_PEM_H

#include "auth/keyring.h"

/*
 * Adds every key of `text`: one PUBLIC KEY block or several. On DM_ERR_INVALID_FIELD
 * `why` says what is wrong ("key 2 is …"), without a byte of the text; what
 * came before is in the ring.
 */
int dm_pem_read(struct dm_keyring *ring, struct dm_slice text, struct dm_buf *why) DM_MUST_CHECK;

#endif
