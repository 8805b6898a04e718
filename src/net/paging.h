/*
 * What a request's query says of channels and pages, and how a page is
 * answered. One loop's thread. Private to net/.
 */
#ifndef DM_NET_PAGING_H
#define DM_NET_PAGING_H

#include "net/route.h"

struct dm_page {
    uint32_t limit;        /* 1 to DM_MEMBERS_LIMIT_MAX */
    struct dm_slice after; /* a valid userId; absent: from the first on */
};

/* ?limit=&after= */
int dm_page_read(struct dm_request *request, uint32_t standard, struct dm_page *out) DM_MUST_CHECK;

/* {"members":[…]}, of values with commas between; "next" where `last` is not empty. */
void dm_page_write(struct dm_buf *out, struct dm_slice members, struct dm_slice last);

/* A parameter of the query, decoded as forms are ("+" is a blank) and trimmed; absent where there
 * is none. False where an escape is broken. */
bool dm_query_text(struct dm_request *request, const char *name,
                   struct dm_slice *out) DM_MUST_CHECK;

/* The channel of the path's first segment and ?type= (dm_name_with_type). */
int dm_typed_name(struct dm_request *request, struct dm_slice *out) DM_MUST_CHECK;

#endif
