/* A burst of publishes: who posts what, when it is over, and whether all of it arrived. */
#include "lib/publisher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "lib/http.h"
#include "lib/sock.h"
#include "lib/stats.h"

enum { BURST_MS = 30000 };

static void write_request(struct dm_load *load, struct dm_burst *burst, uint32_t user)
{
    char name[DM_USER_NAME_LEN + 1];
    dm_user_name(user, name);
    const struct dm_plan *plan = burst->plan;
    struct dm_buf *body = &load->scratch, *request = &burst->request;
    dm_buf_clear(body);
    if (plan->body)
        dm_buf_printf(body, "%s", plan->body);
    else
        dm_buf_printf(body, "{\"userId\":\"%s\",\"timeoutMs\":%u,\"payload\":%s}", name,
                      plan->timeout_ms, plan->payload);
    dm_buf_clear(request);
    dm_buf_printf(request,
                  "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer %s\r\n"
                  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                  plan->path ? plan->path : "/publish", load->target->port, load->target->api_key,
                  body->len);
    dm_buf_add(request, body->bytes, body->len);
}

static void post(struct dm_load *load, struct dm_publisher *publisher)
{
    struct dm_burst *burst = load->burst;
    bool one_by_one = burst->plan->frame_us != NULL;
    if (burst->posted == burst->plan->publishes || (one_by_one && burst->arrived < burst->posted))
        return;
    const struct dm_plan *plan = burst->plan;
    uint32_t user = plan->order ? plan->order[burst->posted] : dm_load_random(load, load->users);
    write_request(load, burst, user);
    burst->posted++;
    if (!plan->body)
        burst->expected[user]++;
    publisher->posted_us = burst->posted_us = dm_clock_mono_us();
    if (dm_sock_send_all(publisher->fd, burst->request.bytes, burst->request.len) != 0)
        dm_load_fail(load, "a publisher cannot send: %s", strerror(errno));
}

static bool is_good(const struct dm_load *load, const struct dm_http_message *answer)
{
    const char *must_say = load->burst->plan->must_say;
    int status = dm_http_status(answer);
    if (load->target->floor)
        return status >= 200 && status <= 299;
    return status == 200 &&
           memmem(answer->body.at, answer->body.len, must_say, strlen(must_say)) != NULL;
}

void dm_publisher_input(struct dm_load *load, uint32_t number, size_t len)
{
    struct dm_burst *burst = load->burst;
    struct dm_publisher *publisher = &burst->publishers[number];
    struct dm_http_message answer;
    dm_buf_add(&publisher->in, load->input, len);
    ssize_t size = dm_http_read(dm_buf_slice(&publisher->in), &answer);
    if (size == 0)
        return;
    if (size < 0 || !publisher->posted_us || !is_good(load, &answer)) {
        dm_load_fail(load, "a publish was answered: %.*s",
                     (int)(publisher->in.len < 200 ? publisher->in.len : 200), publisher->in.bytes);
        return;
    }
    burst->latencies_us[burst->answered++] = (uint32_t)(dm_clock_mono_us() - publisher->posted_us);
    publisher->posted_us = 0;
    dm_buf_consume(&publisher->in, (size_t)size);
    post(load, publisher);
}

void dm_publisher_frame(struct dm_load *load)
{
    struct dm_burst *burst = load->burst;
    if (!burst->plan->frame_us || burst->arrived == burst->posted)
        return;
    if (++burst->copies < burst->plan->copies)
        return;
    burst->copies = 0;
    burst->plan->frame_us[burst->arrived++] = (uint32_t)(dm_clock_mono_us() - burst->posted_us);
    if (burst->answered == burst->posted)
        post(load, &burst->publishers[0]);
}

static int open_publishers(struct dm_load *load, struct dm_burst *burst)
{
    for (uint32_t i = 0; i < burst->plan->publishers; i++)
        burst->publishers[i].fd = -1;
    for (uint32_t i = 0; i < burst->plan->publishers; i++) {
        int fd = burst->publishers[i].fd = dm_sock_connect(load->target->port, i);
        if (fd < 0 || dm_sock_nonblocking(fd) != 0) {
            dm_load_fail(load, "a publisher cannot connect: %s", strerror(errno));
            return -1;
        }
        dm_load_watch(load, fd, true, i);
    }
    return 0;
}

/* Until every publish is answered and every frame is here. */
static int carry_through(struct dm_load *load, uint64_t frames)
{
    struct dm_burst *burst = load->burst;
    uint64_t deadline = dm_clock_mono_ms() + BURST_MS;
    for (uint32_t i = 0; i < burst->plan->publishers; i++)
        post(load, &burst->publishers[i]);
    while (burst->answered < burst->plan->publishes || load->frames < frames) {
        if (dm_load_turn(load, 100) != 0)
            return -1;
        if (dm_clock_mono_ms() > deadline) {
            dm_load_fail(load, "in time came only %u of %u answers, and all frames but %lld",
                         burst->answered, burst->plan->publishes,
                         (long long)(frames - load->frames));
            return -1;
        }
    }
    return 0;
}

/* Each session must have got exactly its user's frames, no fewer and no more. */
static int check_frames(struct dm_load *load, const uint32_t *before)
{
    for (uint32_t i = 0; i < load->session_count; i++) {
        const struct dm_session *session = &load->sessions[i];
        const struct dm_burst *burst = load->burst;
        uint32_t expected = burst->plan->body ? burst->posted : burst->expected[session->user];
        if (session->frames - before[i] != expected) {
            dm_load_fail(load, "session %u got %u frames instead of %u", i,
                         session->frames - before[i], expected);
            return -1;
        }
    }
    return 0;
}

static int run_burst(struct dm_load *load, struct dm_outcome *outcome)
{
    struct dm_burst *burst = load->burst;
    const struct dm_plan *plan = burst->plan;
    uint32_t *before = dm_calloc(load->session_count, sizeof *before);
    for (uint32_t i = 0; i < load->session_count; i++)
        before[i] = load->sessions[i].frames;
    uint64_t frames = load->frames, wall = dm_clock_mono_us();
    uint64_t cpu = dm_child_cpu_ns(&load->target->child);
    int err = carry_through(load, frames + (uint64_t)plan->publishes * plan->copies);
    outcome->cpu_ns = dm_child_cpu_ns(&load->target->child) - cpu;
    outcome->wall_us = dm_clock_mono_us() - wall;
    outcome->deliveries = load->frames - frames;
    if (err == 0 && !plan->unchecked)
        err = check_frames(load, before);
    free(before);
    if (err != 0)
        return err;
    dm_stats_sort_u32(burst->latencies_us, burst->answered);
    outcome->p50_us = dm_stats_at_u32(burst->latencies_us, burst->answered, 0.50);
    outcome->p99_us = dm_stats_at_u32(burst->latencies_us, burst->answered, 0.99);
    outcome->publishes_a_second = 1e6 * plan->publishes / (double)outcome->wall_us;
    return 0;
}

int dm_load_publish(struct dm_load *load, const struct dm_plan *plan, struct dm_outcome *outcome)
{
    struct dm_burst burst = {.plan = plan};
    burst.publishers = dm_calloc(plan->publishers, sizeof *burst.publishers);
    burst.latencies_us = dm_calloc(plan->publishes, sizeof *burst.latencies_us);
    burst.expected = dm_calloc(load->users, sizeof *burst.expected);
    *outcome = (struct dm_outcome){0};
    load->burst = &burst;
    int err = open_publishers(load, &burst);
    if (err == 0)
        err = run_burst(load, outcome);
    load->burst = NULL;
    for (uint32_t i = 0; i < plan->publishers; i++) {
        if (burst.publishers[i].fd >= 0)
            close(burst.publishers[i].fd);
        dm_buf_dispose(&burst.publishers[i].in);
    }
    free(burst.publishers);
    free(burst.latencies_us);
    free(burst.expected);
    dm_buf_dispose(&burst.request);
    return err;
}
