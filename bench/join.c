/*
 * join: native sessions that join one channel after the other, 256 commands in
 * flight; every one is a new row, and is answered `ok` after its commit. Beside
 * it, on the same disk and in turn, the bare SQLite loop (dm-bench-rows) that
 * writes the same rows, 256 a commit. And the same sessions' `attach`, beside
 * its loop, as `durable` has it: a join is to come as near to its rows as that.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "bench.h"
#include "lib/commands.h"
#include "lib/members.h"
#include "lib/rows.h"
#include "lib/stats.h"

enum {
    SESSIONS = 4096, /* so that a user is in some dozens of channels, not in a thousand */
    IN_FLIGHT = 256,
    ATTACHMENT = 200, /* bytes */
    ROUNDS = 12,      /* channels that each joins in a run: short, as disks change their mind */
    COMMANDS = ROUNDS * SESSIONS,
};

enum kind { JOIN, JOIN_LOOP, ATTACH, ATTACH_LOOP, KINDS };
static const char *const kinds[KINDS] = {"join", "join loop", "attach", "attach loop"};

struct bench {
    struct dm_target server, loop; /* the latter has no process: a folder and its database */
    struct dm_load load;
    const char *program; /* the loop's */
    uint32_t joined[SESSIONS];
    uint32_t loop_joined;
    struct dm_commands_outcome outcomes[KINDS][DM_RUNS_MAX];
};

static void write_join(struct dm_commands *commands, uint32_t session, uint32_t ref,
                       struct dm_buf *text)
{
    struct bench *bench = commands->self;
    char channel[DM_CHANNEL_NAME_LEN + 1];
    (void)ref;
    dm_channel_name(bench->joined[session]++, channel);
    dm_buf_printf(text, ",\"type\":\"join\",\"channel\":\"%s\"", channel);
}

static void write_attach(struct dm_commands *commands, uint32_t session, uint32_t ref,
                         struct dm_buf *text)
{
    (void)commands;
    (void)session;
    dm_buf_lit(text, ",\"type\":\"attach\",\"attachment\":");
    dm_rows_attachment(text, ATTACHMENT, ref);
}

/* Every join that was answered is a row, and none is there besides. */
static int check_rows(struct bench *bench)
{
    int64_t asked = 0, found = dm_members_count(bench->server.folder);
    for (uint32_t i = 0; i < SESSIONS; i++)
        asked += bench->joined[i];
    if (found == asked)
        return 0;
    dm_load_fail(&bench->load, "%lld joins were answered, and there are %lld rows",
                 (long long)asked, (long long)found);
    return -1;
}

static int run_server(struct bench *bench, enum kind kind, struct dm_commands_outcome *outcome)
{
    struct dm_commands commands = {.all = COMMANDS,
                                   .in_flight = IN_FLIGHT,
                                   .write = kind == JOIN ? write_join : write_attach,
                                   .self = bench};
    int err = dm_commands_run(&bench->load, &commands, outcome);
    if (err == 0)
        err = check_rows(bench);
    if (err != 0)
        fprintf(stderr, "join: %s\n", bench->load.failure);
    dm_commands_dispose(&commands);
    return err;
}

static int run_loop(struct bench *bench, bool joins, struct dm_commands_outcome *outcome)
{
    char arguments[600];
    snprintf(arguments, sizeof arguments, "%s '%s/bench.db' %d %u", joins ? "join" : "attach",
             bench->loop.folder, SESSIONS, joins ? bench->loop_joined : ATTACHMENT);
    bench->loop_joined += joins ? ROUNDS : 0;
    return dm_commands_loop(bench->program, arguments, COMMANDS, IN_FLIGHT, outcome);
}

static int run_kind(struct bench *bench, const struct dm_bench_options *options, enum kind kind,
                    struct dm_commands_outcome *outcome)
{
    bool joins = kind == JOIN || kind == JOIN_LOOP, server = kind == JOIN || kind == ATTACH;
    if (server && !options->place.floors_alone)
        return run_server(bench, kind, outcome);
    return run_loop(bench, joins, outcome);
}

static void tell_kind(struct dm_report *report, const struct bench *bench, unsigned runs,
                      enum kind server, const char *of)
{
    const struct dm_commands_outcome *ours = bench->outcomes[server];
    const struct dm_commands_outcome *loops = bench->outcomes[server + 1];
    char name[64];
    snprintf(name, sizeof name, "%s a second, over the loop's, 256 a commit", of);
    dm_report_told(report, name, "x", dm_commands_ratio(ours, loops, runs, dm_commands_rate));
    dm_report_told(report, "  the server's", "/s",
                   dm_commands_median(ours, runs, dm_commands_rate));
    dm_report_told(report, "  the loop's", "/s", dm_commands_median(loops, runs, dm_commands_rate));
    dm_report_told(report, "  a commit, server", "",
                   dm_commands_median(ours, runs, dm_commands_batch));
    dm_report_told(report, "  CPU of one, server, its sockets too", "us",
                   dm_commands_median(ours, runs, dm_commands_cpu_us));
    dm_report_told(report, "  CPU of one, loop", "us",
                   dm_commands_median(loops, runs, dm_commands_cpu_us));
    dm_report_told(report, "  p50, server", "ms",
                   dm_commands_median(ours, runs, dm_commands_p50_ms));
    dm_report_told(report, "  p99, server", "ms",
                   dm_commands_median(ours, runs, dm_commands_p99_ms));
    dm_report_told(report, "  p99, loop", "ms",
                   dm_commands_median(loops, runs, dm_commands_p99_ms));
}

static void tell(struct dm_report *report, const struct bench *bench, unsigned runs)
{
    double joins = dm_commands_ratio(bench->outcomes[JOIN], bench->outcomes[JOIN_LOOP], runs,
                                     dm_commands_rate);
    double attaches = dm_commands_ratio(bench->outcomes[ATTACH], bench->outcomes[ATTACH_LOOP], runs,
                                        dm_commands_rate);
    dm_report_told(report, "sessions, 256 commands in flight", "", SESSIONS);
    dm_report_least(report, "joins over their loop, over attaches over theirs", "x", 0.8,
                    joins / attaches);
    tell_kind(report, bench, runs, JOIN, "joins");
    tell_kind(report, bench, runs, ATTACH, "attaches");
    dm_report_told(
        report, "joins a second, over attaches", "x",
        dm_commands_ratio(bench->outcomes[JOIN], bench->outcomes[ATTACH], runs, dm_commands_rate));
}

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
    int err = dm_load_connect(&bench->load);
    if (err != 0)
        fprintf(stderr, "join: %s\n", bench->load.failure);
    return err;
}

static int start(struct bench *bench, const struct dm_bench_options *options)
{
    const struct dm_rows rows = {
        .count = SESSIONS, .named = SESSIONS, .attachment_len = ATTACHMENT};
    bench->program = options->place.rows;
    if (dm_target_make_database(&bench->loop, &options->place) != 0 ||
        dm_rows_fill(bench->loop.folder, &rows) != 0)
        return -1;
    return options->place.floors_alone ? 0 : start_server(bench, options, &rows);
}

/* The first pair is not counted: files grow in it, and caches fill. */
static int measure(struct bench *bench, const struct dm_bench_options *options,
                   struct dm_report *report)
{
    for (unsigned i = 0; i <= options->runs; i++)
        for (enum kind kind = 0; kind < KINDS; kind++) {
            struct dm_commands_outcome *outcome = &bench->outcomes[kind][i ? i - 1 : 0];
            if (run_kind(bench, options, kind, outcome) != 0)
                return -1;
            if (i) {
                dm_report_run(report, kinds[kind], i - 1);
                dm_commands_write_run(report, outcome);
            }
            if (i && !outcome->checkpoints) {
                fprintf(stderr, "join: a run without a checkpoint says nothing\n");
                return -1;
            }
        }
    tell(report, bench, options->runs);
    return 0;
}

enum dm_bench_end dm_bench_join(const struct dm_bench_options *options)
{
    struct bench *bench = DM_NEW(struct bench);
    struct dm_report report;
    dm_report_init(&report, "join", &options->place);
    int err = start(bench, options);
    if (err == 0)
        err = measure(bench, options, &report);
    if (bench->load.session_count)
        dm_load_dispose(&bench->load);
    dm_target_stop(&bench->server);
    dm_target_stop(&bench->loop);
    free(bench);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
