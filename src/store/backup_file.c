/* From "<file>.partial" to the file: locked, synced, renamed over nothing. */
#include "store/backup_file_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/err.h"

static int refuse(struct dm_buf *why, const char *path, const char *what)
{
    dm_buf_printf(why, "%s: %s (%s)", path, what, strerror(errno));
    return DM_ERR_UNAVAILABLE;
}

static int is_there(struct dm_buf *why, const char *path)
{
    dm_buf_printf(why, "%s: is there already; name a file that is not", path);
    return DM_ERR_CONFLICT;
}

static char *with_ending(const char *path, const char *ending)
{
    struct dm_buf name = DM_BUF_INIT;
    dm_buf_printf(&name, "%s%s", path, ending);
    (void)dm_buf_text(&name);
    return name.bytes;
}

/* A log that another database of that name has left would be taken for the copy's own. */
static bool any_is_there(const char *path, struct dm_buf *why)
{
    static const char *const endings[] = {"", "-wal", "-journal"};
    bool there = false;
    for (size_t i = 0; i < DM_COUNT(endings) && !there; i++) {
        struct stat status;
        char *name = with_ending(path, endings[i]);
        there = lstat(name, &status) == 0;
        if (there)
            is_there(why, name);
        free(name);
    }
    return there;
}

/* What a killed backup has left is taken over; what is no such file is left alone. */
static int lock_partial(struct dm_backup_file *file, struct dm_buf *why)
{
    struct stat status;
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return refuse(why, file->partial, "cannot be locked");
        dm_buf_printf(why, "%s: another backup to this file is running", file->path);
        return DM_ERR_CONFLICT;
    }
    if (fstat(file->fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1) {
        dm_buf_printf(why, "%s: is in the way; remove it", file->partial);
        return DM_ERR_CONFLICT;
    }
    if (fchmod(file->fd, 0600) != 0 || ftruncate(file->fd, 0) != 0)
        return refuse(why, file->partial, "cannot be written");
    return DM_OK;
}

int dm_backup_file_begin(struct dm_backup_file *file, const char *path, struct dm_buf *why)
{
    *file = (struct dm_backup_file){.path = path, .fd = -1};
    if (any_is_there(path, why))
        return DM_ERR_CONFLICT;
    file->partial = with_ending(path, ".partial");
    file->fd = open(file->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (file->fd < 0)
        return errno == ENOENT ? refuse(why, path, "its folder does not exist; make it first")
                               : refuse(why, file->partial, "cannot be created");
    int err = lock_partial(file, why);
    if (err == DM_ERR_CONFLICT) { /* not ours: it stays */
        close(file->fd);
        file->fd = -1;
    }
    return err;
}

/* rename(2) would replace a file that has come meanwhile. Not every file system can be told not
 * to; a second name can be made on those that cannot. */
static int give_name(const struct dm_backup_file *file)
{
    if (renameat2(AT_FDCWD, file->partial, AT_FDCWD, file->path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(file->partial, file->path) != 0)
        return -1;
    return unlink(file->partial);
}

static int sync_folder(const char *path)
{
    char *copy = dm_strndup(path, strlen(path));
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = folder < 0 ? -1 : fsync(folder);
    if (rc != 0 && folder >= 0 && errno == EINVAL) /* a file system that has no such thing */
        rc = 0;
    if (folder >= 0)
        close(folder);
    free(copy);
    return rc;
}

int dm_backup_file_finish(struct dm_backup_file *file, struct dm_buf *why)
{
    if (fsync(file->fd) != 0)
        return refuse(why, file->partial, "cannot be synced");
    if (give_name(file) != 0)
        return errno == EEXIST ? is_there(why, file->path)
                               : refuse(why, file->path, "cannot be named so");
    close(file->fd);
    file->fd = -1;
    if (sync_folder(file->path) != 0)
        return refuse(why, file->path, "is whole, but its folder cannot be synced");
    return DM_OK;
}

void dm_backup_file_dispose(struct dm_backup_file *file)
{
    if (file->fd >= 0) {
        unlink(file->partial); /* before the lock is let go of: another may take it over then */
        close(file->fd);
    }
    free(file->partial);
    *file = (struct dm_backup_file){.fd = -1};
}
