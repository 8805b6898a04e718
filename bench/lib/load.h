/*
 * The load: one epoll set with up to 18,000 WebSocket sessions, which
 * subscribe, count what they get and may ack it, and with publishers on
 * keep-alive HTTP connections, each of which posts again as soon as it is
 * answered. What is sent is checked to the last frame: a run that lost one
 * has failed, however fast it was.
 */
#ifndef DM_BENCH_LOAD_H
#define DM_BENCH_LOAD_H

#include "lib/session.h"
#include "lib/target.h"

/* One burst of publishes. */
struct dm_plan {
    uint32_t publishers, publishes;
    uint32_t timeout_ms;
    const char *payload;  /* JSON */
    const char *must_say; /* in each answer of the real server */
    uint32_t copies;      /* frames that each publish must bring: the sessions a user */

    /* What is posted where instead, to all sessions rather than one user's; NULL: a publish. */
    const char *path, *body;
    bool unchecked; /* to some sessions only: that each got its frames is not looked at */

    /* One publisher, who posts after the last frame of the one before, and the time until that
     * frame; NULL: as soon as the one before is answered. */
    uint32_t *frame_us;
    const uint32_t *order; /* of the users then; NULL: at random */
};

struct dm_outcome {
    uint64_t wall_us;    /* first post to last answer and last frame */
    uint64_t cpu_ns;     /* of the target meanwhile */
    uint64_t deliveries; /* frames that came */
    uint64_t p50_us, p99_us;
    double publishes_a_second;
};

struct dm_owed;

struct dm_load {
    const struct dm_target *target;
    int epoll;
    uint32_t session_count, users;
    struct dm_session *sessions;
    char *input; /* what any socket brings lands here first */
    struct dm_buf scratch;
    bool acks;        /* answer each envelope */
    bool native;      /* the native dialect */
    bool notifier;    /* the notifier's */
    bool silent;      /* a socket is open once it is upgraded: nothing is asked of it */
    const char *path; /* of the sockets, without its slash; NULL: the dialect's */
    bool resumes;     /* its sessions bring the secrets of dm_rows_fill */
    bool endless;     /* tokens without an end */
    uint64_t random;
    uint32_t next;    /* the first that has not begun to connect */
    uint32_t at_once; /* handshakes under way at most */
    uint32_t waiting; /* handshakes that are not answered yet */
    /* Those whose handshake is answered 503, or reset, come again after a second, as Retry-After
     * says; else that is a failure. */
    bool patient;
    uint32_t *refused; /* a ring of those that will, in the order of their session.again_ms */
    uint32_t refused_first, refused_count;
    uint64_t refusals; /* in all */
    uint32_t welcomes;
    uint64_t welcomed_us, welcomed_half_us; /* when the last one came; and the middle one */
    struct dm_owed *owed; /* counts what is redelivered; NULL: that is an envelope like others */
    /* What open sessions get that is no envelope; NULL: that is counted as one. */
    void (*on_answer)(struct dm_load *load, uint32_t session, struct dm_slice text);
    void *self; /* on_answer's */
    uint64_t frames, frame_bytes;
    char failure[256];      /* "" while all is well */
    struct dm_burst *burst; /* under way */
};

void dm_load_init(struct dm_load *load, const struct dm_target *target, uint32_t sessions,
                  uint32_t users, bool acks);
void dm_load_dispose(struct dm_load *load);

/* Connects every session and subscribes it with one filter. These return 0, or -1 with
 * the reason in load->failure. */
int dm_load_connect(struct dm_load *load) DM_MUST_CHECK;
/* Only until `count` of them are. */
int dm_load_connect_to(struct dm_load *load, uint32_t count) DM_MUST_CHECK;
int dm_load_publish(struct dm_load *load, const struct dm_plan *plan,
                    struct dm_outcome *outcome) DM_MUST_CHECK;

/* Waits at most `timeout_ms` for events and handles one batch of them. */
int dm_load_turn(struct dm_load *load, int timeout_ms) DM_MUST_CHECK;

/* Private to the load's files. */
void dm_load_fail(struct dm_load *load, const char *format, ...) DM_PRINTF(2, 3);
void dm_load_refused(struct dm_load *load, uint32_t number);
void dm_load_watch(struct dm_load *load, int fd, bool publisher, uint32_t number);
void dm_load_watch_session(struct dm_load *load, uint32_t number, bool connected);
uint32_t dm_load_random(struct dm_load *load, uint32_t below);
void dm_publisher_input(struct dm_load *load, uint32_t number, size_t len);
void dm_publisher_frame(struct dm_load *load);

enum { DM_INPUT_SIZE = 256 * 1024 };

#endif
