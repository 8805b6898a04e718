/* The table and the JSON file. */
#include "lib/report.h"

#include <errno.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"

/* Versions and model names: printable ASCII, without what JSON would have to escape. */
static void add_plain(struct dm_buf *out, const char *text)
{
    for (; *text && *text != '\n'; text++)
        dm_buf_add_byte(out,
                        *text >= ' ' && *text < 127 && *text != '"' && *text != '\\' ? *text : '?');
}

static void add_text(struct dm_buf *out, const char *name, const char *text)
{
    dm_buf_printf(out, ",\"%s\":\"", name);
    add_plain(out, text);
    dm_buf_add_byte(out, '"');
}

static void add_cpu_model(struct dm_buf *out)
{
    char line[256];
    FILE *info = fopen("/proc/cpuinfo", "re");
    while (info && fgets(line, sizeof line, info)) {
        const char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && value) {
            add_text(out, "cpu", value + 2);
            break;
        }
    }
    if (info)
        fclose(info);
}

static void add_server_version(struct dm_buf *out, const char *server)
{
    char command[640], line[128] = "";
    snprintf(command, sizeof command, "timeout -k 1 2 '%s' --version 2>/dev/null", server);
    FILE *version = popen(command, "re");
    if (version && fgets(line, sizeof line, version))
        add_text(out, "server", line);
    if (version)
        pclose(version);
}

void dm_report_init(struct dm_report *report, const char *bench,
                    const struct dm_target_place *place)
{
    char time[DM_ISO_TIME_LEN];
    struct utsname system;
    *report = (struct dm_report){.bench = bench};
    dm_clock_iso(dm_clock_wall_ms(), time);
    dm_buf_printf(&report->host, "\"at\":\"%.*s\",\"cores\":%ld,\"shards\":%u", DM_ISO_TIME_LEN,
                  time, sysconf(_SC_NPROCESSORS_ONLN), place->shards);
    if (uname(&system) == 0)
        add_text(&report->host, "kernel", system.release);
    add_cpu_model(&report->host);
    add_server_version(&report->host, place->server);
    add_text(&report->host, "compiler", __VERSION__);
}

static void separate(struct dm_buf *list)
{
    if (list->len)
        dm_buf_lit(list, ",\n    ");
}

/* Three places for what is small, none for what is large. */
static int places(double value)
{
    return value < 10 && value > -10 ? 3 : value < 1000 ? 1 : 0;
}

static void judge(struct dm_report *report, const char *name, const char *unit, bool least,
                  double asked, double reached)
{
    bool pass = least ? reached >= asked : reached <= asked;
    char bound[32];
    snprintf(bound, sizeof bound, "%s %.2f", least ? ">=" : "<=", asked);
    printf("%-14s %-46s %10s %10.*f  %-8s %s\n", report->bench, name, bound, places(reached),
           reached, unit, pass ? "PASS" : "MISS");
    fflush(stdout);
    report->missed = report->missed || !pass;
    snprintf(report->heading, sizeof report->heading, "%s", name);
    separate(&report->figures);
    dm_buf_printf(&report->figures,
                  "{\"name\":\"%s\",\"unit\":\"%s\",\"%s\":%.6g,\"reached\":%.6g,\"pass\":%s}",
                  name, unit, least ? "at_least" : "at_most", asked, reached,
                  pass ? "true" : "false");
}

void dm_report_figure(struct dm_report *report, const char *name, const char *unit, double asked,
                      double reached)
{
    judge(report, name, unit, false, asked, reached);
}

void dm_report_least(struct dm_report *report, const char *name, const char *unit, double asked,
                     double reached)
{
    judge(report, name, unit, true, asked, reached);
}

/* An indented name belongs to the figure before it that is not indented. */
void dm_report_told(struct dm_report *report, const char *name, const char *unit, double reached)
{
    bool indented = name[0] == ' ';
    printf("%-14s %-46s %10s %10.*f  %s\n", report->bench, name, "", places(reached), reached,
           unit);
    fflush(stdout);
    separate(&report->figures);
    dm_buf_printf(&report->figures, "{\"name\":\"%s\",\"unit\":\"%s\",\"reached\":%.6g",
                  name + strspn(name, " "), unit, reached);
    if (indented && report->heading[0])
        dm_buf_printf(&report->figures, ",\"under\":\"%s\"", report->heading);
    dm_buf_add_byte(&report->figures, '}');
    if (!indented)
        snprintf(report->heading, sizeof report->heading, "%s", name);
}

void dm_report_run(struct dm_report *report, const char *kind, unsigned pair)
{
    separate(&report->runs);
    dm_buf_printf(&report->runs, "{\"of\":\"%s\",\"pair\":%u", kind, pair);
}

int dm_report_finish(struct dm_report *report, const struct dm_target_place *place)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s.json", place->out, report->bench);
    FILE *file = fopen(path, "we");
    int err = file ? 0 : -1;
    if (file) {
        fprintf(
            file,
            "{\"bench\":\"%s\",\"host\":{%s},\n  \"figures\":[\n    %s],\n  \"runs\":[\n    %s]}\n",
            report->bench, dm_buf_text(&report->host), dm_buf_text(&report->figures),
            dm_buf_text(&report->runs));
        err = fclose(file) == 0 ? 0 : -1;
    }
    if (err)
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
    dm_buf_dispose(&report->host);
    dm_buf_dispose(&report->figures);
    dm_buf_dispose(&report->runs);
    return err;
}
