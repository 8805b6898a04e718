/* A run from its seed to its end, and the processes in it: they start, stop and crash. */
#include "bed.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

void bed_fail(struct bed *bed, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "sim-%s: at %llu ms, step %u: ", bed->kind->name,
            (unsigned long long)bed->now_ms, bed->step);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nto repeat: dm-sim-%s --seed %llu --runs 1 --shards %u --trace\n",
            bed->kind->name, (unsigned long long)bed->seed, bed->shards);
    _exit(3);
}

void bed_trace(struct bed *bed, const char *format, ...)
{
    if (!bed->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%4u %7llu%s: ", bed->step, (unsigned long long)bed->now_ms,
            bed->dead ? " dead" : "");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

struct dm_shard *bed_any_shard(struct bed *bed)
{
    return bed->shard[rand_below(&bed->rand, bed->shards)];
}

/* --- a process --- */

static uint64_t clock_now(void *self)
{
    return ((struct bed *)self)->now_ms;
}

static int no_tokens(void *self, uint32_t sock, struct dm_slice token, struct dm_slice user,
                     uint64_t *expires_ms, bool *may_publish, struct dm_buf *claims)
{
    (void)self, (void)sock, (void)token, (void)user, (void)expires_ms, (void)may_publish;
    (void)claims;
    return 1;
}

static bool authorize(void *self, struct dm_authorization *ask)
{
    struct bed *bed = self;
    return bed->kind->authorize(bed, ask);
}

void bed_start(struct bed *bed)
{
    struct dm_shard_options options = {.shards = bed->shards};
    bed->kind->choose(bed, &options);
    for (uint32_t i = 0; i < bed->shards; i++) {
        struct dm_shard_ports ports = {
            .clock = {bed, clock_now, clock_now},
            .rand = {&bed->hub_rand, rand_fill},
            .store = bed_store_port(bed),
            .sink = bed_sink(bed),
            .verify = {bed, no_tokens},
            .authorize = {bed, bed->kind->authorize ? authorize : NULL},
            .post = bed_post(bed),
            .edge = bed,
        };
        options.number = i;
        dm_list_init(&bed->mail[i]);
        memset(&bed->metrics[i], 0, sizeof bed->metrics[i]);
        bed->shard[i] = dm_shard_create(&options, &ports, &bed->metrics[i]);
    }
}

void bed_end_turn(struct bed *bed)
{
    for (uint32_t i = 0; i < bed->shards; i++)
        dm_shard_end_turn(bed->shard[i]);
}

void bed_turn(struct bed *bed)
{
    for (uint32_t i = 0; i < bed->shards; i++) {
        (void)dm_shard_tick(bed->shard[i]);
        dm_shard_end_turn(bed->shard[i]);
    }
}

static bool goes_on(struct bed *bed)
{
    return bed_mail_step(bed) || bed_retry_held(bed) || bed_store_step(bed) ||
           (bed->kind->more && bed->kind->more(bed)) || (bed->dead && bed_use_grant(bed));
}

void bed_settle(struct bed *bed)
{
    for (uint32_t i = 0; i < 100000; i++) {
        if (goes_on(bed))
            continue;
        bed_turn(bed);
        bed->settled_ms = bed->now_ms;
        if (bed_store_idle(bed))
            return;
    }
    bed_fail(bed, "it never comes to rest");
}

void bed_pass(struct bed *bed, uint64_t ms, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++) {
        bed_settle(bed);
        bed->now_ms += ms;
        bed_turn(bed);
    }
    bed_settle(bed);
}

/* Lets all go that waits for something, and frees it. */
void bed_stop(struct bed *bed)
{
    bed_settle(bed);
    for (uint32_t i = 0; i < bed->shards; i++)
        (void)dm_shard_close_sessions(bed->shard[i], 1012, DM_NO_SLICE);
    for (uint32_t i = 0; i < bed->shards; i++)
        dm_shard_finish_publishes(bed->shard[i]);
    bed_pass(bed, 500, 12);
    if (bed->open_calls)
        bed_fail(bed, "%u calls are not answered", bed->open_calls);
    for (uint32_t i = 0; i < bed->shards; i++)
        dm_shard_destroy(&bed->shard[i]);
}

/* From here on it writes nothing, and nobody hears what it says. */
void bed_crash(struct bed *bed)
{
    bed_trace(bed, "crash");
    bed->dead = true;
    bed_stop(bed);
    bed->dead = false;
    bed->life++;
    bed->now_ms += rand_below(&bed->rand, 2000);
    bed_store_restart(bed);
    bed_start(bed);
}

/* --- a run --- */

static const struct bed *running;

/* A check of the hub's own, or a sanitizer, has ended it. */
static void on_abort(int signal_number)
{
    dprintf(2, "sim-%s: step %u; to repeat: dm-sim-%s --seed %llu --runs 1 --shards %u --trace\n",
            running->kind->name, running->step, running->kind->name,
            (unsigned long long)running->seed, running->shards);
    signal(signal_number, SIG_DFL);
}

struct bed_main {
    const struct sim_options *options;
    const struct bed_kind *kind;
};

static void step(struct bed *bed)
{
    bed->kind->happen(bed);
    (void)bed_retry_held(bed);
    bed_end_turn(bed);
    for (uint32_t i = 0; i < bed->shards && bed->step % bed->kind->verify_every == 0; i++)
        dm_shard_verify(bed->shard[i]);
}

static void run(void *context, uint64_t seed)
{
    const struct bed_main *of = context;
    struct bed *bed = dm_calloc(1, of->kind->size);
    bed->kind = of->kind;
    bed->rand.state = seed * 0x2545f4914f6cdd1du + of->options->shards;
    bed->hub_rand.state = ~seed;
    bed->seed = seed;
    bed->now_ms = 1000000;
    bed->shards = of->options->shards;
    bed->trace = of->options->trace;
    running = bed;
    bed_store_init(bed);
    if (bed->kind->begin)
        bed->kind->begin(bed);
    bed_start(bed);
    if (bed->kind->started)
        bed->kind->started(bed);
    for (bed->step = 1; bed->step < of->options->steps; bed->step++)
        step(bed);
    bed->kind->finish(bed);
    bed_store_dispose(bed);
    if (bed->kind->end)
        bed->kind->end(bed);
    free(bed->socks);
    free(bed);
}

int bed_main(char **argv, const struct bed_kind *kind)
{
    struct sim_options options = sim_options_read(argv, kind->shards_max, kind->steps);
    struct bed_main of = {&options, kind};
    signal(SIGABRT, on_abort);
    sim_run_all(&options, kind->seeds, run, &of);
    return 0;
}
