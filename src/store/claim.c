/*
 * Makes the database file and locks it for this process. The lock is flock(2)
 * on a file of its own: closing any descriptor of the database itself would
 * drop the POSIX locks that SQLite holds there.
 */
#include "store/claim_priv.h"

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

/* A file that is new is only durable when its folder is. */
static void sync_folder(const char *path)
{
    char *copy = dm_strndup(path, strlen(path));
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        (void)fsync(folder); /* some file systems cannot; the first commit syncs it again */
        close(folder);
    }
    free(copy);
}

static int make_file(const char *path, struct dm_buf *why)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
        sync_folder(path);
        return DM_OK;
    }
    if (errno == ENOENT)
        return refuse(why, path, "the folder of the database does not exist; make it first");
    if (errno != EEXIST)
        return refuse(why, path, "the database cannot be created there");
    struct stat file;
    if (stat(path, &file) != 0)
        return refuse(why, path, "the database cannot be read");
    if (S_ISREG(file.st_mode) && file.st_nlink > 1) {
        dm_buf_printf(why,
                      "%s: has %lu names (hard links), and a lock on one does not hold at another",
                      path, (unsigned long)file.st_nlink);
        return DM_ERR_UNAVAILABLE;
    }
    if (S_ISREG(file.st_mode))
        return DM_OK;
    dm_buf_printf(why, "%s: is not a file; name the file of the database", path);
    return DM_ERR_UNAVAILABLE;
}

static int served(int lock, const char *path, struct dm_buf *why)
{
    char pid[16] = "";
    ssize_t len = pread(lock, pid, sizeof pid - 1, 0);
    size_t digits = len > 0 ? strspn(pid, "0123456789") : 0;
    dm_buf_printf(why, "%s: another process serves this database", path);
    if (digits > 0)
        dm_buf_printf(why, " (pid %.*s)", (int)digits, pid);
    dm_buf_lit(why, "; stop it first, or name another file");
    return DM_ERR_CONFLICT;
}

static void write_pid(int lock)
{
    char pid[16];
    int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, pid, (size_t)len, 0) != len)
        return; /* a courtesy to whoever is refused; a full disk must not prevent the start */
}

static int take_lock(struct dm_claim *claim, const char *given, struct dm_buf *why)
{
    struct dm_buf name = DM_BUF_INIT;
    dm_buf_printf(&name, "%s.lock", claim->path);
    const char *path = dm_buf_text(&name);
    int err = DM_OK;
    claim->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (claim->lock < 0)
        err = refuse(why, path, "the lock file cannot be opened; the folder must be writable");
    else if (flock(claim->lock, LOCK_EX | LOCK_NB) != 0)
        err = errno == EWOULDBLOCK ? served(claim->lock, given, why)
                                   : refuse(why, path, "the lock file cannot be locked");
    else
        write_pid(claim->lock);
    dm_buf_dispose(&name);
    return err;
}

int dm_claim_take(struct dm_claim *claim, const char *path, struct dm_buf *why)
{
    *claim = (struct dm_claim){NULL, -1};
    int err = make_file(path, why);
    if (err != DM_OK)
        return err;
    claim->path = realpath(path, NULL); /* one lock, by whatever name the file is reached */
    err = claim->path ? take_lock(claim, path, why)
                      : refuse(why, path, "the database cannot be found");
    if (err != DM_OK)
        dm_claim_drop(claim);
    return err;
}

void dm_claim_drop(struct dm_claim *claim)
{
    if (claim->lock >= 0)
        close(claim->lock);
    free(claim->path);
    *claim = (struct dm_claim){NULL, -1};
}
