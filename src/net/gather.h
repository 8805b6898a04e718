/*
 * One message that comes in part or in fragments, gathered by a wslay event
 * context that lives as long as the message does. It unmasks, puts the
 * fragments together and checks UTF-8 as they come; the caller reads the
 * headers, keeps control frames out, and sees to the order and the size of
 * the fragments. What is gathered is stored as it comes, not as it is announced. One thread.
 */
#ifndef DM_NET_GATHER_H
#define DM_NET_GATHER_H

#include "base/buf.h"
#include "codec/frame.h"

struct dm_gather;

struct dm_gather *dm_gather_create(enum dm_opcode opcode, bool from_clients, uint64_t max_message);
void dm_gather_destroy(struct dm_gather **gather);

/* The next bytes of the message's frames, headers and all. Returns 0, or the Close code that says
 * what is wrong with them; then nothing more may be fed. */
int dm_gather_feed(struct dm_gather *gather, const char *bytes, size_t len) DM_MUST_CHECK;

enum dm_opcode dm_gather_opcode(const struct dm_gather *gather);
size_t dm_gather_len(const struct dm_gather *gather);
bool dm_gather_done(const struct dm_gather *gather);            /* the message is whole */
struct dm_buf dm_gather_take_message(struct dm_gather *gather); /* the caller's from then on */

#endif
