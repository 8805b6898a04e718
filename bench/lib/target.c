/* Starting the server and the floor, and waiting until they answer. */
#include "lib/target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/http.h"
#include "lib/sock.h"

enum { ENVIRONMENT_MAX = 24, READY_MS = 30000, ASK_AGAIN_US = 2000 };

struct environment {
    char *lines[ENVIRONMENT_MAX + 1];
    size_t count;
};

DM_PRINTF(2, 3) static void set(struct environment *environment, const char *format, ...)
{
    va_list arguments;
    DM_CHECK(environment->count < ENVIRONMENT_MAX);
    va_start(arguments, format);
    int len = vasprintf(&environment->lines[environment->count++], format, arguments);
    va_end(arguments);
    DM_CHECK(len >= 0);
}

static void forget(struct environment *environment)
{
    for (size_t i = 0; i < environment->count; i++)
        free(environment->lines[i]);
}

static int start(struct dm_target *target, const struct dm_target_place *place, char *const argv[],
                 struct environment *environment, const char *ready_path)
{
    char log[600];
    struct dm_buf body = DM_BUF_INIT;
    int status = 0;
    snprintf(log, sizeof log, "%s/%s.log", place->out, target->name);
    uint64_t began = dm_clock_mono_us();
    int err = dm_child_start(&target->child, argv, environment->lines, log);
    uint64_t deadline = dm_clock_mono_ms() + READY_MS;
    while (err == 0 && status != 200 && dm_child_alive(&target->child) &&
           dm_clock_mono_ms() < deadline) {
        usleep(ASK_AGAIN_US);
        status = dm_http_get(target->port, ready_path, &body);
    }
    target->ready_us = dm_clock_mono_us() - began;
    dm_buf_dispose(&body);
    forget(environment);
    if (status == 200)
        return 0;
    fprintf(stderr, "%s is not ready (last status %d); see %s\n", argv[0], status, log);
    dm_target_stop(target);
    return -1;
}

static void settings_of(struct dm_target *target, const struct dm_target_place *place,
                        const char *const settings[], struct environment *environment)
{
    set(environment, "PATH=/usr/bin:/bin");
    set(environment, "DORMOUSE_LISTEN=127.0.0.1:%u", target->port);
    set(environment, "DORMOUSE_DATABASE=%s/bench.db", target->folder);
    set(environment, "DORMOUSE_JWT_SECRET=%s", target->secret);
    set(environment, "DORMOUSE_API_KEYS=bench=%s", target->api_key);
    set(environment, "DORMOUSE_LOG_LEVEL=warn");
    if (place->shards)
        set(environment, "DORMOUSE_SHARDS=%u", place->shards);
    for (; *settings; settings++)
        set(environment, "DORMOUSE_%s", *settings);
}

int dm_target_make(struct dm_target *target, const struct dm_target_place *place, const char *name)
{
    *target = (struct dm_target){.name = name, .port = dm_sock_free_port()};
    dm_secret_make(target->secret);
    dm_secret_make(target->api_key);
    snprintf(target->folder, sizeof target->folder, "%s/state-XXXXXX", place->out);
    if (!mkdtemp(target->folder)) {
        fprintf(stderr, "cannot make %s: %s\n", target->folder, strerror(errno));
        return -1;
    }
    return 0;
}

int dm_target_start_again(struct dm_target *target, const struct dm_target_place *place,
                          const char *const settings[])
{
    struct environment environment = {.count = 0};
    settings_of(target, place, settings, &environment);
    char program[512], verb[] = "serve";
    snprintf(program, sizeof program, "%s", place->server);
    return start(target, place, (char *[]){program, verb, NULL}, &environment, "/readyz");
}

int dm_target_start_server(struct dm_target *target, const struct dm_target_place *place,
                           const char *const settings[])
{
    return dm_target_make(target, place, "server") != 0
               ? -1
               : dm_target_start_again(target, place, settings);
}

int dm_target_make_database(struct dm_target *target, const struct dm_target_place *place)
{
    int err = dm_target_start_server(target, place, (const char *const[]){NULL});
    dm_child_stop(&target->child);
    return err;
}

int dm_target_start_floor(struct dm_target *target, const struct dm_target_place *place, bool acks,
                          size_t frame_len)
{
    *target = (struct dm_target){.name = "floor", .port = dm_sock_free_port(), .floor = true};
    char program[512], port[16], mode[16], frame[24];
    snprintf(program, sizeof program, "%s", place->floor);
    snprintf(port, sizeof port, "%u", target->port);
    snprintf(mode, sizeof mode, "%s", acks ? "ack" : "fanout");
    snprintf(frame, sizeof frame, "%zu", frame_len);
    struct environment environment = {.count = 0};
    return start(target, place, (char *[]){program, port, mode, frame, NULL}, &environment, "/");
}

int dm_target_start_peer(struct dm_target *target, const struct dm_target_place *place,
                         char *const argv[], const char *ready_path)
{
    struct environment environment = {.count = 0};
    target->floor = true;
    set(&environment, "PATH=/usr/sbin:/usr/bin:/bin");
    return start(target, place, argv, &environment, ready_path);
}

static void remove_folder(const char *folder)
{
    DIR *open = opendir(folder);
    if (!open)
        return;
    for (struct dirent *entry; (entry = readdir(open));)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(open), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
    closedir(open);
    rmdir(folder);
}

void dm_target_stop(struct dm_target *target)
{
    dm_child_stop(&target->child);
    if (target->folder[0])
        remove_folder(target->folder);
    target->folder[0] = 0;
}
