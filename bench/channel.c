/*
 * channel: one channel whose 18,000 members are all online, as notifier
 * sessions. Sends to it, each after the last frame of the one before: CPU of
 * the server a delivery, and the time from the request to the frame at the
 * last socket, against the floor, which sends each frame by itself. Beside
 * them, where they are installed, nginx with nchan and npm's ws.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "bench.h"
#include "lib/load.h"
#include "lib/members.h"
#include "lib/peer.h"
#include "lib/report.h"
#include "lib/stats.h"

enum { SENDS = 100, WARM_UP = 5, MESSAGE_LEN = 200, FRAME_HEAD = 4 };

enum contender { SERVER, FLOOR, NCHAN, WS, CONTENDERS };

struct run {
    double cpu_us; /* a delivery */
    double rate;   /* deliveries a second */
    double p50_ms, p99_ms, most_ms;
    double answer_ms; /* p50 */
};

struct bench {
    const struct dm_bench_options *options;
    struct dm_target server; /* its database stays from run to run */
    struct dm_buf body, text;
    char must_say[64];
    size_t frame_len;
    bool is_here[CONTENDERS];
    struct run runs[CONTENDERS][DM_RUNS_MAX];
};

/* A send whose frame is some MESSAGE_LEN bytes long; the peers are posted the frame's text. */
static void make_body(struct bench *bench)
{
    static const char event[] = "{\"type\":\"message\",\"data\":,\"id\":\"00000000-0000-7000-8000-"
                                "000000000000\",\"ts\":1700000000000,\"channel\":\"room-00001\"}";
    struct dm_buf *data = &bench->text;
    dm_buf_lit(data, "{\"text\":\"");
    while (sizeof event - 1 + data->len + 2 < MESSAGE_LEN)
        dm_buf_add_byte(data, 'x');
    dm_buf_lit(data, "\"}");
    dm_buf_lit(&bench->body, "{\"type\":\"message\",\"data\":");
    dm_buf_add_slice(&bench->body, dm_buf_slice(data));
    dm_buf_add_byte(&bench->body, '}');
    dm_buf_text(&bench->body);
    while (data->len < MESSAGE_LEN)
        dm_buf_add_byte(data, 'x');
    dm_buf_text(data);
}

static int send_all(struct bench *bench, struct dm_load *load, uint32_t sends, uint32_t *us,
                    struct dm_outcome *outcome)
{
    char channel[DM_CHANNEL_NAME_LEN + 1], path[64] = "/send";
    bool peer = load->silent;
    dm_channel_name(0, channel);
    if (!load->target->floor)
        snprintf(path, sizeof path, "/channels/%s/send", channel);
    struct dm_plan plan = {.publishers = 1,
                           .publishes = sends,
                           .must_say = bench->must_say,
                           .copies = load->session_count,
                           .path = path,
                           .body = peer ? bench->text.bytes : bench->body.bytes,
                           .frame_us = us};
    return dm_load_publish(load, &plan, outcome);
}

static void keep(struct dm_load *load, const struct dm_outcome *outcome, uint32_t *us,
                 struct run *run)
{
    dm_stats_sort_u32(us, SENDS);
    *run = (struct run){.cpu_us = (double)outcome->cpu_ns / 1e3 / (double)outcome->deliveries,
                        .rate = outcome->publishes_a_second * load->session_count,
                        .p50_ms = dm_stats_at_u32(us, SENDS, 0.50) / 1e3,
                        .p99_ms = dm_stats_at_u32(us, SENDS, 0.99) / 1e3,
                        .most_ms = us[SENDS - 1] / 1e3,
                        .answer_ms = (double)outcome->p50_us / 1e3};
}

static int measure(struct bench *bench, struct dm_target *target, bool peer, struct run *run)
{
    struct dm_load load;
    struct dm_outcome outcome;
    uint32_t us[SENDS];
    dm_load_init(&load, target, bench->options->sessions, bench->options->sessions, false);
    load.notifier = !target->floor;
    load.silent = peer;
    load.path = peer ? dm_peer_socket : NULL;
    int err = dm_load_connect(&load);
    if (err == 0)
        err = send_all(bench, &load, WARM_UP, us, &outcome);
    if (err == 0 && !bench->frame_len)
        bench->frame_len = load.frame_bytes / load.frames;
    if (err == 0)
        err = send_all(bench, &load, SENDS, us, &outcome);
    if (err != 0)
        fprintf(stderr, "channel, %s: %s\n", target->name, load.failure);
    else
        keep(&load, &outcome, us, run);
    dm_load_dispose(&load);
    return err;
}

static int run_server(struct bench *bench, struct run *run)
{
    static const char *const settings[] = {NULL};
    if (dm_target_start_again(&bench->server, &bench->options->place, settings) != 0)
        return -1;
    int err = measure(bench, &bench->server, false, run);
    dm_child_stop(&bench->server.child);
    return err;
}

static int run_other(struct bench *bench, enum contender contender, struct run *run)
{
    struct dm_target target;
    const struct dm_target_place *place = &bench->options->place;
    bool floor = contender == FLOOR || contender == SERVER;
    size_t frame = bench->frame_len ? bench->frame_len : MESSAGE_LEN + FRAME_HEAD;
    int err = floor ? dm_target_start_floor(&target, place, false, frame)
                    : dm_peer_start(&target, place, (enum dm_peer)(contender - NCHAN));
    if (err != 0)
        return err;
    err = measure(bench, &target, !floor, run);
    dm_target_stop(&target);
    return err;
}

static const char *name_of(enum contender contender)
{
    return contender == SERVER  ? "server"
           : contender == FLOOR ? "floor"
                                : dm_peer_name((enum dm_peer)(contender - NCHAN));
}

static int run_one(struct bench *bench, enum contender contender, unsigned number,
                   struct dm_report *report)
{
    struct run *run = &bench->runs[contender][number];
    bool server = contender == SERVER && !bench->options->place.floors_alone;
    if ((server ? run_server(bench, run) : run_other(bench, contender, run)) != 0)
        return -1;
    dm_report_run(report, name_of(contender), number);
    dm_buf_printf(&report->runs,
                  ",\"sends\":%d,\"cpu_us_a_delivery\":%.4f,\"deliveries_a_second\":%.0f,"
                  "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"most_ms\":%.3f,\"answer_p50_ms\":%.3f}",
                  SENDS, run->cpu_us, run->rate, run->p50_ms, run->p99_ms, run->most_ms,
                  run->answer_ms);
    return 0;
}

static double cpu_us(const struct run *run)
{
    return run->cpu_us;
}

static double p50_ms(const struct run *run)
{
    return run->p50_ms;
}

static double p99_ms(const struct run *run)
{
    return run->p99_ms;
}

static double rate(const struct run *run)
{
    return run->rate;
}

typedef double figure(const struct run *);

static double median_of(const struct bench *bench, enum contender contender, figure *of)
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < bench->options->runs; i++)
        values[i] = of(&bench->runs[contender][i]);
    return dm_stats_median(values, bench->options->runs);
}

/* The median of the ratios of each pair. */
static double over_floor(const struct bench *bench, enum contender contender, figure *of)
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < bench->options->runs; i++)
        values[i] = of(&bench->runs[contender][i]) / of(&bench->runs[FLOOR][i]);
    return dm_stats_median(values, bench->options->runs);
}

static void tell_each(const struct bench *bench, struct dm_report *report, figure *of,
                      const char *unit)
{
    for (enum contender who = 0; who < CONTENDERS; who++) {
        char name[32];
        snprintf(name, sizeof name, "  %s", name_of(who));
        if (bench->is_here[who])
            dm_report_told(report, name, unit, median_of(bench, who, of));
    }
}

static void tell(const struct bench *bench, struct dm_report *report)
{
    dm_report_told(report, "members, all online", "", bench->options->sessions);
    dm_report_told(report, "frame, header and all", "bytes", (double)bench->frame_len);
    dm_report_figure(report, "CPU a delivery", "x floor", 1.15, over_floor(bench, SERVER, cpu_us));
    tell_each(bench, report, cpu_us, "us");
    dm_report_figure(report, "p99 of a send until its last frame", "x floor", 1.3,
                     over_floor(bench, SERVER, p99_ms));
    tell_each(bench, report, p99_ms, "ms");
    dm_report_told(report, "p50 of a send until its last frame, over floor's", "x",
                   over_floor(bench, SERVER, p50_ms));
    tell_each(bench, report, p50_ms, "ms");
    dm_report_told(report, "deliveries a second, over the floor's", "x",
                   over_floor(bench, SERVER, rate));
    tell_each(bench, report, rate, "/s");
}

static void look_around(struct bench *bench)
{
    bench->is_here[SERVER] = bench->is_here[FLOOR] = true;
    for (enum dm_peer peer = 0; peer < DM_PEERS; peer++) {
        const char *missing = dm_peer_missing(peer);
        bench->is_here[NCHAN + (int)peer] = missing == NULL;
        if (missing)
            printf("%-14s without %s, which is not installed (%s)\n", "channel", dm_peer_name(peer),
                   missing);
    }
}

static int run_all(struct bench *bench, struct dm_report *report)
{
    uint32_t all = bench->options->sessions;
    const struct dm_members members = {.users = all, .named = all, .channels = 1, .each = 1};
    snprintf(bench->must_say, sizeof bench->must_say, "\"members\":%u,\"delivered\":%u", all, all);
    if (dm_target_make_database(&bench->server, &bench->options->place) != 0 ||
        dm_members_fill(bench->server.folder, &members) != 0)
        return -1;
    for (unsigned i = 0; i < bench->options->runs; i++)
        for (enum contender who = 0; who < CONTENDERS; who++)
            if (bench->is_here[who] && run_one(bench, who, i, report) != 0)
                return -1;
    tell(bench, report);
    return 0;
}

enum dm_bench_end dm_bench_channel(const struct dm_bench_options *options)
{
    struct bench *bench = DM_NEW(struct bench);
    struct dm_report report;
    bench->options = options;
    dm_report_init(&report, "channel", &options->place);
    look_around(bench);
    make_body(bench);
    int err = run_all(bench, &report);
    dm_target_stop(&bench->server);
    dm_buf_dispose(&bench->body);
    dm_buf_dispose(&bench->text);
    free(bench);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
