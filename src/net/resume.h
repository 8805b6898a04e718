/*
 * The secrets by which sessions are resumed: 192 random bits as base64url, of
 * which only the SHA-256 is kept. Private to net/; one loop's thread.
 */
#ifndef DM_NET_RESUME_H
#define DM_NET_RESUME_H

#include "hub/session.h"
#include "net/route.h"

/* Takes what ?resume= brought, and mints the secret for the next time. */
void dm_resume_secrets(struct dm_request *request, struct dm_admission *admission);

#endif
