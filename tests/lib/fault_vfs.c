/* Every call goes to the real file system, after a look at the knobs. */
#include "lib/fault_vfs.h"

#include <string.h>
#include <unistd.h>

struct fault_file {
    sqlite3_file file;
    struct fault_vfs *faults;
    int flags; /* SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL … */
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

static int file_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at)
{
    struct fault_vfs *faults = fault(file)->faults;
    int error = 0;
    if (fault(file)->flags & SQLITE_OPEN_WAL)
        error = atomic_load(&faults->log_write_error);
    else if (fault(file)->flags & SQLITE_OPEN_MAIN_DB)
        error = atomic_load(&faults->base_write_error);
    return error ? error : real(file)->pMethods->xWrite(real(file), bytes, len, at);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real(file)->pMethods->xTruncate(real(file), size);
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
    int rc = real(file)->pMethods->xSync(real(file), flags);
    if (rc == SQLITE_OK)
        atomic_fetch_add(&faults->log_syncs, 1);
    return rc;
}

static int file_sync(sqlite3_file *file, int flags)
{
    if (fault(file)->flags & SQLITE_OPEN_WAL)
        return sync_log(fault(file)->faults, file, flags);
    return real(file)->pMethods->xSync(real(file), flags);
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

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct fault_vfs *faults = vfs->pAppData;
    file->pMethods = NULL;
    int error = flags & SQLITE_OPEN_MAIN_DB ? atomic_load(&faults->open_error) : 0;
    if (error)
        return error;
    fault(file)->faults = faults;
    fault(file)->flags = flags;
    int rc = faults->real->xOpen(faults->real, name, real(file), flags, out);
    if (real(file)->pMethods)
        file->pMethods = &methods;
    return rc;
}

void fault_vfs_install(struct fault_vfs *faults)
{
    memset(faults, 0, sizeof *faults);
    faults->real = sqlite3_vfs_find(NULL);
    faults->vfs = *faults->real; /* all that is no file goes straight to the real one */
    faults->vfs.pNext = NULL;
    faults->vfs.zName = "fault";
    faults->vfs.szOsFile += (int)sizeof(struct fault_file);
    faults->vfs.pAppData = faults;
    faults->vfs.xOpen = vfs_open;
    sqlite3_vfs_register(&faults->vfs, 1);
}

void fault_vfs_remove(struct fault_vfs *faults)
{
    sqlite3_vfs_unregister(&faults->vfs);
    sqlite3_vfs_register(faults->real, 1);
}
