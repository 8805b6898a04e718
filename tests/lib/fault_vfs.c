/* Every call goes to the real file system, after a look at the knobs. */
#include "lib/fault_vfs.h"

#include <string.h>
#include <unistd.h>

struct fault_file {
    sqlite3_file file;
    struct fault_vfs *faults;
    enum shadow_which which; /* SHADOW_FILES: neither */
};

static struct fault_file *fault(sqlite3_file *file)
{
    return (struct fault_file *)file;
}

/* The real file stands right behind ours: SQLite allocates szOsFile bytes for both. */
static sqlite3_file *real(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)(fault(file) + 1);
}

static int file_close(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int file_read(sqlite3_file *file, void *out, int len, sqlite3_int64 at)
{
    int error = atomic_load(&fault(file)->faults->read_error);
    return error ? error : real(file)->pMethods->xRead(real(file), out, len, at);
}

static bool is_shadowed(struct fault_file *file)
{
    return file->which < SHADOW_FILES && file->faults->shadowing;
}

/* Under the mutex. What is to become of this call? */
static enum fault_kind verdict(struct fault_file *file, enum fault_call call)
{
    struct fault_vfs *faults = file->faults;
    const struct fault_plan *plan = &faults->plan;
    if (faults->dead)
        return FAULT_CUT;
    if (plan->kind == FAULT_NONE || plan->call != call || plan->file != file->which)
        return FAULT_NONE;
    unsigned times = plan->times ? plan->times : 1;
    if (++faults->seen < plan->nth || faults->seen - plan->nth >= times)
        return FAULT_NONE;
    faults->struck++;
    if (plan->kind == FAULT_CUT) {
        shadow_cut(&faults->shadow);
        faults->dead = true;
    }
    return plan->kind;
}

static int write_some(struct fault_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    sqlite3_file *under = real(&file->file);
    int rc = under->pMethods->xWrite(under, bytes, len, at);
    if (rc == SQLITE_OK && is_shadowed(file))
        shadow_write(&file->faults->shadow, file->which, bytes, (uint64_t)len, (uint64_t)at);
    return rc;
}

static int write_as_planned(struct fault_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    switch (verdict(file, FAULT_WRITE)) {
    case FAULT_NONE:
        return write_some(file, bytes, len, at);
    case FAULT_TORN:
        (void)!write_some(file, bytes, len / 2, at);
        return file->faults->plan.code;
    case FAULT_FAIL:
        return file->faults->plan.code;
    case FAULT_DROP:
        return SQLITE_OK;
    case FAULT_CUT:
        break;
    }
    return SQLITE_IOERR_WRITE;
}

static int file_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct fault_vfs *faults = fault(file)->faults;
    int rc = 0;
    if (fault(file)->which == SHADOW_LOG)
        rc = atomic_load(&faults->log_write_error);
    else if (fault(file)->which == SHADOW_BASE)
        rc = atomic_load(&faults->base_write_error);
    if (rc)
        return rc;
    pthread_mutex_lock(&faults->mutex);
    rc = write_as_planned(fault(file), bytes, len, at);
    pthread_mutex_unlock(&faults->mutex);
    return rc;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_vfs *faults = fault(file)->faults;
    int rc = SQLITE_IOERR_TRUNCATE;
    pthread_mutex_lock(&faults->mutex);
    if (!faults->dead) {
        rc = real(file)->pMethods->xTruncate(real(file), size);
        if (rc == SQLITE_OK && is_shadowed(fault(file)))
            shadow_truncate(&faults->shadow, fault(file)->which, (uint64_t)size);
    }
    pthread_mutex_unlock(&faults->mutex);
    return rc;
}

static int sync_as_planned(struct fault_file *file, int flags)
{
    struct fault_vfs *faults = file->faults;
    sqlite3_file *under = real(&file->file);
    enum fault_kind kind = verdict(file, FAULT_SYNC);
    if (kind == FAULT_CUT)
        return SQLITE_IOERR_FSYNC;
    if (kind == FAULT_DROP)
        return SQLITE_OK;
    int rc = kind == FAULT_NONE ? SQLITE_OK : faults->plan.code;
    if (rc == SQLITE_OK && !atomic_load(&faults->no_real_syncs))
        rc = under->pMethods->xSync(under, flags);
    if (!is_shadowed(file))
        return rc;
    if (rc == SQLITE_OK)
        shadow_sync(&faults->shadow, file->which);
    else
        shadow_sync_failed(&faults->shadow, file->which);
    return rc;
}

static int sync_it(struct fault_file *file, int flags)
{
    pthread_mutex_lock(&file->faults->mutex);
    int rc = sync_as_planned(file, flags);
    pthread_mutex_unlock(&file->faults->mutex);
    return rc;
}

static int sync_log(struct fault_vfs *faults, sqlite3_file *file, int flags)
{
    if (atomic_load(&faults->hold_log_sync))
        atomic_fetch_add(&faults->log_held, 1);
    while (atomic_load(&faults->hold_log_sync))
        usleep(200);
    int error = atomic_load(&faults->log_sync_error);
    if (error && atomic_fetch_sub(&faults->log_syncs_spared, 1) <= 0)
        return error;
    int rc = sync_it(fault(file), flags);
    if (rc == SQLITE_OK)
        atomic_fetch_add(&faults->log_syncs, 1);
    return rc;
}

static int file_sync(sqlite3_file *file, int flags)
{
    if (fault(file)->which == SHADOW_LOG)
        return sync_log(fault(file)->faults, file, flags);
    return sync_it(fault(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real(file)->pMethods->xFileSize(real(file), size);
}

static int file_lock(sqlite3_file *file, int kind)
{
    return real(file)->pMethods->xLock(real(file), kind);
}

static int file_unlock(sqlite3_file *file, int kind)
{
    return real(file)->pMethods->xUnlock(real(file), kind);
}

static int file_check_lock(sqlite3_file *file, int *out)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int file_control(sqlite3_file *file, int what, void *argument)
{
    return real(file)->pMethods->xFileControl(real(file), what, argument);
}

static int file_sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int file_characteristics(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real(file)->pMethods->xShmBarrier(real(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete)
{
    return real(file)->pMethods->xShmUnmap(real(file), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

static enum shadow_which which_of(int flags)
{
    if (flags & SQLITE_OPEN_MAIN_DB)
        return SHADOW_BASE;
    return flags & SQLITE_OPEN_WAL ? SHADOW_LOG : SHADOW_FILES;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct fault_vfs *faults = vfs->pAppData;
    enum shadow_which which = which_of(flags);
    file->pMethods = NULL;
    int error = which == SHADOW_BASE ? atomic_load(&faults->open_error) : 0;
    if (error)
        return error;
    fault(file)->faults = faults;
    fault(file)->which = which;
    if (which == SHADOW_BASE && atomic_load(&faults->read_only))
        flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
    int rc = faults->real->xOpen(faults->real, name, real(file), flags, out);
    if (real(file)->pMethods)
        file->pMethods = &methods;
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    struct fault_vfs *faults = vfs->pAppData;
    int rc = SQLITE_IOERR_DELETE;
    pthread_mutex_lock(&faults->mutex);
    if (!faults->dead) {
        rc = faults->real->xDelete(faults->real, name, sync);
        for (int i = 0; i < SHADOW_FILES && faults->shadowing; i++)
            if (strcmp(name, faults->shadow.files[i].path) == 0)
                shadow_delete(&faults->shadow, (enum shadow_which)i);
    }
    pthread_mutex_unlock(&faults->mutex);
    return rc;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    struct fault_vfs *faults = vfs->pAppData;
    int asked = us;
    if (atomic_load(&faults->hurry))
        us = us / 100 + 1;
    faults->real->xSleep(faults->real, us);
    return asked;
}

void fault_vfs_install(struct fault_vfs *faults)
{
    memset(faults, 0, sizeof *faults);
    pthread_mutex_init(&faults->mutex, NULL);
    faults->real = sqlite3_vfs_find(NULL);
    faults->vfs = *faults->real; /* what is not here goes straight to the real one */
    faults->vfs.pNext = NULL;
    faults->vfs.zName = "fault";
    faults->vfs.szOsFile += (int)sizeof(struct fault_file);
    faults->vfs.pAppData = faults;
    faults->vfs.xOpen = vfs_open;
    faults->vfs.xDelete = vfs_delete;
    faults->vfs.xSleep = vfs_sleep;
    sqlite3_vfs_register(&faults->vfs, 1);
}

void fault_vfs_remove(struct fault_vfs *faults)
{
    sqlite3_vfs_unregister(&faults->vfs);
    sqlite3_vfs_register(faults->real, 1);
    shadow_end(&faults->shadow);
    pthread_mutex_destroy(&faults->mutex);
}

void fault_vfs_plan(struct fault_vfs *faults, const struct fault_plan *plan)
{
    pthread_mutex_lock(&faults->mutex);
    faults->plan = plan ? *plan : (struct fault_plan){0};
    faults->seen = faults->struck = 0;
    pthread_mutex_unlock(&faults->mutex);
}

unsigned fault_vfs_struck(struct fault_vfs *faults)
{
    pthread_mutex_lock(&faults->mutex);
    unsigned struck = faults->struck;
    pthread_mutex_unlock(&faults->mutex);
    return struck;
}

void fault_vfs_shadow(struct fault_vfs *faults, const char *path, uint64_t seed, unsigned survive)
{
    pthread_mutex_lock(&faults->mutex);
    shadow_begin(&faults->shadow, path, seed, survive);
    faults->shadowing = true;
    pthread_mutex_unlock(&faults->mutex);
}

void fault_vfs_cut(struct fault_vfs *faults)
{
    pthread_mutex_lock(&faults->mutex);
    if (!faults->dead)
        shadow_cut(&faults->shadow);
    faults->dead = true;
    pthread_mutex_unlock(&faults->mutex);
}

void fault_vfs_restore(struct fault_vfs *faults)
{
    DM_CHECK(faults->dead);
    shadow_restore(&faults->shadow);
    faults->dead = faults->shadowing = false;
    faults->plan = (struct fault_plan){0};
}
