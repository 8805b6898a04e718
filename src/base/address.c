/* Addresses from sockets and texts. */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static struct dm_address of_v4(const void *bytes)
{
    struct dm_address address = {.kind = DM_ADDRESS_V4};
    memcpy(address.bytes, bytes, 4);
    return address;
}

static struct dm_address of_v6(const void *bytes)
{
    if (memcmp(bytes, mapped, sizeof mapped) == 0)
        return of_v4((const uint8_t *)bytes + sizeof mapped);
    struct dm_address address = {.kind = DM_ADDRESS_V6};
    memcpy(address.bytes, bytes, 16);
    return address;
}

struct dm_address dm_address_of_socket(const struct sockaddr *at)
{
    if (at->sa_family == AF_INET)
        return of_v4(&((const struct sockaddr_in *)(const void *)at)->sin_addr);
    if (at->sa_family == AF_INET6)
        return of_v6(&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr);
    return (struct dm_address){.kind =
                                   at->sa_family == AF_UNIX ? DM_ADDRESS_UNIX : DM_ADDRESS_UNKNOWN};
}

/* A bare address, nothing around it. */
static bool read_bare(struct dm_slice text, struct dm_address *out)
{
    char copy[INET6_ADDRSTRLEN + 1];
    uint8_t bytes[16];
    if (text.len >= sizeof copy || (text.len && memchr(text.at, 0, text.len)))
        return false;
    memcpy(copy, text.len ? text.at : "", text.len);
    copy[text.len] = 0;
    if (inet_pton(AF_INET, copy, bytes) == 1)
        *out = of_v4(bytes);
    else if (inet_pton(AF_INET6, copy, bytes) == 1)
        *out = of_v6(bytes);
    else
        return false;
    return true;
}

static bool is_port(struct dm_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    return text.len >= 1 && text.len <= 5;
}

bool dm_address_read(struct dm_slice text, struct dm_address *out)
{
    struct dm_slice rest = text;
    if (text.len && text.at[0] == '[') {
        rest = dm_slice_from(text, 1);
        struct dm_slice inside = dm_slice_split(&rest, ']');
        bool ends =
            rest.at && (!rest.len || (rest.at[0] == ':' && is_port(dm_slice_from(rest, 1))));
        return ends && memchr(inside.at, ':', inside.len) && read_bare(inside, out);
    }
    struct dm_slice host = dm_slice_split(&rest, ':');
    if (rest.at && is_port(rest) && memchr(host.at, '.', host.len))
        return read_bare(host, out);
    return read_bare(text, out);
}

static bool read_bits(struct dm_slice text, unsigned most, unsigned *bits)
{
    *bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        *bits = *bits * 10 + (unsigned)(text.at[i] - '0');
    }
    return text.len >= 1 && text.len <= 3 && *bits <= most;
}

bool dm_network_read(struct dm_slice text, struct dm_network *out)
{
    struct dm_slice rest = text;
    if (dm_slice_eq(text, DM_SLICE("unix"))) {
        *out = (struct dm_network){.address = {.kind = DM_ADDRESS_UNIX}};
        return true;
    }
    struct dm_slice host = dm_slice_split(&rest, '/');
    if (!read_bare(host, &out->address))
        return false;
    bool v4 = out->address.kind == DM_ADDRESS_V4;
    bool written_v6 = memchr(host.at, ':', host.len) != NULL;
    unsigned above = v4 && written_v6 ? 96 : 0; /* "::ffff:10.0.0.0/104" */
    unsigned bits = v4 && !written_v6 ? 32 : 128;
    if (rest.at && !read_bits(rest, bits, &bits))
        return false;
    out->bits = (uint8_t)(bits - above);
    return bits >= above;
}

bool dm_network_has(const struct dm_network *network, const struct dm_address *address)
{
    unsigned whole = network->bits / 8, left = network->bits % 8;
    if (network->address.kind != address->kind ||
        memcmp(network->address.bytes, address->bytes, whole) != 0)
        return false;
    return !left || (network->address.bytes[whole] ^ address->bytes[whole]) >> (8 - left) == 0;
}

struct dm_address dm_address_counted(const struct dm_address *address)
{
    struct dm_address counted = *address;
    if (counted.kind == DM_ADDRESS_V6)
        memset(counted.bytes + 8, 0, 8);
    return counted;
}
