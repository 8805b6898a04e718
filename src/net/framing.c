/* A second look at the raw head of a request. */
#include "net/framing.h"

static void count_field(struct dm_slice line, struct dm_head_facts *facts)
{
    const char *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
    if (!colon)
        return;
    struct dm_slice name = dm_slice(line.at, (size_t)(colon - line.at));
    if (name.len && (name.at[name.len - 1] == ' ' || name.at[name.len - 1] == '\t'))
        facts->blank_before_colon = true;
    facts->lengths += dm_slice_eq_nocase(name, DM_SLICE("content-length"));
    facts->encodings += dm_slice_eq_nocase(name, DM_SLICE("transfer-encoding"));
    facts->hosts += dm_slice_eq_nocase(name, DM_SLICE("host"));
}

void dm_head_scan(struct dm_slice bytes, struct dm_head_facts *facts)
{
    *facts = (struct dm_head_facts){0};
    size_t at = 0;
    bool first = true;
    while (at < bytes.len) {
        const char *end = memchr(bytes.at + at, '\n', bytes.len - at);
        if (!end)
            break;
        struct dm_slice line = dm_slice(bytes.at + at, (size_t)(end - bytes.at) - at);
        at += line.len + 1;
        if (line.len && line.at[line.len - 1] == '\r')
            line.len--;
        else
            facts->bare_lf = true;
        if (!line.len && !first)
            break;
        if (!first && (line.at[0] == ' ' || line.at[0] == '\t'))
            facts->folded = true;
        else if (!first)
            count_field(line, facts);
        first = first && !line.len; /* blank lines before the request line are passed over */
    }
    facts->size = at;
}

const char *dm_head_ambiguity(const struct dm_head_facts *facts, bool http_1_1)
{
    if (facts->lengths && facts->encodings)
        return "Content-Length and Transfer-Encoding exclude one another";
    if (facts->lengths > 1 || facts->encodings > 1)
        return "Content-Length or Transfer-Encoding came more than once";
    if (facts->encodings && !http_1_1)
        return "Transfer-Encoding needs HTTP/1.1";
    if (facts->hosts > 1 || (http_1_1 && facts->hosts == 0))
        return "HTTP/1.1 needs exactly one Host";
    if (facts->bare_lf || facts->folded || facts->blank_before_colon)
        return "A header line is malformed";
    return NULL;
}
