/*
 * dm-sim (options: cli.h)
 *
 * Runs seeds, each a world of its own, in a child process, so that whatever ends
 * it (a failed check, a sanitizer) still leaves a line that says how to repeat
 * the run.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "cli.h"

enum { STEPS_DEFAULT = 800, FAILED = 3 };

void sim_fail(struct world *world, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim: at %llu ms: ", (unsigned long long)world->now_ms);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(FAILED);
}

void sim_trace(struct world *world, const char *format, ...)
{
    if (!world->progress->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%5u: ", world->progress->step);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static void run_one(struct sim_progress *progress, uint64_t seed)
{
    progress->seed = seed;
    progress->step = 0;
    world_run(progress);
}

static void run_next(void *progress, uint64_t seed)
{
    run_one(progress, seed);
}

static int supervise(const struct sim_options *options)
{
    struct sim_progress *progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    DM_CHECK(progress != MAP_FAILED);
    *progress = (struct sim_progress){
        .shards = options->shards, .steps = options->steps, .trace = options->trace};
    fflush(stdout);
    pid_t child = fork();
    DM_CHECK(child >= 0);
    if (child == 0) {
        sim_run_all(options, DM_SIM_SEEDS, run_next, progress);
        exit(0);
    }
    int status = 0;
    DM_CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    fprintf(stderr,
            "failed: seed %llu, %u shards, step %u of %u; to repeat:\n"
            "  dm-sim --seed %llu --runs 1 --shards %u --steps %u --trace\n",
            (unsigned long long)progress->seed, progress->shards, progress->step, progress->steps,
            (unsigned long long)progress->seed, progress->shards, progress->steps);
    return 1;
}

int main(int argc, char **argv)
{
    (void)argc;
    struct sim_options options = sim_options_read(argv, SIM_SHARDS_MAX, STEPS_DEFAULT);
    return supervise(&options);
}
