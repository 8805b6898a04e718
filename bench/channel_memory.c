/*
 * channel-memory: users with one notifier session each, all asleep, in 20
 * channels, which sleep too; and as many who are in none. What a session costs
 * more where its user has channels. Once more after a send to each of the
 * channels: they have been awake, and sleep again.
 */
#include <inttypes.h>
#include <stdio.h>

#include "bench.h"
#include "lib/asleep.h"
#include "lib/load.h"
#include "lib/members.h"
#include "lib/memory.h"
#include "lib/report.h"
#include "lib/stats.h"

enum {
    EACH = 20,
    CHANNELS = 200, /* so that each has a tenth of the users */
    MORE_BYTES = 8,
    EARLY_PART = 4, /* so many of the sessions come first: what there is once is paid by then */
};

enum kind { IN_CHANNELS, IN_NONE, KINDS };
static const char *const kinds[KINDS] = {"in 20 channels", "in none"};

struct run {
    double bytes, further_bytes;          /* a session; of those that came after the early ones */
    double later_bytes;                   /* a session, after all channels have been awake */
    uint64_t before, early, after, later; /* RSS */
};

static int send_to_all(struct dm_load *load)
{
    uint32_t all = load->session_count;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        char channel[DM_CHANNEL_NAME_LEN + 1], path[64], must_say[64];
        struct dm_outcome outcome;
        dm_channel_name(i, channel);
        snprintf(path, sizeof path, "/channels/%s/send", channel);
        snprintf(must_say, sizeof must_say, "\"members\":%u,", all / CHANNELS * EACH);
        struct dm_plan plan = {.publishers = 1,
                               .publishes = 1,
                               .must_say = must_say,
                               .copies = all / CHANNELS * EACH,
                               .path = path,
                               .body = "{\"type\":\"message\"}",
                               .unchecked = true};
        if (dm_load_publish(load, &plan, &outcome) != 0)
            return -1;
    }
    return 0;
}

static int read_rss(pid_t pid, uint64_t *rss)
{
    struct dm_memory memory;
    int err = dm_memory_settle(pid, &memory);
    *rss = memory.rss;
    return err;
}

static int connect_some(struct dm_load *load, uint32_t count, uint64_t *rss)
{
    if (dm_load_connect_to(load, count) != 0 || dm_load_wait_asleep(load, count) != 0)
        return -1;
    return read_rss(load->target->child.pid, rss);
}

static int measure(struct dm_load *load, enum kind kind, struct run *run)
{
    struct dm_memory empty;
    uint32_t all = load->session_count, early = all / EARLY_PART;
    if (dm_memory_read(load->target->child.pid, &empty) != 0 ||
        connect_some(load, early, &run->early) != 0 || connect_some(load, all, &run->after) != 0)
        return -1;
    run->before = empty.rss;
    if (kind == IN_CHANNELS && (send_to_all(load) != 0 || dm_load_wait_channels_asleep(load) != 0))
        return -1;
    if (read_rss(load->target->child.pid, &run->later) != 0)
        return -1;
    run->bytes = ((double)run->after - (double)run->before) / all;
    run->later_bytes = ((double)run->later - (double)run->before) / all;
    run->further_bytes = ((double)run->after - (double)run->early) / (all - early);
    return 0;
}

static int start(struct dm_target *server, const struct dm_bench_options *options, enum kind kind,
                 uint32_t sessions)
{
    static const char *const settings[] = {"HIBERNATE_AFTER=1s", NULL};
    const struct dm_members members = {
        .users = sessions, .named = sessions, .channels = CHANNELS, .each = EACH};
    if (dm_target_make_database(server, &options->place) != 0 ||
        (kind == IN_CHANNELS && dm_members_fill(server->folder, &members) != 0))
        return -1;
    return dm_target_start_again(server, &options->place, settings);
}

static int run_one(const struct dm_bench_options *options, enum kind kind, unsigned number,
                   struct dm_report *report, struct run *run)
{
    struct dm_target server;
    struct dm_load load;
    uint32_t sessions = options->sessions / CHANNELS * CHANNELS;
    if (start(&server, options, kind, sessions) != 0) {
        dm_target_stop(&server);
        return -1;
    }
    dm_load_init(&load, &server, sessions, sessions, false);
    load.notifier = true;
    int err = measure(&load, kind, run);
    if (err != 0)
        fprintf(stderr, "channel-memory: %s\n", load.failure);
    dm_report_run(report, kinds[kind], number);
    dm_buf_printf(&report->runs,
                  ",\"bytes_a_session\":%.2f,\"bytes_a_further_session\":%.2f,"
                  "\"bytes_a_session_later\":%.2f,\"rss_before\":%" PRIu64 ",\"rss_early\":%" PRIu64
                  ",\"rss_after\":%" PRIu64 ",\"rss_later\":%" PRIu64 "}",
                  run->bytes, run->further_bytes, run->later_bytes, run->before, run->early,
                  run->after, run->later);
    dm_target_stop(&server);
    dm_load_dispose(&load);
    return err;
}

static double bytes(const struct run *run)
{
    return run->bytes;
}

static double further_bytes(const struct run *run)
{
    return run->further_bytes;
}

static double later_bytes(const struct run *run)
{
    return run->later_bytes;
}

static double median_of(const struct run *runs, unsigned count, double (*of)(const struct run *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < count; i++)
        values[i] = of(&runs[i]);
    return dm_stats_median(values, count);
}

static void tell(struct dm_report *report, struct run runs[KINDS][DM_RUNS_MAX], unsigned count)
{
    double in = median_of(runs[IN_CHANNELS], count, bytes);
    double none = median_of(runs[IN_NONE], count, bytes);
    dm_report_figure(report, "RSS a session, in 20 channels, over in none", "bytes", MORE_BYTES,
                     in - none);
    dm_report_told(report, "  in 20 channels", "bytes", in);
    dm_report_told(report, "  in none", "bytes", none);
    dm_report_told(report, "  a further one, in 20 channels", "bytes",
                   median_of(runs[IN_CHANNELS], count, further_bytes));
    dm_report_told(report, "  a further one, in none", "bytes",
                   median_of(runs[IN_NONE], count, further_bytes));
    dm_report_told(report, "the same, after all channels have been awake", "bytes",
                   median_of(runs[IN_CHANNELS], count, later_bytes) -
                       median_of(runs[IN_NONE], count, later_bytes));
}

enum dm_bench_end dm_bench_channel_memory(const struct dm_bench_options *options)
{
    static struct run runs[KINDS][DM_RUNS_MAX];
    struct dm_report report;
    int err = 0;
    if (options->place.floors_alone) {
        fprintf(stderr, "channel-memory has no floor\n");
        return DM_BENCH_REACHED;
    }
    dm_report_init(&report, "channel-memory", &options->place);
    for (unsigned i = 0; i < options->runs; i++)
        for (enum kind kind = 0; kind < KINDS && err == 0; kind++)
            err = run_one(options, kind, i, &report, &runs[kind][i]);
    if (err == 0)
        tell(&report, runs, options->runs);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
