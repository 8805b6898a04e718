/* Carrying a burst of commands through, and what it came to. */
#include "lib/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/scrape.h"
#include "lib/stats.h"

enum { BURST_MS = 60000 };

static void ask(struct dm_load *load, struct dm_commands *commands)
{
    struct dm_buf *text = &commands->text;
    uint32_t session = commands->idle[commands->idle_first], ref = ++commands->asked;
    commands->idle_first = (commands->idle_first + 1) % load->session_count;
    commands->idle_count--;
    commands->refs[session] = ref;
    dm_buf_clear(text);
    dm_buf_lit(text, "{\"ref\":");
    dm_buf_add_number(text, ref);
    commands->write(commands, session, ref, text);
    dm_buf_add_byte(text, '}');
    commands->sent_us[session] = dm_clock_mono_us();
    dm_session_send(load, &load->sessions[session], dm_buf_slice(text));
}

static void put_back(struct dm_load *load, struct dm_commands *commands, uint32_t session)
{
    uint32_t end = (commands->idle_first + commands->idle_count++) % load->session_count;
    commands->idle[end] = session;
}

static void take_ok(struct dm_load *load, uint32_t session, struct dm_slice text)
{
    struct dm_commands *commands = load->self;
    struct dm_buf *ok = &commands->text;
    dm_buf_clear(ok);
    dm_buf_lit(ok, "{\"type\":\"ok\",\"ref\":");
    dm_buf_add_number(ok, commands->refs[session]);
    dm_buf_add_byte(ok, '}');
    if (!dm_slice_eq(text, dm_buf_slice(ok)) || commands->answered == commands->all) {
        dm_load_fail(load, "a command with ref %u was answered: %.*s", commands->refs[session],
                     (int)text.len, text.at);
        return;
    }
    commands->us[commands->answered++] =
        (uint32_t)(dm_clock_mono_us() - commands->sent_us[session]);
    put_back(load, commands, session);
    if (commands->asked < commands->all)
        ask(load, commands);
}

static int carry_through(struct dm_load *load, struct dm_commands *commands)
{
    uint64_t deadline = dm_clock_mono_ms() + BURST_MS;
    for (uint32_t i = 0; i < commands->in_flight; i++)
        ask(load, commands);
    while (commands->answered < commands->all) {
        if (dm_load_turn(load, 100) != 0)
            return -1;
        if (dm_clock_mono_ms() > deadline) {
            dm_load_fail(load, "only %u of %u commands answered in time", commands->answered,
                         commands->all);
            return -1;
        }
    }
    return 0;
}

static void prepare(struct dm_load *load, struct dm_commands *commands)
{
    uint32_t sessions = load->session_count;
    DM_CHECK(commands->in_flight <= sessions && commands->in_flight <= commands->all);
    commands->sent_us = dm_calloc(sessions, sizeof *commands->sent_us);
    commands->refs = dm_calloc(sessions, sizeof *commands->refs);
    commands->idle = dm_calloc(sessions, sizeof *commands->idle);
    commands->us = dm_calloc(commands->all, sizeof *commands->us);
    for (uint32_t i = 0; i < sessions; i++)
        put_back(load, commands, i);
    load->on_answer = take_ok;
    load->self = commands;
}

static uint32_t scrape(const struct dm_load *load, const char *name, const char *label)
{
    double value = dm_scrape(load->target, name, label);
    return value > 0 ? (uint32_t)value : 0;
}

int dm_commands_run(struct dm_load *load, struct dm_commands *commands,
                    struct dm_commands_outcome *outcome)
{
    prepare(load, commands);
    *outcome = (struct dm_commands_outcome){.commands = commands->all};
    uint32_t checkpoints = scrape(load, "dormouse_store_checkpoints_total", "");
    uint32_t commits = scrape(load, "dormouse_store_commits_total", "\"ok\"");
    uint64_t cpu = dm_child_cpu_ns(&load->target->child), start = dm_clock_mono_us();
    int err = carry_through(load, commands);
    outcome->wall_us = dm_clock_mono_us() - start;
    outcome->cpu_ns = dm_child_cpu_ns(&load->target->child) - cpu;
    outcome->checkpoints = scrape(load, "dormouse_store_checkpoints_total", "") - checkpoints;
    outcome->commits = scrape(load, "dormouse_store_commits_total", "\"ok\"") - commits;
    outcome->rate = 1e6 * outcome->commands / (double)outcome->wall_us;
    dm_stats_sort_u32(commands->us, commands->answered);
    outcome->p50_us = dm_stats_at_u32(commands->us, commands->answered, 0.50);
    outcome->p99_us = dm_stats_at_u32(commands->us, commands->answered, 0.99);
    return err;
}

void dm_commands_dispose(struct dm_commands *commands)
{
    free(commands->sent_us);
    free(commands->refs);
    free(commands->idle);
    free(commands->us);
    dm_buf_dispose(&commands->text);
}

int dm_commands_loop(const char *program, const char *arguments, uint32_t rows, uint32_t a_commit,
                     struct dm_commands_outcome *outcome)
{
    char command[1200];
    snprintf(command, sizeof command, "exec '%s' %s %u %u", program, arguments, rows, a_commit);
    FILE *out = popen(command, "re");
    *outcome = (struct dm_commands_outcome){.commands = rows, .commits = rows / a_commit};
    int read = out ? fscanf(out, "%" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32 " %" SCNu32,
                            &outcome->wall_us, &outcome->cpu_ns, &outcome->p50_us, &outcome->p99_us,
                            &outcome->checkpoints)
                   : 0;
    outcome->cpu_ns *= 1000; /* it prints microseconds */
    if (!out || pclose(out) != 0 || read != 5) {
        fprintf(stderr, "the loop has failed: %s\n", command);
        return -1;
    }
    outcome->rate = 1e6 * rows / (double)outcome->wall_us;
    return 0;
}

void dm_commands_write_run(struct dm_report *report, const struct dm_commands_outcome *outcome)
{
    dm_buf_printf(&report->runs,
                  ",\"commands_a_second\":%.1f,\"wall_us\":%" PRIu64 ",\"cpu_ns\":%" PRIu64
                  ",\"p50_us\":%u,\"p99_us\":%u,\"checkpoints\":%u,\"commits\":%u}",
                  outcome->rate, outcome->wall_us, outcome->cpu_ns, outcome->p50_us,
                  outcome->p99_us, outcome->checkpoints, outcome->commits);
}

double dm_commands_rate(const struct dm_commands_outcome *outcome)
{
    return outcome->rate;
}

double dm_commands_p50_ms(const struct dm_commands_outcome *outcome)
{
    return outcome->p50_us / 1e3;
}

double dm_commands_p99_ms(const struct dm_commands_outcome *outcome)
{
    return outcome->p99_us / 1e3;
}

double dm_commands_cpu_us(const struct dm_commands_outcome *outcome)
{
    return (double)outcome->cpu_ns / 1e3 / outcome->commands;
}

double dm_commands_batch(const struct dm_commands_outcome *outcome)
{
    return outcome->commits ? (double)outcome->commands / outcome->commits : 0;
}

double dm_commands_checkpoints(const struct dm_commands_outcome *outcome)
{
    return outcome->checkpoints;
}

double dm_commands_median(const struct dm_commands_outcome *outcomes, unsigned runs,
                          double (*figure)(const struct dm_commands_outcome *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < runs; i++)
        values[i] = figure(&outcomes[i]);
    return dm_stats_median(values, runs);
}

double dm_commands_ratio(const struct dm_commands_outcome *outcomes,
                         const struct dm_commands_outcome *others, unsigned runs,
                         double (*figure)(const struct dm_commands_outcome *))
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < runs; i++)
        values[i] = figure(&outcomes[i]) / figure(&others[i]);
    return dm_stats_median(values, runs);
}
