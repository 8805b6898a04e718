/*
 * What one caller may do: requests a second of a principal, failed
 * authentications a second and WebSockets at once of an address. It also knows
 * whose word counts for the address of another: the trusted proxies'. One for
 * all loops; any thread may call. A limit that is off costs one branch.
 */
#ifndef DM_NET_GUARD_H
#define DM_NET_GUARD_H

#include "base/address.h"
#include "net/route.h"

struct dm_guard;
struct dm_server_options;

struct dm_guard *dm_guard_create(const struct dm_server_options *options);
void dm_guard_destroy(struct dm_guard **guard);

/* rate_unauthenticated. Has this request's address failed too often? Asked before a credential is
 * checked, for that may be what costs; then a failure is noted. */
bool dm_guard_bars_try(struct dm_guard *guard, const struct dm_request *request);
void dm_guard_note_failure(struct dm_guard *guard, const struct dm_request *request);

/* The same for a token that comes on an open socket. Its peer is whom the kernel names; where that
 * is a trusted proxy, whom it named at the handshake. UNKNOWN: it is none, or nobody counts. */
struct dm_address dm_guard_forwarded(const struct dm_guard *guard,
                                     const struct dm_request *request);
bool dm_guard_bars_peer(struct dm_guard *guard, const struct dm_address *peer, uint64_t now_mono);
void dm_guard_note_peer(struct dm_guard *guard, const struct dm_address *peer, uint64_t now_mono);

/* rate_requests: DM_OK, or DM_ERR_RATE_LIMITED for one too many of this principal. */
int dm_guard_count_request(struct dm_guard *guard, const struct dm_request *request) DM_MUST_CHECK;

/* max_connections_per_address: DM_OK and a place, which must be given back, or
 * DM_ERR_ADDRESS_CONNECTIONS. Where it is off the place is 0, and may be given back too. */
int dm_guard_take_place(struct dm_guard *guard, const struct dm_request *request,
                        uint32_t *place) DM_MUST_CHECK;
void dm_guard_give_place(struct dm_guard *guard, uint32_t place);

/* For tests: the address that counts as a request's, of the peer's and of the request's
 * X-Forwarded-For fields, the first one first. */
struct dm_address dm_guard_peer(const struct dm_guard *guard, struct dm_address peer,
                                const struct dm_slice *forwarded, size_t count);

#endif
