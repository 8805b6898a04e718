/* Temporary folders, a queue of mails, and short names for common operations. */
#include "lib/store_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "lib/unit.h"

static void send(void *self, uint32_t shard, struct dm_mail *mail)
{
    struct store_rig *rig = self;
    (void)shard;
    mail->links[0] = NULL;
    pthread_mutex_lock(&rig->mutex);
    if (rig->last)
        rig->last->links[0] = mail;
    else
        rig->first = mail;
    rig->last = mail;
    pthread_cond_signal(&rig->came);
    pthread_mutex_unlock(&rig->mutex);
}

void store_rig_init(struct store_rig *rig)
{
    *rig = (struct store_rig){.post = {.self = rig, .send = send}};
    pthread_mutex_init(&rig->mutex, NULL);
    pthread_cond_init(&rig->came, NULL);
    snprintf(rig->folder, sizeof rig->folder, "/tmp/dormouse-test-XXXXXX");
    DM_CHECK(mkdtemp(rig->folder));
    snprintf(rig->path, sizeof rig->path, "%s/dormouse.db", rig->folder);
}

static void remove_folder(const char *folder)
{
    DIR *all = opendir(folder);
    DM_CHECK(all);
    for (struct dirent *entry; (entry = readdir(all));)
        unlinkat(dirfd(all), entry->d_name, 0);
    closedir(all);
    rmdir(folder);
}

void store_rig_dispose(struct store_rig *rig)
{
    dm_database_close(&rig->database);
    while (rig->first)
        dm_store_op_destroy(store_rig_take(rig));
    dm_buf_dispose(&rig->why);
    remove_folder(rig->folder);
    pthread_cond_destroy(&rig->came);
    pthread_mutex_destroy(&rig->mutex);
}

int store_rig_open(struct store_rig *rig)
{
    struct dm_database_options options = {
        .path = rig->path, .sync_full = !rig->process_only, .readers = rig->readers};
    dm_buf_clear(&rig->why);
    int err = dm_database_open(&options, &rig->post, &rig->written, &rig->read, &rig->database,
                               &rig->why);
    if (err == DM_OK)
        rig->store = dm_database_store(rig->database);
    return err;
}

int store_rig_setup(void **state)
{
    struct store_rig *rig = DM_NEW(struct store_rig);
    store_rig_init(rig);
    *state = rig;
    return store_rig_open(rig);
}

int store_rig_teardown(void **state)
{
    store_rig_dispose(*state);
    free(*state);
    return 0;
}

struct dm_store_op *store_rig_take(struct store_rig *rig)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    int rc = 0;
    pthread_mutex_lock(&rig->mutex);
    while (!rig->first && rc == 0)
        rc = pthread_cond_timedwait(&rig->came, &rig->mutex, &until);
    struct dm_mail *mail = rig->first;
    if (mail) {
        rig->first = mail->links[0];
        if (!rig->first)
            rig->last = NULL;
    }
    pthread_mutex_unlock(&rig->mutex);
    DM_CHECK(mail); /* nothing came back */
    return DM_CONTAINER(mail, struct dm_store_op, mail);
}

int store_rig_do(struct store_rig *rig, struct dm_store_op *op)
{
    rig->store.submit(rig->store.self, op);
    DM_CHECK(store_rig_take(rig) == op);
    return op->err;
}

int store_rig_finish(struct store_rig *rig, struct dm_store_op *op)
{
    int err = store_rig_do(rig, op);
    dm_store_op_destroy(op);
    return err;
}

uint64_t store_rig_metric(struct store_rig *rig, enum dm_metric id)
{
    return atomic_load(&rig->written.values[id]) + atomic_load(&rig->read.values[id]);
}

struct dm_uuid store_rig_id(uint32_t number)
{
    struct dm_uuid id = {{1}};
    for (int i = 0; i < 4; i++)
        id.bytes[12 + i] = (uint8_t)(number >> (24 - 8 * i));
    return id;
}

struct dm_store_op *store_rig_save(const char *user_id, uint32_t session, const char *filters)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_SAVE_USER, 0, NULL);
    struct dm_uuid id = store_rig_id(session);
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user_id));
    dm_store_op_add_session(op, &id, DM_SLICE("hopeflow"), dm_slice_of(filters), DM_NO_SLICE);
    return op;
}

struct dm_store_op *store_rig_load(const char *user_id)
{
    struct dm_store_op *op = dm_store_op_create(DM_STORE_LOAD_USER, 0, NULL);
    op->user_id = dm_store_op_add_text(op, dm_slice_of(user_id));
    return op;
}

struct dm_store_op *store_rig_forget(enum dm_store_kind kind, uint32_t session, uint32_t envelope)
{
    struct dm_store_op *op = dm_store_op_create(kind, 0, NULL);
    op->session_id = store_rig_id(session);
    op->envelope_id = store_rig_id(envelope);
    return op;
}
