/*
 * h2o's HTTP/1 parser is lax, and hides what it passed over. This looks at a
 * request's head as it came, so that one whose framing another server could
 * read in another way (request smuggling) is refused. RFC 9112 sections 2.2,
 * 3.2, 6.3.
 */
#ifndef DM_NET_FRAMING_H
#define DM_NET_FRAMING_H

#include "base/slice.h"

struct dm_head_facts {
    size_t size;                        /* of the head, its blank line included */
    unsigned lengths, encodings, hosts; /* how many of each field came */
    bool bare_lf, folded, blank_before_colon;
};

/* `bytes` begin with a head that h2o has accepted. */
void dm_head_scan(struct dm_slice bytes, struct dm_head_facts *facts);

/* NULL, or what is wrong with it. */
const char *dm_head_ambiguity(const struct dm_head_facts *facts, bool http_1_1);

#endif
