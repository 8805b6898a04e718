/*
 * What the sims' command lines have in common:
 *
 *   PROGRAM [--seed N] [--runs N] [--shards N] [--steps N] [--trace]
 *
 * Seeds of past failures (a file of lines "shards seed") come first, then so many
 * fresh ones, from a number that is drawn anew each time and printed. With
 * --seed only that one and its successors.
 */
#ifndef DM_TESTS_SIM_CLI_H
#define DM_TESTS_SIM_CLI_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
    uint64_t seed;
    uint32_t runs, shards, steps;
    bool seed_given, trace;
};

/* DM_SIM_RUNS says how many where --runs does not. Exits with 2 where something is wrong. */
struct sim_options sim_options_read(char **argv, uint32_t shards_most, uint32_t steps);

/* Runs them all, and says so. */
void sim_run_all(const struct sim_options *options, const char *seeds_file,
                 void (*run)(void *context, uint64_t seed), void *context);

#endif
