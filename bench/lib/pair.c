/* Paired runs and their medians. */
#include "lib/pair.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/stats.h"

enum { MESSAGE_LEN = 200, WARM_UP = 20 };

/* A payload that makes the hopeflow envelope MESSAGE_LEN bytes long. */
static void make_payload(struct dm_buf *payload)
{
    static const char envelope[] =
        "{\"envelopeId\":\"00000000-0000-7000-8000-000000000000\",\"type\":\"message\","
        "\"userId\":\"user-00001\",\"timestamp\":\"2026-01-31T23:59:59.123Z\",\"payload\":}";
    dm_buf_lit(payload, "{\"text\":\"");
    while (sizeof envelope - 1 + payload->len + 2 < MESSAGE_LEN)
        dm_buf_add_byte(payload, 'x');
    dm_buf_lit(payload, "\"}");
    dm_buf_text(payload);
}

static int say(const struct dm_load *load, const char *when)
{
    fprintf(stderr, "%s, %s: %s\n", load->target->name, when, load->failure);
    return -1;
}

/* Connects, and publishes a little: code and sockets are warm, and the frame's size is known. */
static int begin(struct dm_pair *pair, struct dm_load *load, const struct dm_target *target,
                 const struct dm_pair_options *options)
{
    struct dm_plan warm_up = {.publishers = 1,
                              .publishes = WARM_UP,
                              .timeout_ms = options->acks ? 5000 : 0,
                              .payload = pair->payload.bytes,
                              .must_say = "\"clientCount\":",
                              .copies = options->sessions / options->users};
    struct dm_outcome outcome;
    dm_load_init(load, target, options->sessions, options->users, options->acks);
    if (dm_load_connect(load) != 0)
        return say(load, "connecting");
    if (dm_load_publish(load, &warm_up, &outcome) != 0)
        return say(load, "warming up");
    return 0;
}

static int start_server(struct dm_pair *pair, const struct dm_pair_options *options)
{
    if (options->place->floors_alone)
        return dm_target_start_floor(&pair->server, options->place, options->acks, MESSAGE_LEN + 4);
    return dm_target_start_server(&pair->server, options->place, options->settings);
}

int dm_pair_start(struct dm_pair *pair, const struct dm_pair_options *options)
{
    *pair = (struct dm_pair){.frame_len = 0};
    make_payload(&pair->payload);
    if (start_server(pair, options) != 0 ||
        begin(pair, &pair->server_load, &pair->server, options) != 0)
        return -1;
    pair->frame_len = pair->server_load.frame_bytes / pair->server_load.frames;
    if (dm_target_start_floor(&pair->floor, options->place, options->acks, pair->frame_len) != 0)
        return -1;
    return begin(pair, &pair->floor_load, &pair->floor, options);
}

static int run_one(struct dm_load *load, const struct dm_plan *plan, const char *name,
                   unsigned number, struct dm_report *report, struct dm_outcome *outcome)
{
    if (dm_load_publish(load, plan, outcome) != 0)
        return say(load, name);
    dm_report_run(report, load->target->name, number);
    dm_buf_printf(&report->runs,
                  ",\"load\":\"%s\",\"publishers\":%u,\"publishes\":%u,\"deliveries\":%" PRIu64
                  ",\"cpu_ns\":%" PRIu64 ",\"wall_us\":%" PRIu64 ",\"p50_us\":%" PRIu64
                  ",\"p99_us\":%" PRIu64 ",\"publishes_a_second\":%.1f}",
                  name, plan->publishers, plan->publishes, outcome->deliveries, outcome->cpu_ns,
                  outcome->wall_us, outcome->p50_us, outcome->p99_us, outcome->publishes_a_second);
    return 0;
}

static double cpu_us(const struct dm_outcome *outcome)
{
    return (double)outcome->cpu_ns / 1e3 / (double)outcome->deliveries;
}

/* The median over the runs of one figure of each outcome. */
static double median_of(const struct dm_outcome *outcomes, unsigned runs,
                        double (*figure)(const struct dm_outcome *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < runs; i++)
        values[i] = figure(&outcomes[i]);
    return dm_stats_median(values, runs);
}

static double p50(const struct dm_outcome *outcome)
{
    return (double)outcome->p50_us;
}

static double p99(const struct dm_outcome *outcome)
{
    return (double)outcome->p99_us;
}

static double rate(const struct dm_outcome *outcome)
{
    return outcome->publishes_a_second;
}

int dm_pair_run(struct dm_pair *pair, const struct dm_plan *plan, unsigned runs, const char *name,
                struct dm_report *report, struct dm_pair_result *result)
{
    struct dm_outcome server[DM_RUNS_MAX], floor[DM_RUNS_MAX];
    double ratios[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < runs; i++) {
        if (run_one(&pair->server_load, plan, name, i, report, &server[i]) != 0 ||
            run_one(&pair->floor_load, plan, name, i, report, &floor[i]) != 0)
            return -1;
        ratios[i] = (double)server[i].cpu_ns / (double)floor[i].cpu_ns;
    }
    *result = (struct dm_pair_result){.ratio = dm_stats_median(ratios, runs),
                                      .server_cpu_us = median_of(server, runs, cpu_us),
                                      .floor_cpu_us = median_of(floor, runs, cpu_us),
                                      .server_p50_us = median_of(server, runs, p50),
                                      .server_p99_us = median_of(server, runs, p99),
                                      .floor_p50_us = median_of(floor, runs, p50),
                                      .floor_p99_us = median_of(floor, runs, p99),
                                      .server_rate = median_of(server, runs, rate),
                                      .floor_rate = median_of(floor, runs, rate)};
    return 0;
}

void dm_pair_dispose(struct dm_pair *pair)
{
    if (pair->server_load.session_count)
        dm_load_dispose(&pair->server_load);
    if (pair->floor_load.session_count)
        dm_load_dispose(&pair->floor_load);
    dm_target_stop(&pair->server);
    dm_target_stop(&pair->floor);
    dm_buf_dispose(&pair->payload);
}
