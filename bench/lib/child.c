/* Starting, stopping and timing the processes that are measured. */
#include "lib/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noreturn)) static void become(char *const argv[], char *const environment[], int log)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execve(argv[0], argv, environment);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int dm_child_start(struct dm_child *child, char *const argv[], char *const environment[],
                   const char *log_path)
{
    *child = (struct dm_child){0, 0};
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) {
        fprintf(stderr, "cannot write %s: %s\n", log_path, strerror(errno));
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(argv, environment, log);
    close(log);
    if (pid < 0) {
        perror("fork");
        return -1;
    }
    child->pid = pid;
    if (clock_getcpuclockid(pid, &child->clock) != 0) {
        fprintf(stderr, "no CPU clock of process %d\n", (int)pid);
        dm_child_stop(child);
        return -1;
    }
    return 0;
}

bool dm_child_alive(struct dm_child *child)
{
    if (child->pid && waitpid(child->pid, NULL, WNOHANG) == child->pid)
        child->pid = 0;
    return child->pid != 0;
}

void dm_child_stop(struct dm_child *child)
{
    if (!child->pid)
        return;
    kill(child->pid, SIGTERM);
    for (int i = 0; i < 200 && dm_child_alive(child); i++)
        usleep(10000);
    if (child->pid) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    child->pid = 0;
}

uint64_t dm_child_cpu_ns(const struct dm_child *child)
{
    struct timespec time;
    if (!child->pid || clock_gettime(child->clock, &time) != 0)
        return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}
