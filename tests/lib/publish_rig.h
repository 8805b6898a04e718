/*
 * Operations about recorded publishes, ready to submit to a store_rig, and
 * short looks at what they came back with. Ids are made from small numbers;
 * times are whatever the test says that the clock shows.
 */
#ifndef DM_TESTS_LIB_PUBLISH_RIG_H
#define DM_TESTS_LIB_PUBLISH_RIG_H

#include "lib/store_rig.h"
#include "ports/store_publish.h"

/* From when it is recorded, in milliseconds. */
enum { RIG_TIMEOUT = 100, RIG_TTL = 10000, RIG_RETENTION = 1000 };

enum rig_publish { RIG_REPEATABLE = 1, RIG_DURABLE = 2 };

/* Of these kinds: COUNT, FINISH, FORGET, LOOK and EXPIRE. */
struct dm_store_op *publish_rig_op(enum dm_store_kind kind, uint32_t envelope, uint64_t now);
/* By "key:rig"; `users` are words. The body is `users` and `type`. */
struct dm_store_op *publish_rig_record(uint32_t envelope, unsigned how, const char *users,
                                       const char *type, uint64_t now);
/* One that is awaited. */
struct dm_store_op *publish_rig_ack(uint32_t envelope, const char *user, uint32_t session,
                                    const char *result, uint64_t now);
struct dm_store_op *publish_rig_load(const char *user, uint64_t after, uint64_t now);

/* Submits it, insists on DM_OK, destroys it: what it found. */
enum dm_recorded publish_rig_do(struct store_rig *rig, struct dm_store_op *op);

/* What is expected of a look, or an answer. */
struct rig_seen {
    enum dm_recorded found;
    uint32_t client_count, delivered, owed;
    const char *results; /* NULL: none; words else */
};

/* Submits it, compares, destroys it: what it does not tell itself, a look does. */
void publish_rig_expect(struct store_rig *rig, struct dm_store_op *op, struct rig_seen expected);
void publish_rig_expect_look(struct store_rig *rig, uint32_t envelope, uint64_t now,
                             struct rig_seen expected);

/* Envelopes that the user is owed, in order, as words: "1 2". */
void publish_rig_expect_owed(struct store_rig *rig, const char *user, uint64_t now,
                             const char *envelopes);

/* How many rows a table has, by a connection of its own. */
uint64_t store_rig_rows(struct store_rig *rig, const char *table);
/* Of publish, target, owed_envelope and ack_result. */
void publish_rig_expect_rows(struct store_rig *rig, uint64_t publishes, uint64_t targets,
                             uint64_t envelopes, uint64_t results);

#endif
