/*
 * dm-sim [--seed N] [--runs N] [--shards N] [--steps N] [--trace]
 *
 * Runs the seeds from N on, each a world of its own, in a child process, so
 * that whatever ends it (a failed check, a sanitizer) still leaves a line that
 * says how to repeat the run. Seeds of past failures (seeds.txt) come first.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

enum { RUNS_FULL = 10000, RUNS_DEFAULT = 300, STEPS_DEFAULT = 800, FAILED = 3 };

struct options {
    uint64_t seed;
    uint32_t runs, shards, steps;
    bool seed_given, trace;
};

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

/* Lines of "shards seed", then what the failure was. */
static uint32_t replay(struct sim_progress *progress)
{
    FILE *file = fopen(DM_SIM_SEEDS, "r");
    if (!file) {
        perror(DM_SIM_SEEDS);
        exit(FAILED);
    }
    char line[256];
    uint32_t count = 0;
    while (fgets(line, sizeof line, file)) {
        char *end;
        unsigned long shards = strtoul(line, &end, 10);
        if (line[0] == '#' || shards != progress->shards)
            continue;
        run_one(progress, strtoull(end, NULL, 10));
        count++;
    }
    fclose(file);
    return count;
}

static void run_all(const struct options *options, struct sim_progress *progress)
{
    uint32_t past = options->seed_given ? 0 : replay(progress);
    for (uint32_t i = 0; i < options->runs; i++)
        run_one(progress, options->seed + i);
    if (options->seed_given)
        printf("%u runs, %u shards: passed\n", options->runs, options->shards);
    else
        printf("%u of %u runs, and %u past failures, %u shards: passed\n", options->runs, RUNS_FULL,
               past, options->shards);
}

static int supervise(const struct options *options)
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
        run_all(options, progress);
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

static uint64_t number_of(const char *name, const char *text)
{
    char *end;
    uint64_t number = text ? strtoull(text, &end, 10) : 0;
    if (!text || end == text || *end) {
        fprintf(stderr, "%s takes a number\n", name);
        exit(2);
    }
    return number;
}

static void read_options(struct options *options, char **args)
{
    for (; *args; args++) {
        if (strcmp(*args, "--trace") == 0) {
            options->trace = true;
            continue;
        }
        const char *name = *args;
        uint64_t number = number_of(name, args[1]);
        args++;
        if (strcmp(name, "--seed") == 0) {
            options->seed = number;
            options->seed_given = true;
        } else if (strcmp(name, "--runs") == 0) {
            options->runs = (uint32_t)number;
        } else if (strcmp(name, "--shards") == 0 && number >= 1 && number <= SIM_SHARDS_MAX) {
            options->shards = (uint32_t)number;
        } else if (strcmp(name, "--steps") == 0) {
            options->steps = (uint32_t)number;
        } else {
            fprintf(stderr, "%s: unknown, or out of range\n", name);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    const char *runs = getenv("DM_SIM_RUNS");
    struct options options = {.seed = 1, .runs = RUNS_DEFAULT, .shards = 2, .steps = STEPS_DEFAULT};
    if (runs && *runs)
        options.runs = (uint32_t)number_of("DM_SIM_RUNS", runs);
    read_options(&options, argv + 1);
    return supervise(&options);
}
