/* Options, seeds, and the runs in their order. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"

enum { RUNS_DEFAULT = 300, FAILED = 3 };

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

static bool take(struct sim_options *options, const char *name, uint64_t number,
                 uint32_t shards_most)
{
    if (strcmp(name, "--seed") == 0) {
        options->seed = number;
        options->seed_given = true;
    } else if (strcmp(name, "--runs") == 0) {
        options->runs = (uint32_t)number;
    } else if (strcmp(name, "--shards") == 0 && number >= 1 && number <= shards_most) {
        options->shards = (uint32_t)number;
    } else if (strcmp(name, "--steps") == 0) {
        options->steps = (uint32_t)number;
    } else {
        return false;
    }
    return true;
}

struct sim_options sim_options_read(char **argv, uint32_t shards_most, uint32_t steps)
{
    struct sim_options options = {.runs = RUNS_DEFAULT, .shards = 1, .steps = steps};
    const char *runs = getenv("DM_SIM_RUNS");
    if (runs && *runs)
        options.runs = (uint32_t)number_of("DM_SIM_RUNS", runs);
    dm_rand_kernel(&options.seed, sizeof options.seed);
    options.seed >>= 16; /* still easy to type */
    for (char **at = argv + 1; *at; at++) {
        const char *name = *at;
        if (strcmp(name, "--trace") == 0) {
            options.trace = true;
            continue;
        }
        uint64_t number = number_of(name, *++at);
        if (!take(&options, name, number, shards_most)) {
            fprintf(stderr, "%s: unknown, or out of range\n", name);
            exit(2);
        }
    }
    return options;
}

/* Lines of "shards seed", then what the failure was. */
static uint32_t replay(const struct sim_options *options, const char *seeds_file,
                       void (*run)(void *context, uint64_t seed), void *context)
{
    FILE *file = fopen(seeds_file, "r");
    if (!file) {
        perror(seeds_file);
        exit(FAILED);
    }
    char line[256];
    uint32_t count = 0;
    while (fgets(line, sizeof line, file)) {
        char *end;
        unsigned long shards = strtoul(line, &end, 10);
        if (line[0] == '#' || shards != options->shards)
            continue;
        run(context, strtoull(end, NULL, 10));
        count++;
    }
    fclose(file);
    return count;
}

void sim_run_all(const struct sim_options *options, const char *seeds_file,
                 void (*run)(void *context, uint64_t seed), void *context)
{
    uint32_t past = options->seed_given ? 0 : replay(options, seeds_file, run, context);
    for (uint32_t i = 0; i < options->runs; i++)
        run(context, options->seed + i);
    printf("%u runs from seed %llu on, and %u past failures, %u shards: passed\n", options->runs,
           (unsigned long long)options->seed, past, options->shards);
}
