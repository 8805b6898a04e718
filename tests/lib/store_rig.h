/*
 * A database in a folder of its own for a test, and the test's thread in the
 * place of a shard: completions queue up until it takes them.
 */
#ifndef DM_TESTS_LIB_STORE_RIG_H
#define DM_TESTS_LIB_STORE_RIG_H

#include <pthread.h>

#include "base/metrics.h"
#include "store/database.h"

struct store_rig {
    char folder[64], path[96];
    struct dm_database *database;
    struct dm_store store;
    struct dm_post post;
    struct dm_metrics written, read;
    struct dm_buf why;
    bool process_only; /* durability = process */
    uint32_t readers;

    pthread_mutex_t mutex; /* the rest */
    pthread_cond_t came;
    struct dm_mail *first, *last;
};

void store_rig_init(struct store_rig *rig); /* makes the folder, opens nothing */
void store_rig_dispose(struct store_rig *rig);
int store_rig_open(struct store_rig *rig); /* why is in rig->why */

/* cmocka's: a rig with an open database, in *state. */
int store_rig_setup(void **state);
int store_rig_teardown(void **state);

/* Waits for the next completion, then hands it out; fails the test after 30 s. */
struct dm_store_op *store_rig_take(struct store_rig *rig);
/* Submits one and waits for it; its err. The second destroys it too. */
int store_rig_do(struct store_rig *rig, struct dm_store_op *op);
int store_rig_finish(struct store_rig *rig, struct dm_store_op *op);

uint64_t store_rig_metric(struct store_rig *rig, enum dm_metric id);

/* Operations ready to submit. Ids are made from small numbers. */
struct dm_uuid store_rig_id(uint32_t number);
struct dm_store_op *store_rig_save(const char *user_id, uint32_t session, const char *filters);
struct dm_store_op *store_rig_load(const char *user_id);
struct dm_store_op *store_rig_forget(enum dm_store_kind kind, uint32_t session, uint32_t envelope);

#endif
