/*
 * wake: a million users with rows in the database, 18,000 others connected and
 * asleep. Publishes that wait for no ack, to one after the other at random:
 * from the request to the frame at the client, first while the user is asleep,
 * and once more while it is awake.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench.h"
#include "lib/load.h"
#include "lib/report.h"
#include "lib/rows.h"
#include "lib/scrape.h"
#include "lib/stats.h"

enum {
    ROWS = 1000000,
    ATTACHMENT = 64, /* bytes, of each of these rows */
    WAKES = 4000,    /* a run */
    ASLEEP_MS = 60000,
};

struct run {
    uint32_t asleep_p50_us, asleep_p99_us, asleep_most_us, awake_p50_us, awake_p99_us;
    double wakes, reads;
};

struct bench {
    struct dm_target server;
    struct dm_load load;
    uint32_t *users; /* in an order at random; `next` is the one that has slept longest */
    uint32_t next;
};

static int say(const struct dm_load *load)
{
    fprintf(stderr, "wake: %s\n", load->failure);
    return -1;
}

/* Until all sleep: their subscribes are handled, and what they must remember is written. */
static int wait_asleep(struct dm_load *load)
{
    uint64_t deadline = dm_clock_mono_ms() + ASLEEP_MS;
    double asleep = 0;
    while (dm_clock_mono_ms() < deadline) {
        asleep = dm_scrape(load->target, "dormouse_objects", "state=\"asleep\"");
        if (asleep >= load->session_count)
            return 0;
        if (dm_load_turn(load, 0) != 0)
            return -1;
        usleep(50000);
    }
    dm_load_fail(load, "%.0f of %u users asleep in time", asleep, load->session_count);
    return -1;
}

/* Each user twice in a row: asleep, then awake. */
static void choose(struct bench *bench, uint32_t *order, uint32_t wakes)
{
    for (uint32_t i = 0; i < wakes; i++) {
        order[2 * i] = order[2 * i + 1] = bench->users[bench->next];
        bench->next = (bench->next + 1) % bench->load.session_count;
    }
}

static void split(const uint32_t *us, uint32_t wakes, struct run *run)
{
    uint32_t *part = dm_calloc(wakes, sizeof *part);
    for (uint32_t i = 0; i < wakes; i++)
        part[i] = us[2 * i];
    dm_stats_sort_u32(part, wakes);
    run->asleep_p50_us = dm_stats_at_u32(part, wakes, 0.50);
    run->asleep_p99_us = dm_stats_at_u32(part, wakes, 0.99);
    run->asleep_most_us = part[wakes - 1];
    for (uint32_t i = 0; i < wakes; i++)
        part[i] = us[2 * i + 1];
    dm_stats_sort_u32(part, wakes);
    run->awake_p50_us = dm_stats_at_u32(part, wakes, 0.50);
    run->awake_p99_us = dm_stats_at_u32(part, wakes, 0.99);
    free(part);
}

static int publish(struct bench *bench, uint32_t wakes, struct run *run)
{
    uint32_t *order = dm_calloc(2 * (size_t)wakes, sizeof *order);
    uint32_t *us = dm_calloc(2 * (size_t)wakes, sizeof *us);
    struct dm_plan plan = {.publishers = 1,
                           .publishes = 2 * wakes,
                           .timeout_ms = 0,
                           .payload = "{\"text\":\"wake up\"}",
                           .must_say = "\"clientCount\":1",
                           .copies = 1,
                           .order = order,
                           .frame_us = us};
    struct dm_outcome outcome;
    choose(bench, order, wakes);
    run->wakes = -dm_scrape(&bench->server, "dormouse_wakes_total", "");
    run->reads = -dm_scrape(&bench->server, "dormouse_store_reads_total", "");
    int err = dm_load_publish(&bench->load, &plan, &outcome);
    run->wakes += dm_scrape(&bench->server, "dormouse_wakes_total", "");
    run->reads += dm_scrape(&bench->server, "dormouse_store_reads_total", "");
    if (err == 0)
        split(us, wakes, run);
    free(order);
    free(us);
    return err;
}

/* Each publish of a pair must have found its user as it was meant to, or the figure is another. */
static int run_one(struct bench *bench, struct dm_report *report, unsigned number, struct run *run)
{
    uint32_t sessions = bench->load.session_count, wakes = sessions < WAKES ? sessions : WAKES;
    if (wait_asleep(&bench->load) != 0 || publish(bench, wakes, run) != 0)
        return say(&bench->load);
    if ((uint32_t)run->wakes != wakes || (uint32_t)run->reads != wakes) {
        dm_load_fail(&bench->load, "%u users were to wake; %.0f did, with %.0f reads", wakes,
                     run->wakes, run->reads);
        return say(&bench->load);
    }
    dm_report_run(report, "server", number);
    dm_buf_printf(&report->runs,
                  ",\"wakes\":%.0f,\"asleep_p50_us\":%u,\"asleep_p99_us\":%u,"
                  "\"asleep_most_us\":%u,\"awake_p50_us\":%u,\"awake_p99_us\":%u}",
                  run->wakes, run->asleep_p50_us, run->asleep_p99_us, run->asleep_most_us,
                  run->awake_p50_us, run->awake_p99_us);
    return 0;
}

static double asleep_p50(const struct run *run)
{
    return run->asleep_p50_us;
}

static double asleep_p99(const struct run *run)
{
    return run->asleep_p99_us;
}

static double asleep_most(const struct run *run)
{
    return run->asleep_most_us;
}

static double awake_p50(const struct run *run)
{
    return run->awake_p50_us;
}

static double awake_p99(const struct run *run)
{
    return run->awake_p99_us;
}

static double median_ms(const struct run *runs, unsigned count,
                        double (*figure)(const struct run *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < count; i++)
        values[i] = figure(&runs[i]);
    return dm_stats_median(values, count) / 1e3;
}

static void tell(struct dm_report *report, const struct run *runs, unsigned count)
{
    dm_report_figure(report, "p99 of a publish that wakes its user", "ms", 2,
                     median_ms(runs, count, asleep_p99));
    dm_report_told(report, "  p50", "ms", median_ms(runs, count, asleep_p50));
    dm_report_told(report, "  the slowest", "ms", median_ms(runs, count, asleep_most));
    dm_report_told(report, "  p50 of one to a user that is awake", "ms",
                   median_ms(runs, count, awake_p50));
    dm_report_told(report, "  p99 of one to a user that is awake", "ms",
                   median_ms(runs, count, awake_p99));
    dm_report_told(report, "users woken a run, by the server's count", "", runs[0].wakes);
}

static void shuffle(struct bench *bench)
{
    uint32_t count = bench->load.session_count;
    bench->users = dm_calloc(count, sizeof *bench->users);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = dm_load_random(&bench->load, i + 1);
        bench->users[i] = bench->users[at];
        bench->users[at] = i;
    }
}

static int start(struct bench *bench, const struct dm_bench_options *options,
                 struct dm_report *report)
{
    static const char *const settings[] = {"HIBERNATE_AFTER=1s", "RESUME_WINDOW=24h", NULL};
    const struct dm_rows rows = {.count = ROWS,
                                 .named = options->sessions,
                                 .skip = options->sessions, /* these write their own */
                                 .attachment_len = ATTACHMENT,
                                 .dropped = true};
    uint64_t began = dm_clock_mono_ms();
    if (dm_target_make_database(&bench->server, &options->place) != 0 ||
        dm_rows_fill(bench->server.folder, &rows) != 0)
        return -1;
    dm_report_told(report, "users with rows in the database", "", ROWS);
    dm_report_told(report, "  time to write them", "s", (double)(dm_clock_mono_ms() - began) / 1e3);
    if (dm_target_start_again(&bench->server, &options->place, settings) != 0)
        return -1;
    dm_report_told(report, "  time until the server is ready", "s",
                   (double)bench->server.ready_us / 1e6);
    dm_load_init(&bench->load, &bench->server, options->sessions, options->sessions, false);
    dm_report_told(report, "users connected and asleep", "", options->sessions);
    shuffle(bench);
    return dm_load_connect(&bench->load) == 0 ? 0 : say(&bench->load);
}

static int measure(struct bench *bench, const struct dm_bench_options *options,
                   struct dm_report *report)
{
    struct run runs[DM_RUNS_MAX];
    for (unsigned i = 0; i < options->runs; i++)
        if (run_one(bench, report, i, &runs[i]) != 0)
            return -1;
    tell(report, runs, options->runs);
    return 0;
}

enum dm_bench_end dm_bench_wake(const struct dm_bench_options *options)
{
    struct bench bench = {.next = 0};
    struct dm_report report;
    if (options->place.floors_alone) {
        fprintf(stderr, "wake has no floor\n");
        return DM_BENCH_REACHED;
    }
    dm_report_init(&report, "wake", &options->place);
    int err = start(&bench, options, &report);
    if (err == 0)
        err = measure(&bench, options, &report);
    if (bench.load.session_count)
        dm_load_dispose(&bench.load);
    dm_target_stop(&bench.server);
    free(bench.users);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
