/*
 * restart: a database as kill -9 left it, with 100,000 native sessions that
 * can be resumed, and 10,000 envelopes that some are owed. Time from the
 * server's start until it is ready; then 18,000 clients come back at once with
 * their secrets. Each envelope must come to its session, and once; a publish
 * to some of them shows that their filters are back as well.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "bench.h"
#include "lib/load.h"
#include "lib/owed.h"
#include "lib/report.h"
#include "lib/rows.h"
#include "lib/scrape.h"
#include "lib/stats.h"

enum {
    ROWS = 100000,
    ATTACHMENT = 200, /* bytes, of each */
    UNFOLDED = 40000, /* rows: some 15 MB of log, about as much as the server lets it grow */
    OWED = 10000,
    PAYLOAD = 200, /* bytes, of each */
    CHECKED = 200,
    QUIET_MS = 500, /* after all that must come, for what must not */
};

struct run {
    uint64_t empty_us, ready_us; /* until ready: without sessions, with them */
    uint64_t welcomed_us;        /* from the first connect to the last welcome */
    uint64_t half_us;            /* and to the middle one */
    uint64_t answered_us;        /* and to the last answer to what they sent then */
    uint64_t owed_us;            /* and to the last envelope that was owed */
    uint64_t cpu_ns;             /* the server's until all this had come */
    uint64_t refusals; /* handshakes answered 503, or reset: they come again in a second */
    double resumes, redeliveries;
};

static int say(const struct dm_load *load)
{
    fprintf(stderr, "restart: %s\n", load->failure);
    return -1;
}

static int resume_all(struct dm_load *load, struct run *run)
{
    uint64_t start = dm_clock_mono_us(), cpu = dm_child_cpu_ns(&load->target->child);
    load->native = load->resumes = true;
    load->at_once = load->session_count;
    load->patient = true;
    if (dm_load_connect(load) != 0)
        return -1;
    run->answered_us = dm_clock_mono_us() - start;
    if (dm_owed_wait(load) != 0)
        return -1;
    run->owed_us = load->owed->last_us - start;
    run->welcomed_us = load->welcomed_us - start;
    run->half_us = load->welcomed_half_us - start;
    run->refusals = load->refusals;
    run->cpu_ns = dm_child_cpu_ns(&load->target->child) - cpu;
    run->resumes = dm_scrape(load->target, "dormouse_resumes_total", "");
    if (load->welcomes == load->session_count && run->resumes >= load->session_count)
        return 0;
    dm_load_fail(load, "%u of %u sessions were welcomed back, the server counts %.0f",
                 load->welcomes, load->session_count, run->resumes);
    return -1;
}

static int check_filters(struct dm_load *load)
{
    struct dm_plan plan = {.publishers = 1,
                           .publishes = CHECKED,
                           .timeout_ms = 0,
                           .payload = "{\"text\":\"back?\"}",
                           .must_say = "\"clientCount\":1",
                           .copies = 1};
    struct dm_outcome outcome;
    return dm_load_publish(load, &plan, &outcome);
}

/* An envelope that comes twice makes the load fail when it comes. */
static int check_owed(struct dm_load *load, struct run *run)
{
    uint64_t end = dm_clock_mono_ms() + QUIET_MS;
    int err = 0;
    while (err == 0 && dm_clock_mono_ms() < end)
        err = dm_load_turn(load, 10);
    run->redeliveries = dm_scrape(load->target, "dormouse_redeliveries_total", "");
    if (err == 0 && run->redeliveries != load->owed->came) {
        dm_load_fail(load, "%u owed envelopes came, the server counts %.0f", load->owed->came,
                     run->redeliveries);
        err = -1;
    }
    return err;
}

static int bring_back(struct dm_target *server, const struct dm_rows *rows, struct run *run)
{
    struct dm_load load;
    struct dm_owed owed;
    dm_load_init(&load, server, rows->named, rows->named, false);
    dm_owed_init(&owed, rows);
    load.owed = &owed;
    int err = resume_all(&load, run);
    if (err == 0)
        err = check_filters(&load);
    if (err == 0)
        err = check_owed(&load, run);
    if (err != 0)
        say(&load);
    dm_load_dispose(&load);
    dm_owed_dispose(&owed);
    return err;
}

static void write_run(struct dm_report *report, unsigned number, const struct run *run)
{
    dm_report_run(report, "server", number);
    dm_buf_printf(&report->runs,
                  ",\"empty_ready_us\":%" PRIu64 ",\"ready_us\":%" PRIu64
                  ",\"welcomed_us\":%" PRIu64 ",\"half_us\":%" PRIu64 ",\"answered_us\":%" PRIu64
                  ",\"owed_us\":%" PRIu64 ",\"cpu_ns\":%" PRIu64
                  ",\"resumes\":%.0f,\"redeliveries\":%.0f,\"refusals\":%" PRIu64 "}",
                  run->empty_us, run->ready_us, run->welcomed_us, run->half_us, run->answered_us,
                  run->owed_us, run->cpu_ns, run->resumes, run->redeliveries, run->refusals);
}

static int run_one(const struct dm_bench_options *options, unsigned number,
                   struct dm_report *report, struct run *run)
{
    static const char *const settings[] = {NULL};
    const struct dm_rows rows = {.count = ROWS,
                                 .named = options->sessions,
                                 .attachment_len = ATTACHMENT,
                                 .unfolded = UNFOLDED,
                                 .owed = OWED,
                                 .payload_len = PAYLOAD};
    struct dm_target server;
    int err = dm_target_make_database(&server, &options->place);
    run->empty_us = server.ready_us;
    if (err == 0)
        err = dm_rows_fill(server.folder, &rows);
    if (err == 0)
        err = dm_target_start_again(&server, &options->place, settings);
    run->ready_us = server.ready_us;
    if (err == 0)
        err = bring_back(&server, &rows, run);
    if (err == 0)
        write_run(report, number, run);
    dm_target_stop(&server);
    return err;
}

static double empty_ms(const struct run *run)
{
    return (double)run->empty_us / 1e3;
}

static double ready_s(const struct run *run)
{
    return (double)run->ready_us / 1e6;
}

static double welcomed_s(const struct run *run)
{
    return (double)run->welcomed_us / 1e6;
}

static double half_s(const struct run *run)
{
    return (double)run->half_us / 1e6;
}

static double answered_s(const struct run *run)
{
    return (double)run->answered_us / 1e6;
}

static double owed_s(const struct run *run)
{
    return (double)run->owed_us / 1e6;
}

static double refusals(const struct run *run)
{
    return (double)run->refusals;
}

static double cpu_s(const struct run *run)
{
    return (double)run->cpu_ns / 1e9;
}

static double median_of(const struct run *runs, unsigned count,
                        double (*figure)(const struct run *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < count; i++)
        values[i] = figure(&runs[i]);
    return dm_stats_median(values, count);
}

static void tell(struct dm_report *report, const struct run *runs, unsigned count,
                 unsigned sessions)
{
    dm_report_told(report, "sessions in the database", "", ROWS);
    dm_report_told(report, "envelopes that are owed", "", OWED);
    dm_report_figure(report, "time until the server is ready", "s", 1,
                     median_of(runs, count, ready_s));
    dm_report_told(report, "  without a session", "ms", median_of(runs, count, empty_ms));
    dm_report_told(report, "sessions that come back at once", "", sessions);
    dm_report_figure(report, "time until all are welcomed", "s", 5,
                     median_of(runs, count, welcomed_s));
    dm_report_told(report, "  until half are", "s", median_of(runs, count, half_s));
    dm_report_told(report, "  until each has an answer, too", "s",
                   median_of(runs, count, answered_s));
    dm_report_told(report, "  until all they are owed has come", "s",
                   median_of(runs, count, owed_s));
    dm_report_told(report, "  handshakes refused, and repeated", "",
                   median_of(runs, count, refusals));
    dm_report_told(report, "  CPU of the server meanwhile", "s", median_of(runs, count, cpu_s));
}

enum dm_bench_end dm_bench_restart(const struct dm_bench_options *options)
{
    struct run runs[DM_RUNS_MAX] = {{.resumes = 0}};
    struct dm_report report;
    int err = 0;
    if (options->place.floors_alone) {
        fprintf(stderr, "restart has no floor\n");
        return DM_BENCH_REACHED;
    }
    dm_report_init(&report, "restart", &options->place);
    for (unsigned i = 0; i < options->runs && err == 0; i++)
        err = run_one(options, i, &report, &runs[i]);
    if (err == 0)
        tell(&report, runs, options->runs, options->sessions);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
