/*
 * fanout: one user with 2,000 sessions, publishes back to back that wait for
 * no ack. CPU of the server a delivery against the floor's, which sends each
 * frame by itself: with one publisher, and with 32 whose frames meet in the
 * server and can share a write.
 */
#include "bench.h"
#include "lib/pair.h"

enum { SESSIONS = 2000, PUBLISHES_ALONE = 100, PUBLISHES_TOGETHER = 320, TOGETHER = 32 };

static int measure(struct dm_pair *pair, const struct dm_bench_options *options, bool together,
                   struct dm_report *report)
{
    struct dm_plan plan = {.publishers = together ? TOGETHER : 1,
                           .publishes = together ? PUBLISHES_TOGETHER : PUBLISHES_ALONE,
                           .timeout_ms = 0,
                           .payload = pair->payload.bytes,
                           .must_say = "\"clientCount\":2000",
                           .copies = SESSIONS};
    const char *name = together ? "32 publishers" : "1 publisher";
    struct dm_pair_result result;
    if (dm_pair_run(pair, &plan, options->runs, name, report, &result) != 0)
        return -1;
    dm_report_figure(report,
                     together ? "CPU a delivery, 32 publishers" : "CPU a delivery, 1 publisher",
                     "x floor", together ? 0.5 : 1.2, result.ratio);
    dm_report_told(report, "  the server's", "us", result.server_cpu_us);
    dm_report_told(report, "  the floor's", "us", result.floor_cpu_us);
    dm_report_told(report, "  deliveries a second, server", "/s", result.server_rate * SESSIONS);
    dm_report_told(report, "  deliveries a second, floor", "/s", result.floor_rate * SESSIONS);
    return 0;
}

enum dm_bench_end dm_bench_fanout(const struct dm_bench_options *options)
{
    static const char *const settings[] = {"MAX_CONNECTIONS_PER_USER=3000", NULL};
    struct dm_pair_options pairing = {
        .place = &options->place, .settings = settings, .sessions = SESSIONS, .users = 1};
    struct dm_pair pair;
    struct dm_report report;
    dm_report_init(&report, "fanout", &options->place);
    int err = dm_pair_start(&pair, &pairing);
    if (err == 0) {
        dm_report_told(&report, "frame, header and all", "bytes", (double)pair.frame_len);
        err = measure(&pair, options, false, &report);
    }
    if (err == 0)
        err = measure(&pair, options, true, &report);
    dm_pair_dispose(&pair);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
