/*
 * dm-bench: runs the benches that are named, or all of them. Whatever hangs is
 * ended by an alarm; the children die with this process.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "lib/stats.h"

enum { BENCH_SECONDS = 600, SOCKETS_MAX = 18000, SPARE_FILES = 200 };

static const struct bench {
    const char *name;
    enum dm_bench_end (*run)(const struct dm_bench_options *);
} benches[] = {{"idle", dm_bench_idle},
               {"fanout", dm_bench_fanout},
               {"ack", dm_bench_ack},
               {"durable", dm_bench_durable},
               {"wake", dm_bench_wake},
               {"restart", dm_bench_restart},
               {"channel", dm_bench_channel},
               {"join", dm_bench_join},
               {"channel-wake", dm_bench_channel_wake},
               {"channel-memory", dm_bench_channel_memory}};

static const char usage[] =
    "usage: dm-bench [options] BUILD-FOLDER [name...]\n"
    "  the names: idle fanout ack durable wake restart channel join channel-wake\n"
    "  channel-memory; none: all of them\n"
    "  --runs N      of the server and the floor each, in turn (5)\n"
    "  --sessions N  of idle, wake, restart, channel and channel-memory (18000)\n"
    "  --shards N    the server's (its default)\n"
    "  --strict      exit with 1 if a figure is missed\n"
    "  --server P    the server's program (BUILD-FOLDER/dormouse)\n"
    "  --floors-alone  no server: the floor in its place, to see that the load is even\n";

static unsigned number(const char *text, unsigned least, unsigned most)
{
    unsigned long value = strtoul(text, NULL, 10);
    if (value < least || value > most) {
        fprintf(stderr, "dm-bench: %s is not from %u to %u\n", text, least, most);
        exit(2);
    }
    return (unsigned)value;
}

static int read_options(int argc, char **argv, struct dm_bench_options *options)
{
    static const struct option known[] = {{"runs", required_argument, NULL, 'r'},
                                          {"sessions", required_argument, NULL, 's'},
                                          {"shards", required_argument, NULL, 'h'},
                                          {"server", required_argument, NULL, 'p'},
                                          {"strict", no_argument, NULL, 't'},
                                          {"floors-alone", no_argument, NULL, 'f'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'r':
            options->runs = number(optarg, 1, DM_RUNS_MAX);
            break;
        case 's':
            options->sessions = number(optarg, 1, SOCKETS_MAX);
            break;
        case 'h':
            options->place.shards = number(optarg, 1, 64);
            break;
        case 'p':
            options->place.server = optarg;
            break;
        case 't':
            options->strict = true;
            break;
        case 'f':
            options->place.floors_alone = true;
            break;
        default:
            return -1;
        }
    }
    return optind < argc ? 0 : -1;
}

static bool is_named(const char *name, int count, char **names)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return count == 0;
}

/* All names must be known before the first bench begins. */
static bool are_known(int count, char **names)
{
    for (int i = 0; i < count; i++) {
        bool known = false;
        for (size_t j = 0; j < DM_COUNT(benches); j++)
            known = known || strcmp(names[i], benches[j].name) == 0;
        if (!known) {
            fprintf(stderr, "dm-bench: no bench is called %s\n", names[i]);
            return false;
        }
    }
    return true;
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* As many sessions as the file limit lets one process hold, the server no less than us. */
static void fit_sessions(struct dm_bench_options *options)
{
    struct rlimit files;
    raise_file_limit();
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= options->sessions + SPARE_FILES)
        return;
    options->sessions =
        files.rlim_cur > 2 * SPARE_FILES ? (unsigned)(files.rlim_cur - SPARE_FILES) : SPARE_FILES;
    fprintf(stderr, "dm-bench: the file limit allows only %u idle sessions\n", options->sessions);
}

static int run_benches(const struct dm_bench_options *options, int count, char **names)
{
    bool missed = false, failed = false;
    if (options->place.floors_alone)
        printf("Floors alone: what is called the server below is the floor as well.\n");
    printf("%-14s %-46s %10s %10s\n", "bench", "figure (medians)", "asked", "reached");
    for (size_t i = 0; i < DM_COUNT(benches); i++) {
        if (!is_named(benches[i].name, count, names))
            continue;
        alarm(BENCH_SECONDS);
        enum dm_bench_end end = benches[i].run(options);
        missed = missed || end == DM_BENCH_MISSED;
        failed = failed || end == DM_BENCH_FAILED;
    }
    if (failed)
        return 2;
    return missed && options->strict ? 1 : 0;
}

int main(int argc, char **argv)
{
    char server[512], floor[512], rows[512], out[512];
    struct dm_bench_options options = {.runs = 5, .sessions = SOCKETS_MAX};
    if (read_options(argc, argv, &options) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    const char *build = argv[optind++];
    snprintf(server, sizeof server, "%s/dormouse", build);
    snprintf(floor, sizeof floor, "%s/bench/dm-bench-floor", build);
    snprintf(rows, sizeof rows, "%s/bench/dm-bench-rows", build);
    snprintf(out, sizeof out, "%s/bench", build);
    if (!options.place.server)
        options.place.server = server;
    options.place.floor = floor;
    options.place.rows = rows;
    options.place.out = out;
    mkdir(out, 0755);
    signal(SIGPIPE, SIG_IGN);
    fit_sessions(&options);
    if (!are_known(argc - optind, argv + optind))
        return 2;
    return run_benches(&options, argc - optind, argv + optind);
}
