/*
 * ack: 256 users with a session each that acks what it gets; publishes to
 * random ones that wait for the ack, by one publisher and by 32.
 */
#include "bench.h"
#include "lib/pair.h"

enum { USERS = 256, PUBLISHES_ALONE = 3000, PUBLISHES_TOGETHER = 20000, TOGETHER = 32 };

static int run(struct dm_pair *pair, const struct dm_bench_options *options, bool together,
               struct dm_report *report, struct dm_pair_result *result)
{
    struct dm_plan plan = {.publishers = together ? TOGETHER : 1,
                           .publishes = together ? PUBLISHES_TOGETHER : PUBLISHES_ALONE,
                           .timeout_ms = 5000,
                           .payload = pair->payload.bytes,
                           .must_say = "\"results\":[\"ok\"]",
                           .copies = 1};
    return dm_pair_run(pair, &plan, options->runs, together ? "32 publishers" : "1 publisher",
                       report, result);
}

static void tell(struct dm_report *report, const struct dm_pair_result *result)
{
    dm_report_told(report, "  CPU a publish, server", "us", result->server_cpu_us);
    dm_report_told(report, "  CPU a publish, floor", "us", result->floor_cpu_us);
    dm_report_told(report, "  publishes a second, server", "/s", result->server_rate);
    dm_report_told(report, "  publishes a second, floor", "/s", result->floor_rate);
    dm_report_told(report, "  p50 of the call, server", "ms", result->server_p50_us / 1e3);
    dm_report_told(report, "  p99 of the call, server", "ms", result->server_p99_us / 1e3);
    dm_report_told(report, "  p50 of the call, floor", "ms", result->floor_p50_us / 1e3);
    dm_report_told(report, "  p99 of the call, floor", "ms", result->floor_p99_us / 1e3);
}

static int measure(struct dm_pair *pair, const struct dm_bench_options *options,
                   struct dm_report *report)
{
    struct dm_pair_result result;
    if (run(pair, options, false, report, &result) != 0)
        return -1;
    dm_report_figure(report, "p50 of the call, 1 publisher", "ms", 0.5, result.server_p50_us / 1e3);
    dm_report_told(report, "  CPU a publish, over the floor's", "x floor", result.ratio);
    tell(report, &result);
    if (run(pair, options, true, report, &result) != 0)
        return -1;
    dm_report_figure(report, "CPU an acked publish, 32 publishers", "x floor", 2.5, result.ratio);
    tell(report, &result);
    return 0;
}

enum dm_bench_end dm_bench_ack(const struct dm_bench_options *options)
{
    static const char *const settings[] = {"HIBERNATE_AFTER=1h", NULL};
    struct dm_pair_options pairing = {.place = &options->place,
                                      .settings = settings,
                                      .sessions = USERS,
                                      .users = USERS,
                                      .acks = true};
    struct dm_pair pair;
    struct dm_report report;
    dm_report_init(&report, "ack", &options->place);
    int err = dm_pair_start(&pair, &pairing);
    if (err == 0)
        err = measure(&pair, options, &report);
    dm_pair_dispose(&pair);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
