/*
 * Addresses of peers, and networks of them, as the rates and limits by address
 * have it: IPv4, IPv6, or the one that all peers of Unix sockets share. An IPv4
 * address that is mapped into IPv6 is the IPv4 address. Any thread.
 */
#ifndef DM_BASE_ADDRESS_H
#define DM_BASE_ADDRESS_H

#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

struct sockaddr;

enum dm_address_kind { DM_ADDRESS_UNKNOWN, DM_ADDRESS_UNIX, DM_ADDRESS_V4, DM_ADDRESS_V6 };

/* Bytes only, the unused ones 0: it may be hashed and compared as it is. */
struct dm_address {
    uint8_t kind; /* enum dm_address_kind */
    uint8_t bytes[16];
};

struct dm_network {
    struct dm_address address;
    uint8_t bits; /* so many of the address count */
};

struct dm_address dm_address_of_socket(const struct sockaddr *at);

/* "192.0.2.1", "2001:db8::1", each also as a proxy may write it, with a port: "192.0.2.1:80",
 * "[2001:db8::1]:80". */
bool dm_address_read(struct dm_slice text, struct dm_address *out) DM_MUST_CHECK;

/* "10.0.0.0/8", "fd00::/8", an address, or "unix". */
bool dm_network_read(struct dm_slice text, struct dm_network *out) DM_MUST_CHECK;
bool dm_network_has(const struct dm_network *network, const struct dm_address *address);

/* Who is counted as one: an IPv4 address, or the /64 of an IPv6 address, as that is what one
 * customer has at least. */
struct dm_address dm_address_counted(const struct dm_address *address);

static inline struct dm_slice dm_address_key(const struct dm_address *address)
{
    return dm_slice((const char *)address, sizeof *address);
}

#endif
