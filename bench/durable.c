/*
 * durable: 256 native sessions with one `attach` in flight each; every one is
 * answered `ok` after its commit. Beside it, on the same disk and in turn, two
 * bare SQLite loops (dm-bench-rows) that write the same rows: 256 a commit,
 * and one a commit. All of it twice: with no other session in the database,
 * when the same few pages are written over and over, and among 100,000.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench.h"
#include "lib/load.h"
#include "lib/report.h"
#include "lib/rows.h"
#include "lib/scrape.h"
#include "lib/stats.h"

enum {
    SESSIONS = 256,
    ATTACHMENT = 200, /* bytes */
    CROWD = 100000,
    COMMANDS = 600 * SESSIONS,
    COMMANDS_CROWD = 200 * SESSIONS, /* there each takes a page of its own */
    COMMANDS_ALONE = 1000,           /* of the loop with a commit each */
    BURST_MS = 60000,
};

struct outcome {
    double rate; /* commands a second */
    uint64_t wall_us, cpu_ns;
    uint32_t p50_us, p99_us;
    uint32_t commands, checkpoints, commits;
};

struct burst {
    uint32_t asked, answered, all;
    uint64_t sent_us[SESSIONS];
    uint32_t refs[SESSIONS]; /* of what is in flight, or was last */
    struct dm_buf text;      /* what is sent, or expected */
    uint32_t *us;            /* by order of the answers */
};

struct bench {
    struct dm_target server, loop; /* the latter has no process: a folder and its database */
    struct dm_load load;
    struct burst burst;
    char program[512]; /* the loop's */
    uint32_t commands; /* a run, of the server and of the loop with 256 a commit */
};

static void attach(struct dm_load *load, uint32_t number)
{
    struct burst *burst = load->self;
    struct dm_buf *text = &burst->text;
    uint32_t ref = ++burst->asked;
    burst->refs[number] = ref;
    dm_buf_clear(text);
    dm_buf_lit(text, "{\"type\":\"attach\",\"ref\":");
    dm_buf_add_number(text, ref);
    dm_buf_lit(text, ",\"attachment\":");
    dm_rows_attachment(text, ATTACHMENT, ref);
    dm_buf_add_byte(text, '}');
    burst->sent_us[number] = dm_clock_mono_us();
    dm_session_send(load, &load->sessions[number], dm_buf_slice(text));
}

static void take_ok(struct dm_load *load, uint32_t number, struct dm_slice text)
{
    struct burst *burst = load->self;
    struct dm_buf *ok = &burst->text;
    dm_buf_clear(ok);
    dm_buf_lit(ok, "{\"type\":\"ok\",\"ref\":");
    dm_buf_add_number(ok, burst->refs[number]);
    dm_buf_add_byte(ok, '}');
    if (!dm_slice_eq(text, dm_buf_slice(ok)) || burst->answered == burst->all) {
        dm_load_fail(load, "an attach with ref %u was answered: %.*s", burst->refs[number],
                     (int)text.len, text.at);
        return;
    }
    burst->us[burst->answered++] = (uint32_t)(dm_clock_mono_us() - burst->sent_us[number]);
    if (burst->asked < burst->all)
        attach(load, number);
}

static int carry_through(struct dm_load *load, struct burst *burst)
{
    uint64_t deadline = dm_clock_mono_ms() + BURST_MS;
    for (uint32_t i = 0; i < SESSIONS; i++)
        attach(load, i);
    while (burst->answered < burst->all) {
        if (dm_load_turn(load, 100) != 0)
            return -1;
        if (dm_clock_mono_ms() > deadline) {
            dm_load_fail(load, "only %u of %u commands answered in time", burst->answered,
                         burst->all);
            return -1;
        }
    }
    return 0;
}

/* What was answered last to each session is what its row holds. */
static int check_rows(struct bench *bench)
{
    struct dm_buf attachment = DM_BUF_INIT;
    char user[DM_USER_NAME_LEN + 1];
    int found = 1;
    for (uint32_t i = 0; i < SESSIONS && found == 1; i++) {
        dm_buf_clear(&attachment);
        dm_rows_attachment(&attachment, ATTACHMENT, bench->burst.refs[i]);
        dm_user_name(bench->load.sessions[i].user, user);
        found = dm_rows_count(bench->server.folder, user, dm_buf_slice(&attachment));
        if (found != 1)
            dm_load_fail(&bench->load, "%s's row is not as it was answered last", user);
    }
    dm_buf_dispose(&attachment);
    return found == 1 ? 0 : -1;
}

static uint32_t scrape(const struct bench *bench, const char *name, const char *label)
{
    double value = dm_scrape(&bench->server, name, label);
    return value > 0 ? (uint32_t)value : 0;
}

static int run_server(struct bench *bench, struct outcome *outcome)
{
    struct burst *burst = &bench->burst;
    *burst =
        (struct burst){.all = bench->commands, .us = dm_calloc(bench->commands, sizeof *burst->us)};
    uint32_t checkpoints = scrape(bench, "dormouse_store_checkpoints_total", "");
    uint32_t commits = scrape(bench, "dormouse_store_commits_total", "\"ok\"");
    uint64_t cpu = dm_child_cpu_ns(&bench->server.child), start = dm_clock_mono_us();
    int err = carry_through(&bench->load, burst);
    outcome->wall_us = dm_clock_mono_us() - start;
    outcome->cpu_ns = dm_child_cpu_ns(&bench->server.child) - cpu;
    outcome->checkpoints = scrape(bench, "dormouse_store_checkpoints_total", "") - checkpoints;
    outcome->commits = scrape(bench, "dormouse_store_commits_total", "\"ok\"") - commits;
    outcome->commands = bench->commands;
    outcome->rate = 1e6 * outcome->commands / (double)outcome->wall_us;
    dm_stats_sort_u32(burst->us, burst->answered);
    outcome->p50_us = dm_stats_at_u32(burst->us, burst->answered, 0.50);
    outcome->p99_us = dm_stats_at_u32(burst->us, burst->answered, 0.99);
    free(burst->us);
    dm_buf_dispose(&burst->text);
    if (err == 0)
        err = check_rows(bench);
    if (err != 0)
        fprintf(stderr, "durable: %s\n", bench->load.failure);
    return err;
}

static int run_loop(const struct bench *bench, uint32_t a_commit, struct outcome *outcome)
{
    uint32_t rows = a_commit == 1 ? COMMANDS_ALONE : bench->commands;
    char command[1200];
    snprintf(command, sizeof command, "exec '%s' '%s/bench.db' %u %u %u %u", bench->program,
             bench->loop.folder, SESSIONS, ATTACHMENT, rows, a_commit);
    FILE *out = popen(command, "re");
    *outcome = (struct outcome){.commands = rows, .commits = rows / a_commit};
    int read = out ? fscanf(out, "%" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32 " %" SCNu32,
                            &outcome->wall_us, &outcome->cpu_ns, &outcome->p50_us, &outcome->p99_us,
                            &outcome->checkpoints)
                   : 0;
    outcome->cpu_ns *= 1000; /* it prints microseconds */
    if (!out || pclose(out) != 0 || read != 5) {
        fprintf(stderr, "durable: the loop has failed: %s\n", command);
        return -1;
    }
    outcome->rate = 1e6 * rows / (double)outcome->wall_us;
    return 0;
}

static void write_run(struct dm_report *report, const char *kind, unsigned pair, uint32_t rows,
                      const struct outcome *outcome)
{
    dm_report_run(report, kind, pair);
    dm_buf_printf(&report->runs,
                  ",\"rows\":%u,\"commands_a_second\":%.1f,\"wall_us\":%" PRIu64
                  ",\"cpu_ns\":%" PRIu64
                  ",\"p50_us\":%u,\"p99_us\":%u,\"checkpoints\":%u,\"commits\":%u}",
                  rows, outcome->rate, outcome->wall_us, outcome->cpu_ns, outcome->p50_us,
                  outcome->p99_us, outcome->checkpoints, outcome->commits);
}

enum kind { SERVER, GROUPED, ALONE, KINDS };
static const char *const kinds[KINDS] = {"server", "loop", "loop alone"};

static int run_kind(struct bench *bench, const struct dm_bench_options *options, enum kind kind,
                    struct outcome *outcome)
{
    if (kind == SERVER && !options->place.floors_alone)
        return run_server(bench, outcome);
    return run_loop(bench, kind == ALONE ? 1 : SESSIONS, outcome);
}

static double rate(const struct outcome *outcome)
{
    return outcome->rate;
}

static double p50_ms(const struct outcome *outcome)
{
    return outcome->p50_us / 1e3;
}

static double p99_ms(const struct outcome *outcome)
{
    return outcome->p99_us / 1e3;
}

static double cpu_us(const struct outcome *outcome)
{
    return (double)outcome->cpu_ns / 1e3 / outcome->commands;
}

static double batch(const struct outcome *outcome)
{
    return outcome->commits ? (double)outcome->commands / outcome->commits : 0;
}

static double checkpoints(const struct outcome *outcome)
{
    return outcome->checkpoints;
}

static double median_of(const struct outcome *outcomes, unsigned runs,
                        double (*figure)(const struct outcome *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < runs; i++)
        values[i] = figure(&outcomes[i]);
    return dm_stats_median(values, runs);
}

/* The median of the ratios of each pair. */
static double ratio_of(struct outcome outcomes[KINDS][DM_RUNS_MAX], unsigned runs,
                       double (*figure)(const struct outcome *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < runs; i++)
        values[i] = figure(&outcomes[SERVER][i]) / figure(&outcomes[GROUPED][i]);
    return dm_stats_median(values, runs);
}

static void tell(struct dm_report *report, struct outcome outcomes[KINDS][DM_RUNS_MAX],
                 unsigned runs, uint32_t rows)
{
    dm_report_told(report, "sessions in the database", "", rows);
    dm_report_least(report, "commands a second, over the loop's, 256 a commit", "x", 0.5,
                    ratio_of(outcomes, runs, rate));
    dm_report_told(report, "  the server's", "/s", median_of(outcomes[SERVER], runs, rate));
    dm_report_told(report, "  the loop's, 256 a commit", "/s",
                   median_of(outcomes[GROUPED], runs, rate));
    dm_report_told(report, "  the loop's, a commit each", "/s",
                   median_of(outcomes[ALONE], runs, rate));
    dm_report_told(report, "  commands a commit, server", "",
                   median_of(outcomes[SERVER], runs, batch));
    dm_report_told(report, "CPU a command, over the loop's", "x", ratio_of(outcomes, runs, cpu_us));
    dm_report_told(report, "  the server's, its sockets too", "us",
                   median_of(outcomes[SERVER], runs, cpu_us));
    dm_report_told(report, "  the loop's, 256 a commit", "us",
                   median_of(outcomes[GROUPED], runs, cpu_us));
    dm_report_figure(report, "p99 of a command, over the loop's", "x", 3,
                     ratio_of(outcomes, runs, p99_ms));
    dm_report_told(report, "  the server's", "ms", median_of(outcomes[SERVER], runs, p99_ms));
    dm_report_told(report, "  the loop's, 256 a commit", "ms",
                   median_of(outcomes[GROUPED], runs, p99_ms));
    dm_report_told(report, "  the loop's, a commit each", "ms",
                   median_of(outcomes[ALONE], runs, p99_ms));
    dm_report_told(report, "p50 of a command, server", "ms",
                   median_of(outcomes[SERVER], runs, p50_ms));
    dm_report_told(report, "  the loop's, 256 a commit", "ms",
                   median_of(outcomes[GROUPED], runs, p50_ms));
    dm_report_told(report, "  the loop's, a commit each", "ms",
                   median_of(outcomes[ALONE], runs, p50_ms));
    dm_report_told(report, "checkpoints in a run, server", "",
                   median_of(outcomes[SERVER], runs, checkpoints));
    dm_report_told(report, "  the loop's, 256 a commit", "",
                   median_of(outcomes[GROUPED], runs, checkpoints));
}

/* The sessions are rows at first, and resumed: the server writes just what the loop does. */
static int start_server(struct bench *bench, const struct dm_bench_options *options,
                        const struct dm_rows *rows)
{
    static const char *const settings[] = {"HIBERNATE_AFTER=1h", "RESUME_WINDOW=24h", NULL};
    if (dm_target_make_database(&bench->server, &options->place) != 0 ||
        dm_rows_fill(bench->server.folder, rows) != 0 ||
        dm_target_start_again(&bench->server, &options->place, settings) != 0)
        return -1;
    dm_load_init(&bench->load, &bench->server, SESSIONS, SESSIONS, false);
    bench->load.native = bench->load.resumes = true;
    bench->load.on_answer = take_ok;
    bench->load.self = &bench->burst;
    int err = dm_load_connect(&bench->load);
    if (err != 0)
        fprintf(stderr, "durable: %s\n", bench->load.failure);
    return err;
}

static int start(struct bench *bench, const struct dm_bench_options *options, uint32_t count)
{
    const struct dm_rows rows = {.count = count, .named = SESSIONS, .attachment_len = ATTACHMENT};
    bench->commands = count > SESSIONS ? COMMANDS_CROWD : COMMANDS;
    snprintf(bench->program, sizeof bench->program, "%s", options->place.rows);
    if (dm_target_make_database(&bench->loop, &options->place) != 0 ||
        dm_rows_fill(bench->loop.folder, &rows) != 0)
        return -1;
    return options->place.floors_alone ? 0 : start_server(bench, options, &rows);
}

/* The first pair is not counted: files grow in it, and caches fill. */
static int measure(struct bench *bench, const struct dm_bench_options *options, uint32_t rows,
                   struct dm_report *report)
{
    static struct outcome outcomes[KINDS][DM_RUNS_MAX];
    for (unsigned i = 0; i <= options->runs; i++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            struct outcome outcome = {.rate = 0};
            if (run_kind(bench, options, kind, &outcome) != 0)
                return -1;
            outcomes[kind][i ? i - 1 : 0] = outcome;
            if (i)
                write_run(report, kinds[kind], i - 1, rows, &outcome);
        }
        if (i && (!outcomes[SERVER][i - 1].checkpoints || !outcomes[GROUPED][i - 1].checkpoints)) {
            fprintf(stderr, "durable: a run without a checkpoint says nothing\n");
            return -1;
        }
    }
    tell(report, outcomes, options->runs, rows);
    return 0;
}

static int run_scene(const struct dm_bench_options *options, uint32_t rows,
                     struct dm_report *report)
{
    struct bench *bench = DM_NEW(struct bench);
    int err = start(bench, options, rows);
    if (err == 0)
        err = measure(bench, options, rows, report);
    if (bench->load.session_count)
        dm_load_dispose(&bench->load);
    dm_target_stop(&bench->server);
    dm_target_stop(&bench->loop);
    free(bench);
    return err;
}

enum dm_bench_end dm_bench_durable(const struct dm_bench_options *options)
{
    struct dm_report report;
    dm_report_init(&report, "durable", &options->place);
    int err = run_scene(options, SESSIONS, &report);
    if (err == 0)
        err = run_scene(options, CROWD, &report);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
