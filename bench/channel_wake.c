/*
 * channel-wake: a channel of 100,000 members, of whom 1,000 are online, asleep
 * before each send to it: its members are read from the store before it is
 * answered. From the request to the answer, and to the last frame; and how
 * long publishes to other users take that are due meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "bench.h"
#include "lib/http.h"
#include "lib/load.h"
#include "lib/members.h"
#include "lib/pacer.h"
#include "lib/report.h"
#include "lib/scrape.h"
#include "lib/sock.h"
#include "lib/stats.h"

enum {
    MEMBERS = 100000,
    ONLINE = 1000,
    OTHERS = 500, /* users who are no members */
    LIVELY = 8,   /* of them: never asleep */
    PERIOD_US = 1000,
    SENDS = 100,   /* a run */
    REST_MS = 400, /* between two, until all sleep again */
    SEND_MS = 10000,
};

struct run {
    uint32_t answer_p50_us, answer_p99_us, last_p50_us, last_p99_us;
    uint32_t others_p50_us, others_p99_us, others_most_us; /* due while a send was under way */
    uint32_t asleep_p99_us, lively_p99_us;                 /* of them */
    uint32_t quiet_p99_us;                                 /* due while none was */
    uint32_t others;                                       /* so many were */
    double wakes; /* of the channel, by the server's count */
};

struct bench {
    struct dm_target server;
    struct dm_load members, others;
    struct dm_pacer pacer;
    int fd; /* of who sends */
    struct dm_buf in;
    bool answered;
    uint64_t began_us;
    uint32_t answer_us[SENDS], last_us[SENDS];
    uint32_t sends; /* in all */
};

static int say(const struct dm_load *load)
{
    fprintf(stderr, "channel-wake: %s\n", load->failure);
    return -1;
}

static void take_answer(struct bench *bench, uint32_t *us)
{
    static const char must_say[] = "\"members\":100000,\"delivered\":1000";
    struct dm_http_message answer;
    ssize_t got = recv(bench->fd, dm_buf_reserve(&bench->in, 4096), 4096, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    bench->in.len += got > 0 ? (size_t)got : 0;
    ssize_t size = got > 0 ? dm_http_read(dm_buf_slice(&bench->in), &answer) : -1;
    if (size == 0)
        return;
    if (size < 0 || dm_http_status(&answer) != 200 ||
        !memmem(answer.body.at, answer.body.len, must_say, sizeof must_say - 1)) {
        dm_load_fail(&bench->members, "a send was answered: %.*s", (int)bench->in.len,
                     bench->in.len ? bench->in.bytes : "");
        return;
    }
    *us = (uint32_t)(dm_clock_mono_us() - bench->began_us);
    bench->answered = true;
    bench->pacer.counting = false;
    dm_buf_consume(&bench->in, (size_t)size);
}

/* One turn of both loads, the pacer and who sends; the others first, as they are timed. */
static int turn(struct bench *bench, uint32_t *answer_us)
{
    struct pollfd fds[] = {{.fd = bench->pacer.epoll, .events = POLLIN},
                           {.fd = bench->others.epoll, .events = POLLIN},
                           {.fd = bench->fd, .events = POLLIN},
                           {.fd = bench->members.epoll, .events = POLLIN}};
    uint64_t now = dm_clock_mono_us(), next = bench->pacer.next_us;
    uint64_t wait = next > now ? next - now : 0;
    struct timespec timeout = {.tv_nsec = (long)(wait < 100000 ? wait : 100000) * 1000};
    (void)ppoll(fds, DM_COUNT(fds), &timeout, NULL);
    if (dm_pacer_turn(&bench->pacer) != 0)
        return say(&bench->others);
    if (answer_us && !bench->answered)
        take_answer(bench, answer_us);
    return dm_load_turn(&bench->members, 0) == 0 ? 0 : say(&bench->members);
}

static int rest(struct bench *bench, uint32_t ms)
{
    uint64_t end = dm_clock_mono_ms() + ms;
    while (dm_clock_mono_ms() < end)
        if (turn(bench, NULL) != 0)
            return -1;
    return 0;
}

static int post(struct bench *bench)
{
    static const char body[] = "{\"type\":\"message\",\"data\":{\"text\":\"wake up\"}}";
    char text[1024], channel[DM_CHANNEL_NAME_LEN + 1];
    dm_channel_name(0, channel);
    int len = snprintf(text, sizeof text,
                       "POST /channels/%s/send HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                       "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       channel, bench->server.port, bench->server.api_key, sizeof body - 1, body);
    bench->answered = false;
    bench->pacer.counting = true;
    bench->began_us = dm_clock_mono_us();
    if (dm_sock_send_all(bench->fd, text, (size_t)len) == 0)
        return 0;
    dm_load_fail(&bench->members, "cannot send: %s", strerror(errno));
    return say(&bench->members);
}

static int send_one(struct bench *bench, uint32_t number)
{
    uint64_t frames = bench->members.frames + ONLINE, deadline = dm_clock_mono_ms() + SEND_MS;
    uint64_t last = 0;
    if (post(bench) != 0)
        return -1;
    while (!bench->answered || !last) {
        if (turn(bench, &bench->answer_us[number]) != 0)
            return -1;
        if (!last && bench->members.frames == frames)
            last = dm_clock_mono_us();
        if (dm_clock_mono_ms() > deadline || bench->members.frames > frames) {
            dm_load_fail(&bench->members, "a send brought all frames but %lld in time",
                         (long long)(frames - bench->members.frames));
            return say(&bench->members);
        }
    }
    bench->last_us[number] = (uint32_t)(last - bench->began_us);
    bench->sends++;
    return 0;
}

static void join_samples(struct dm_pacer *pacer, struct run *run)
{
    struct dm_pacer_samples *asleep = &pacer->samples[0], *lively = &pacer->samples[1];
    uint32_t count = run->others = asleep->count + lively->count;
    uint32_t *all = dm_calloc(count ? count : 1, sizeof *all);
    if (asleep->count)
        memcpy(all, asleep->us, asleep->count * sizeof *all);
    if (lively->count)
        memcpy(all + asleep->count, lively->us, lively->count * sizeof *all);
    dm_stats_sort_u32(all, count);
    run->others_p50_us = dm_stats_at_u32(all, count, 0.50);
    run->others_p99_us = dm_stats_at_u32(all, count, 0.99);
    run->others_most_us = count ? all[count - 1] : 0;
    free(all);
    dm_stats_sort_u32(asleep->us, asleep->count);
    dm_stats_sort_u32(lively->us, lively->count);
    run->asleep_p99_us = dm_stats_at_u32(asleep->us, asleep->count, 0.99);
    run->lively_p99_us = dm_stats_at_u32(lively->us, lively->count, 0.99);
    asleep->count = lively->count = 0;
}

/* The pace alone, for comparison. */
static int measure_quiet(struct bench *bench, struct run *run)
{
    struct run quiet = {0};
    enum { QUIET_MS = 2000 };
    bench->pacer.counting = true;
    int err = rest(bench, QUIET_MS);
    bench->pacer.counting = false;
    if (err == 0)
        err = rest(bench, REST_MS);
    join_samples(&bench->pacer, &quiet);
    run->quiet_p99_us = quiet.others_p99_us;
    return err;
}

static int run_one(struct bench *bench, struct dm_report *report, unsigned number, struct run *run)
{
    *run = (struct run){.wakes = -dm_scrape(&bench->server, "dormouse_channel_wakes_total", "")};
    bench->pacer.next_us = dm_clock_mono_us();
    if (measure_quiet(bench, run) != 0)
        return -1;
    for (uint32_t i = 0; i < SENDS; i++)
        if (send_one(bench, i) != 0 || rest(bench, REST_MS) != 0)
            return -1;
    run->wakes += dm_scrape(&bench->server, "dormouse_channel_wakes_total", "");
    if (run->wakes < SENDS) {
        dm_load_fail(&bench->members, "%d sends woke the channel %.0f times", SENDS, run->wakes);
        return say(&bench->members);
    }
    dm_stats_sort_u32(bench->answer_us, SENDS);
    dm_stats_sort_u32(bench->last_us, SENDS);
    run->answer_p50_us = dm_stats_at_u32(bench->answer_us, SENDS, 0.50);
    run->answer_p99_us = dm_stats_at_u32(bench->answer_us, SENDS, 0.99);
    run->last_p50_us = dm_stats_at_u32(bench->last_us, SENDS, 0.50);
    run->last_p99_us = dm_stats_at_u32(bench->last_us, SENDS, 0.99);
    join_samples(&bench->pacer, run);
    dm_report_run(report, "server", number);
    dm_buf_printf(&report->runs,
                  ",\"wakes\":%.0f,\"answer_p50_us\":%u,\"answer_p99_us\":%u,\"last_p50_us\":%u,"
                  "\"last_p99_us\":%u,\"others\":%u,\"others_p50_us\":%u,\"others_p99_us\":%u,"
                  "\"others_most_us\":%u,\"asleep_p99_us\":%u,\"lively_p99_us\":%u,"
                  "\"quiet_p99_us\":%u}",
                  run->wakes, run->answer_p50_us, run->answer_p99_us, run->last_p50_us,
                  run->last_p99_us, run->others, run->others_p50_us, run->others_p99_us,
                  run->others_most_us, run->asleep_p99_us, run->lively_p99_us, run->quiet_p99_us);
    return 0;
}

#define MEDIAN_MS(member) median_ms(runs, count, offsetof(struct run, member))

static double median_ms(const struct run *runs, unsigned count, size_t offset)
{
    double values[DM_RUNS_MAX] = {0};
    for (unsigned i = 0; i < count; i++) {
        uint32_t us;
        memcpy(&us, (const char *)&runs[i] + offset, sizeof us);
        values[i] = us / 1e3;
    }
    return dm_stats_median(values, count);
}

static void tell(struct dm_report *report, const struct run *runs, unsigned count)
{
    dm_report_told(report, "members, of whom 1,000 are online", "", MEMBERS);
    dm_report_figure(report, "p99 of a send that wakes its channel", "ms", 60,
                     MEDIAN_MS(answer_p99_us));
    dm_report_told(report, "  p50", "ms", MEDIAN_MS(answer_p50_us));
    dm_report_told(report, "  p50 until the last frame", "ms", MEDIAN_MS(last_p50_us));
    dm_report_told(report, "  p99 until the last frame", "ms", MEDIAN_MS(last_p99_us));
    dm_report_figure(report, "p99 of publishes to others meanwhile", "ms", 5,
                     MEDIAN_MS(others_p99_us));
    dm_report_told(report, "  p50", "ms", MEDIAN_MS(others_p50_us));
    dm_report_told(report, "  the slowest", "ms", MEDIAN_MS(others_most_us));
    dm_report_told(report, "  p99 of those whose user slept", "ms", MEDIAN_MS(asleep_p99_us));
    dm_report_told(report, "  p99 of those whose user was awake", "ms", MEDIAN_MS(lively_p99_us));
    dm_report_told(report, "  p99 while there was no send", "ms", MEDIAN_MS(quiet_p99_us));
    dm_report_told(report, "  publishes meanwhile, a run", "", runs[0].others);
}

/* The others' users come behind the members'. */
static int connect_all(struct bench *bench)
{
    dm_load_init(&bench->members, &bench->server, ONLINE, ONLINE, false);
    bench->members.notifier = true;
    dm_load_init(&bench->others, &bench->server, OTHERS, OTHERS, false);
    for (uint32_t i = 0; i < OTHERS; i++)
        bench->others.sessions[i].user += ONLINE;
    if (dm_load_connect(&bench->members) != 0)
        return say(&bench->members);
    if (dm_load_connect(&bench->others) != 0 ||
        dm_pacer_init(&bench->pacer, &bench->others, PERIOD_US, LIVELY) != 0)
        return say(&bench->others);
    bench->fd = dm_sock_connect(bench->server.port, 0);
    return bench->fd >= 0 ? 0 : -1;
}

static int start(struct bench *bench, const struct dm_bench_options *options)
{
    static const char *const settings[] = {"HIBERNATE_AFTER=100ms", NULL};
    const struct dm_members members = {.users = MEMBERS, .named = ONLINE, .channels = 1, .each = 1};
    if (dm_target_make_database(&bench->server, &options->place) != 0 ||
        dm_members_fill(bench->server.folder, &members) != 0 ||
        dm_target_start_again(&bench->server, &options->place, settings) != 0)
        return -1;
    return connect_all(bench);
}

static void stop(struct bench *bench)
{
    if (bench->fd >= 0)
        close(bench->fd);
    dm_pacer_dispose(&bench->pacer);
    if (bench->members.session_count)
        dm_load_dispose(&bench->members);
    if (bench->others.session_count)
        dm_load_dispose(&bench->others);
    dm_target_stop(&bench->server);
    dm_buf_dispose(&bench->in);
    free(bench);
}

enum dm_bench_end dm_bench_channel_wake(const struct dm_bench_options *options)
{
    struct run runs[DM_RUNS_MAX];
    struct dm_report report;
    if (options->place.floors_alone) {
        fprintf(stderr, "channel-wake has no floor\n");
        return DM_BENCH_REACHED;
    }
    struct bench *bench = DM_NEW(struct bench);
    bench->fd = -1;
    dm_report_init(&report, "channel-wake", &options->place);
    int err = start(bench, options);
    for (unsigned i = 0; i < options->runs && err == 0; i++)
        err = run_one(bench, &report, i, &runs[i]);
    if (err == 0)
        tell(&report, runs, options->runs);
    stop(bench);
    bool missed = report.missed;
    if (dm_report_finish(&report, &options->place) != 0 || err != 0)
        return DM_BENCH_FAILED;
    return missed ? DM_BENCH_MISSED : DM_BENCH_REACHED;
}
