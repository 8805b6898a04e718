/* Limits by principal and by address. */
#include "net/guard.h"

#include <stdlib.h>
#include <sys/socket.h>

#include <h2o.h>

#include "base/alloc.h"
#include "base/rate.h"
#include "net/crowd.h"
#include "net/loop.h"

struct dm_guard {
    struct dm_rate *failures, *requests; /* NULL: off, as the crowd */
    struct dm_crowd *crowd;
    struct dm_network *proxies;
    size_t proxy_count;
};

struct dm_guard *dm_guard_create(const struct dm_server_options *options)
{
    struct dm_guard *guard = DM_NEW(struct dm_guard);
    const struct dm_limits *limits = &options->limits;
    if (limits->rate_unauthenticated)
        guard->failures = dm_rate_create(limits->rate_unauthenticated);
    if (limits->rate_requests)
        guard->requests = dm_rate_create(limits->rate_requests);
    if (limits->max_connections_per_address)
        guard->crowd = dm_crowd_create(limits->max_connections_per_address);
    guard->proxies = dm_calloc(options->trusted_proxy_count, sizeof *guard->proxies);
    for (; guard->proxy_count < options->trusted_proxy_count; guard->proxy_count++)
        DM_CHECK(dm_network_read(dm_slice_of(options->trusted_proxies[guard->proxy_count]),
                                 &guard->proxies[guard->proxy_count]));
    return guard;
}

void dm_guard_destroy(struct dm_guard **at)
{
    struct dm_guard *guard = *at;
    if (!guard)
        return;
    dm_rate_destroy(&guard->failures);
    dm_rate_destroy(&guard->requests);
    dm_crowd_destroy(&guard->crowd);
    free(guard->proxies);
    free(guard);
    *at = NULL;
}

/* --- whose address --- */

static bool is_trusted(const struct dm_guard *guard, const struct dm_address *address)
{
    for (size_t i = 0; i < guard->proxy_count; i++)
        if (dm_network_has(&guard->proxies[i], address))
            return true;
    return false;
}

/* Takes the last entry off a list; absent where there is none. */
static struct dm_slice split_last(struct dm_slice *list)
{
    struct dm_slice all = *list;
    const char *comma = all.len ? memrchr(all.at, ',', all.len) : NULL;
    *list = comma ? dm_slice(all.at, (size_t)(comma - all.at)) : DM_NO_SLICE;
    return dm_slice_trim(comma ? dm_slice_from(all, list->len + 1) : all);
}

/* Each proxy adds whom it was asked by: from the last entry back, each is as good as the word of
 * the one behind it. What cannot be read is nobody's address: then it is the one that said so. */
struct dm_address dm_guard_peer(const struct dm_guard *guard, struct dm_address peer,
                                const struct dm_slice *forwarded, size_t count)
{
    while (count-- > 0) {
        struct dm_slice list = forwarded[count];
        while (list.at && is_trusted(guard, &peer)) {
            struct dm_slice entry = split_last(&list);
            if (entry.len && !dm_address_read(entry, &peer))
                return peer;
        }
    }
    return peer;
}

enum { FORWARDED_MAX = 16 }; /* fields; of more the last count */

static size_t find_forwarded(const h2o_headers_t *headers, struct dm_slice fields[FORWARDED_MAX])
{
    const struct dm_slice name = DM_SLICE("x-forwarded-for");
    size_t first = FORWARDED_MAX;
    for (size_t i = headers->size; i-- > 0 && first > 0;) {
        const h2o_header_t *header = &headers->entries[i];
        if (dm_slice_eq(dm_slice(header->name->base, header->name->len), name))
            fields[--first] = dm_slice(header->value.base, header->value.len);
    }
    memmove(fields, fields + first, (FORWARDED_MAX - first) * sizeof *fields);
    return FORWARDED_MAX - first;
}

static struct dm_address connected_with(const struct dm_request *request)
{
    struct sockaddr_storage at;
    h2o_conn_t *conn = request->h2o->conn;
    if (conn->callbacks->get_peername(conn, (struct sockaddr *)&at) == 0)
        return (struct dm_address){.kind = DM_ADDRESS_UNKNOWN};
    return dm_address_of_socket((const struct sockaddr *)&at);
}

static struct dm_address named_by(const struct dm_guard *guard, struct dm_address proxy,
                                  const struct dm_request *request)
{
    struct dm_slice fields[FORWARDED_MAX];
    return dm_guard_peer(guard, proxy, fields, find_forwarded(&request->h2o->headers, fields));
}

static struct dm_address counted_of(const struct dm_guard *guard, const struct dm_request *request)
{
    struct dm_address peer = connected_with(request);
    if (is_trusted(guard, &peer))
        peer = named_by(guard, peer, request);
    return dm_address_counted(&peer);
}

struct dm_address dm_guard_forwarded(const struct dm_guard *guard, const struct dm_request *request)
{
    struct dm_address nobody = {.kind = DM_ADDRESS_UNKNOWN};
    if (!guard->failures || !guard->proxy_count)
        return nobody;
    struct dm_address peer = connected_with(request);
    return is_trusted(guard, &peer) ? named_by(guard, peer, request) : nobody;
}

/* --- limits --- */

static uint64_t now_of(const struct dm_request *request)
{
    return dm_shard_now(dm_loop_shard(request->loop));
}

bool dm_guard_bars_try(struct dm_guard *guard, const struct dm_request *request)
{
    if (!guard->failures || dm_rate_is_quiet(guard->failures, now_of(request)))
        return false;
    struct dm_address address = counted_of(guard, request);
    return dm_rate_is_spent(guard->failures, dm_address_key(&address), now_of(request));
}

bool dm_guard_bars_peer(struct dm_guard *guard, const struct dm_address *peer, uint64_t now_mono)
{
    if (!guard->failures || dm_rate_is_quiet(guard->failures, now_mono))
        return false;
    struct dm_address address = dm_address_counted(peer);
    return dm_rate_is_spent(guard->failures, dm_address_key(&address), now_mono);
}

void dm_guard_note_peer(struct dm_guard *guard, const struct dm_address *peer, uint64_t now_mono)
{
    if (!guard->failures)
        return;
    struct dm_address address = dm_address_counted(peer);
    (void)dm_rate_take(guard->failures, dm_address_key(&address), now_mono);
}

void dm_guard_note_failure(struct dm_guard *guard, const struct dm_request *request)
{
    if (!guard->failures)
        return;
    struct dm_address address = counted_of(guard, request);
    (void)dm_rate_take(guard->failures, dm_address_key(&address), now_of(request));
}

int dm_guard_count_request(struct dm_guard *guard, const struct dm_request *request)
{
    if (!guard->requests)
        return DM_OK;
    const struct dm_principal *principal = &request->principal;
    char key[1 + DM_USER_ID_MAX];
    key[0] = (char)principal->kind;
    memcpy(key + 1, principal->id, principal->id_len);
    return dm_rate_take(guard->requests, dm_slice(key, 1u + principal->id_len), now_of(request))
               ? DM_OK
               : DM_ERR_RATE_LIMITED;
}

int dm_guard_take_place(struct dm_guard *guard, const struct dm_request *request, uint32_t *place)
{
    *place = 0;
    if (!guard->crowd)
        return DM_OK;
    struct dm_address address = counted_of(guard, request);
    *place = dm_crowd_enter(guard->crowd, &address);
    return *place ? DM_OK : DM_ERR_ADDRESS_CONNECTIONS;
}

void dm_guard_give_place(struct dm_guard *guard, uint32_t place)
{
    if (place)
        dm_crowd_leave(guard->crowd, place);
}
