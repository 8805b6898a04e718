/*
 * Native commands, so many in flight at any time, each answered `ok`; and what
 * a run of them came to, or of the bare SQLite loop (dm-bench-rows) beside it.
 */
#ifndef DM_BENCH_COMMANDS_H
#define DM_BENCH_COMMANDS_H

#include "lib/load.h"
#include "lib/report.h"

struct dm_commands_outcome {
    double rate; /* commands a second */
    uint64_t wall_us, cpu_ns;
    uint32_t p50_us, p99_us;
    uint32_t commands, checkpoints, commits;
};

/* A burst. Sessions take turns: the one that was answered first is the next. */
struct dm_commands {
    uint32_t all, in_flight; /* at most a command a session */
    /* Appends the members between `ref` and the object's end: `,"type":...`. */
    void (*write)(struct dm_commands *commands, uint32_t session, uint32_t ref,
                  struct dm_buf *text);
    void *self;

    /* Its own. */
    uint32_t asked, answered;
    uint64_t *sent_us; /* by session */
    uint32_t *refs;    /* by session: of what is in flight, or was last */
    uint32_t *idle;    /* a ring of sessions */
    uint32_t idle_first, idle_count;
    struct dm_buf text; /* what is sent, or expected */
    uint32_t *us;       /* by order of the answers */
};

/* The load's sessions are native ones, connected. dispose, in any case, forgets what run made. 0,
 * or -1 with the reason in load->failure. */
int dm_commands_run(struct dm_load *load, struct dm_commands *commands,
                    struct dm_commands_outcome *outcome) DM_MUST_CHECK;
void dm_commands_dispose(struct dm_commands *commands);

/* Runs dm-bench-rows with these arguments. 0, or -1 after saying why on stderr. */
int dm_commands_loop(const char *program, const char *arguments, uint32_t rows, uint32_t a_commit,
                     struct dm_commands_outcome *outcome) DM_MUST_CHECK;

/* Appends members to a run's JSON object, and its end. */
void dm_commands_write_run(struct dm_report *report, const struct dm_commands_outcome *outcome);

double dm_commands_rate(const struct dm_commands_outcome *outcome);
double dm_commands_p50_ms(const struct dm_commands_outcome *outcome);
double dm_commands_p99_ms(const struct dm_commands_outcome *outcome);
double dm_commands_cpu_us(const struct dm_commands_outcome *outcome); /* a command */
double dm_commands_batch(const struct dm_commands_outcome *outcome);  /* commands a commit */
double dm_commands_checkpoints(const struct dm_commands_outcome *outcome);

double dm_commands_median(const struct dm_commands_outcome *outcomes, unsigned runs,
                          double (*figure)(const struct dm_commands_outcome *));
/* The median of the ratios of each pair. */
double dm_commands_ratio(const struct dm_commands_outcome *outcomes,
                         const struct dm_commands_outcome *others, unsigned runs,
                         double (*figure)(const struct dm_commands_outcome *));

#endif
