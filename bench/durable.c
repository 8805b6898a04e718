/*
 * durable: 256 native sessions with one `attach` in flight each; every one is
 * answered `ok` after its commit. Beside it, on the same disk and in turn, two
 * bare SQLite loops (dm-bench-rows) that write the same rows: 256 a commit,
 * and one a commit. All of it twice: with no other session in the database,
 * when the same few pages are written over and over, and among 100,000.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "bench.h"
#include "lib/commands.h"
#include "lib/report.h"
#include "lib/rows.h"
#include "lib/stats.h"

enum {
    SESSIONS = 256,
    ATTACHMENT = 200, /* bytes */
    CROWD = 100000,
    COMMANDS = 600 * SESSIONS,
    COMMANDS_CROWD = 200 * SESSIONS, /* there each takes a page of its own */
    COMMANDS_ALONE = 1000,           /* of the loop with a commit each */
};

struct bench {
    struct dm_target server, loop; /* the latter has no process: a folder and its database */
    struct dm_load load;
    const char *program; /* the loop's */
    uint32_t commands;   /* a run, of the server and of the loop with 256 a commit */
};

static void write_attach(struct dm_commands *commands, uint32_t session, uint32_t ref,
                         struct dm_buf *text)
{
    (void)commands;
    (void)session;
    dm_buf_lit(text, ",\"type\":\"attach\",\"attachment\":");
    dm_rows_attachment(text, ATTACHMENT, ref);
}

/* What was answered last to each session is what its row holds. */
static int check_rows(struct bench *bench, const struct dm_commands *commands)
{
    struct dm_buf attachment = DM_BUF_INIT;
    char user[DM_USER_NAME_LEN + 1];
    int found = 1;
    for (uint32_t i = 0; i < SESSIONS && found == 1; i++) {
        dm_buf_clear(&attachment);
        dm_rows_attachment(&attachment, ATTACHMENT, commands->refs[i]);
        dm_user_name(bench->load.sessions[i].user, user);
        found = dm_rows_count(bench->server.folder, user, dm_buf_slice(&attachment));
        if (found != 1)
            dm_load_fail(&bench->load, "%s's row is not as it was answered last", user);
    }
    dm_buf_dispose(&attachment);
    return found == 1 ? 0 : -1;
}

static int run_server(struct bench *bench, struct dm_commands_outcome *outcome)
{
    struct dm_commands commands = {
        .all = bench->commands, .in_flight = SESSIONS, .write = write_attach};
    int err = dm_commands_run(&bench->load, &commands, outcome);
    if (err == 0)
        err = check_rows(bench, &commands);
    if (err != 0)
        fprintf(stderr, "durable: %s\n", bench->load.failure);
    dm_commands_dispose(&commands);
    return err;
}

static int run_loop(const struct bench *bench, uint32_t a_commit,
                    struct dm_commands_outcome *outcome)
{
    uint32_t rows = a_commit == 1 ? COMMANDS_ALONE : bench->commands;
    char arguments[600];
    snprintf(arguments, sizeof arguments, "attach '%s/bench.db' %u %u", bench->loop.folder,
             SESSIONS, ATTACHMENT);
    return dm_commands_loop(bench->program, arguments, rows, a_commit, outcome);
}

static void write_run(struct dm_report *report, const char *kind, unsigned pair, uint32_t rows,
                      const struct dm_commands_outcome *outcome)
{
    dm_report_run(report, kind, pair);
    dm_buf_printf(&report->runs, ",\"rows\":%u", rows);
    dm_commands_write_run(report, outcome);
}

enum kind { SERVER, GROUPED, ALONE, KINDS };
static const char *const kinds[KINDS] = {"server", "loop", "loop alone"};

static int run_kind(struct bench *bench, const struct dm_bench_options *options, enum kind kind,
                    struct dm_commands_outcome *outcome)
{
    if (kind == SERVER && !options->place.floors_alone)
        return run_server(bench, outcome);
    return run_loop(bench, kind == ALONE ? 1 : SESSIONS, outcome);
}

static void tell(struct dm_report *report, struct dm_commands_outcome outcomes[KINDS][DM_RUNS_MAX],
                 unsigned runs, uint32_t rows)
{
    dm_report_told(report, "sessions in the database", "", rows);
    dm_report_least(report, "commands a second, over the loop's, 256 a commit", "x", 0.5,
                    dm_commands_ratio(outcomes[SERVER], outcomes[GROUPED], runs, dm_commands_rate));
    dm_report_told(report, "  the server's", "/s",
                   dm_commands_median(outcomes[SERVER], runs, dm_commands_rate));
    dm_report_told(report, "  the loop's, 256 a commit", "/s",
                   dm_commands_median(outcomes[GROUPED], runs, dm_commands_rate));
    dm_report_told(report, "  the loop's, a commit each", "/s",
                   dm_commands_median(outcomes[ALONE], runs, dm_commands_rate));
    dm_report_told(report, "  commands a commit, server", "",
                   dm_commands_median(outcomes[SERVER], runs, dm_commands_batch));
    dm_report_told(
        report, "CPU a command, over the loop's", "x",
        dm_commands_ratio(outcomes[SERVER], outcomes[GROUPED], runs, dm_commands_cpu_us));
    dm_report_told(report, "  the server's, its sockets too", "us",
                   dm_commands_median(outcomes[SERVER], runs, dm_commands_cpu_us));
    dm_report_told(report, "  the loop's, 256 a commit", "us",
                   dm_commands_median(outcomes[GROUPED], runs, dm_commands_cpu_us));
    dm_report_figure(
        report, "p99 of a command, over the loop's", "x", 3,
        dm_commands_ratio(outcomes[SERVER], outcomes[GROUPED], runs, dm_commands_p99_ms));
    dm_report_told(report, "  the server's", "ms",
                   dm_commands_median(outcomes[SERVER], runs, dm_commands_p99_ms));
    dm_report_told(report, "  the loop's, 256 a commit", "ms",
                   dm_commands_median(outcomes[GROUPED], runs, dm_commands_p99_ms));
    dm_report_told(report, "  the loop's, a commit each", "ms",
                   dm_commands_median(outcomes[ALONE], runs, dm_commands_p99_ms));
    dm_report_told(report, "p50 of a command, server", "ms",
                   dm_commands_median(outcomes[SERVER], runs, dm_commands_p50_ms));
    dm_report_told(report, "  the loop's, 256 a commit", "ms",
                   dm_commands_median(outcomes[GROUPED], runs, dm_commands_p50_ms));
    dm_report_told(report, "  the loop's, a commit each", "ms",
                   dm_commands_median(outcomes[ALONE], runs, dm_commands_p50_ms));
    dm_report_told(report, "checkpoints in a run, server", "",
                   dm_commands_median(outcomes[SERVER], runs, dm_commands_checkpoints));
    dm_report_told(report, "  the loop's, 256 a commit", "",
                   dm_commands_median(outcomes[GROUPED], runs, dm_commands_checkpoints));
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
    int err = dm_load_connect(&bench->load);
    if (err != 0)
        fprintf(stderr, "durable: %s\n", bench->load.failure);
    return err;
}

static int start(struct bench *bench, const struct dm_bench_options *options, uint32_t count)
{
    const struct dm_rows rows = {.count = count, .named = SESSIONS, .attachment_len = ATTACHMENT};
    bench->commands = count > SESSIONS ? COMMANDS_CROWD : COMMANDS;
    bench->program = options->place.rows;
    if (dm_target_make_database(&bench->loop, &options->place) != 0 ||
        dm_rows_fill(bench->loop.folder, &rows) != 0)
        return -1;
    return options->place.floors_alone ? 0 : start_server(bench, options, &rows);
}

/* The first pair is not counted: files grow in it, and caches fill. */
static int measure(struct bench *bench, const struct dm_bench_options *options, uint32_t rows,
                   struct dm_report *report)
{
    static struct dm_commands_outcome outcomes[KINDS][DM_RUNS_MAX];
    for (unsigned i = 0; i <= options->runs; i++) {
        for (enum kind kind = 0; kind < KINDS; kind++) {
            struct dm_commands_outcome outcome = {.rate = 0};
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
