/*
 * idle: many users with one session and one filter each, all asleep. What the
 * server's resident memory has grown by since it was empty, a session; where
 * it went; and that each of them is still there: a publish to random ones
 * arrives. The same with native sessions, which can be resumed: that may cost
 * nothing. Their tokens have no end; once more with tokens that do, because
 * then a session has a timer.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "bench.h"
#include "lib/asleep.h"
#include "lib/load.h"
#include "lib/memory.h"
#include "lib/report.h"
#include "lib/stats.h"

enum {
    ASKED_BYTES = 160,
    EARLY_PART = 4, /* so many of the sessions come first: what there is once is paid by then */
    CHECKED = 50
};

enum kind { HOPEFLOW, NATIVE, NATIVE_ENDING, FLOOR, KINDS };
static const char *const kinds[KINDS] = {"server", "server, native",
                                         "server, native, tokens that end", "floor"};

/* No more, within what two runs of the same differ by. */
static const double NATIVE_MOST = 1.05;

struct run {
    struct dm_memory before, early, after; /* without a session, with some, with all */
    double bytes;                          /* a session */
    double further_bytes;                  /* a session, of those that came after `early` */
    uint64_t connect_ms, asleep_ms, settled_ms;
    uint64_t wake_us; /* p50 of a publish to a user that sleeps */
};

static int say(const struct dm_load *load)
{
    fprintf(stderr, "idle: %s\n", load->failure);
    return -1;
}

/* Connected and filtered for certain: a publish to random users reaches each. */
static int check_alive(struct dm_load *load, struct run *run)
{
    struct dm_plan plan = {.publishers = 1,
                           .publishes = CHECKED,
                           .timeout_ms = 0,
                           .payload = "{\"text\":\"still there?\"}",
                           .must_say = "\"clientCount\":1",
                           .copies = 1};
    struct dm_outcome outcome;
    int err = dm_load_publish(load, &plan, &outcome);
    run->wake_us = outcome.p50_us;
    return err;
}

static int measure(struct dm_target *target, struct dm_load *load, struct run *run)
{
    uint32_t all = load->session_count, early = all / EARLY_PART;
    if (dm_memory_read(target->child.pid, &run->before) != 0 ||
        dm_load_connect_to(load, early) != 0 ||
        (!target->floor && dm_load_wait_asleep(load, early) != 0) ||
        dm_memory_settle(target->child.pid, &run->early) != 0)
        return -1;
    uint64_t start = dm_clock_mono_ms();
    if (dm_load_connect(load) != 0)
        return -1;
    run->connect_ms = dm_clock_mono_ms() - start;
    if (!target->floor && dm_load_wait_asleep(load, all) != 0)
        return -1;
    run->asleep_ms = dm_clock_mono_ms() - start;
    if (dm_memory_settle(target->child.pid, &run->after) != 0)
        return -1;
    run->settled_ms = dm_clock_mono_ms() - start;
    run->bytes = ((double)run->after.rss - (double)run->before.rss) / load->session_count;
    run->further_bytes = ((double)run->after.rss - (double)run->early.rss) / (double)(all - early);
    return target->floor ? 0 : check_alive(load, run);
}

static void write_run(struct dm_report *report, const char *kind, unsigned pair,
                      const struct run *run)
{
    dm_report_run(report, kind, pair);
    dm_buf_printf(
        &report->runs,
        ",\"bytes_a_session\":%.2f,\"bytes_a_further_session\":%.2f,\"rss_before\":%" PRIu64
        ",\"rss_after\":%" PRIu64 ",\"pss_before\":%" PRIu64 ",\"pss_after\":%" PRIu64
        ",\"anonymous_before\":%" PRIu64 ",\"anonymous_after\":%" PRIu64,
        run->bytes, run->further_bytes, run->before.rss, run->after.rss, run->before.pss,
        run->after.pss, run->before.anonymous, run->after.anonymous);
    for (enum dm_memory_part part = 0; part < DM_MEMORY_PARTS; part++)
        dm_buf_printf(&report->runs, ",\"%s_before\":%" PRIu64 ",\"%s_after\":%" PRIu64,
                      dm_memory_part_name(part), run->before.parts[part], dm_memory_part_name(part),
                      run->after.parts[part]);
    dm_buf_printf(&report->runs,
                  ",\"connect_ms\":%" PRIu64 ",\"asleep_ms\":%" PRIu64 ",\"settled_ms\":%" PRIu64
                  ",\"wake_p50_us\":%" PRIu64 "}",
                  run->connect_ms, run->asleep_ms, run->settled_ms, run->wake_us);
}

static int run_one(const struct dm_bench_options *options, enum kind kind, unsigned pair,
                   struct dm_report *report, struct run *run)
{
    static const char *const settings[] = {"HIBERNATE_AFTER=1s", NULL};
    struct dm_target target;
    struct dm_load load;
    *run = (struct run){.bytes = 0};
    bool floor = kind == FLOOR || options->place.floors_alone;
    int err = floor ? dm_target_start_floor(&target, &options->place, false, 204)
                    : dm_target_start_server(&target, &options->place, settings);
    if (err != 0)
        return err;
    dm_load_init(&load, &target, options->sessions, options->sessions, false);
    load.native = !floor && kind != HOPEFLOW;
    load.endless = kind == NATIVE;
    err = measure(&target, &load, run);
    if (err != 0)
        say(&load);
    else
        write_run(report, kinds[kind], pair, run);
    dm_target_stop(&target);
    dm_load_dispose(&load);
    return err;
}

/* The parts of the growth, as in the run whose total is the median's nearest. */
static void tell_parts(struct dm_report *report, const struct run *runs, unsigned count,
                       double median, unsigned sessions)
{
    const struct run *typical = &runs[0];
    for (unsigned i = 1; i < count; i++)
        if ((runs[i].bytes > median ? runs[i].bytes - median : median - runs[i].bytes) <
            (typical->bytes > median ? typical->bytes - median : median - typical->bytes))
            typical = &runs[i];
    for (enum dm_memory_part part = 0; part < DM_MEMORY_PARTS; part++) {
        char name[64];
        snprintf(name, sizeof name, "  of it: %s", dm_memory_part_name(part));
        dm_report_told(report, name, "bytes",
                       ((double)typical->after.parts[part] - (double)typical->before.parts[part]) /
                           sessions);
    }
    dm_report_told(report, "the empty server's RSS", "MB", (double)typical->before.rss / 1e6);
    dm_report_told(report, "time to connect three quarters", "s",
                   (double)typical->connect_ms / 1e3);
    dm_report_told(report, "time until these sleep", "s", (double)typical->asleep_ms / 1e3);
    dm_report_told(report, "p50 of a publish that wakes its user", "ms",
                   (double)typical->wake_us / 1e3);
}

static double median_bytes(const struct run *runs, unsigned count)
{
    double bytes[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < count; i++)
        bytes[i] = runs[i].bytes;
    return dm_stats_median(bytes, count);
}

static double median_further_bytes(const struct run *runs, unsigned count)
{
    double bytes[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < count; i++)
        bytes[i] = runs[i].further_bytes;
    return dm_stats_median(bytes, count);
}

static void tell(struct dm_report *report, struct run runs[KINDS][DM_RUNS_MAX],
                 const struct dm_bench_options *options)
{
    double medians[KINDS], further[KINDS];
    for (enum kind kind = 0; kind < KINDS; kind++) {
        medians[kind] = median_bytes(runs[kind], options->runs);
        further[kind] = median_further_bytes(runs[kind], options->runs);
    }
    dm_report_told(report, "sessions, a user and a filter each", "", options->sessions);
    dm_report_figure(report, "RSS a session asleep, without the kernel's", "bytes", ASKED_BYTES,
                     medians[HOPEFLOW]);
    tell_parts(report, runs[HOPEFLOW], options->runs, medians[HOPEFLOW], options->sessions);
    dm_report_told(report, "RSS a session, floor", "bytes", medians[FLOOR]);
    dm_report_figure(report, "a further one that can be resumed, over others", "x", NATIVE_MOST,
                     further[NATIVE] / further[HOPEFLOW]);
    dm_report_told(report, "  a further hopeflow session", "bytes", further[HOPEFLOW]);
    dm_report_told(report, "  a further native session", "bytes", further[NATIVE]);
    dm_report_told(report, "  the same, with a token that ends", "bytes", further[NATIVE_ENDING]);
    dm_report_told(report, "RSS a native session, all of them", "bytes", medians[NATIVE]);
    dm_report_told(report, "  the same, with tokens that end", "bytes", medians[NATIVE_ENDING]);
}

enum dm_bench_end dm_bench_idle(const struct dm_bench_options *options)
{
    static struct run runs[KINDS][DM_RUNS_MAX];
    struct dm_report report;
    int err = 0;
    dm_report_init(&report, "idle", &options->place);
    for (unsigned i = 0; i < options->runs; i++)
        for (enum kind kind = 0; kind < KINDS && err == 0; kind++)
            err = run_one(options, kind, i, &report, &runs[kind][i]);
    if (err == 0)
        tell(&report, runs, options);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
