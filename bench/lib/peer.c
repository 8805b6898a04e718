/* Starting the peers. */
#include "lib/peer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char dm_peer_socket[] = "listen";

static const char nchan_module[] = "/usr/lib/nginx/modules/ngx_nchan_module.so";
static const char ws_program[] = DM_BENCH_PEERS "/ws.mjs";
static const char ws_package[] = DM_BENCH_PEERS "/node_modules/ws/package.json";

/* One process, so that its CPU clock is all there is; nothing is stored beyond the last message. */
static const char nginx_conf[] = "load_module %s;\n"
                                 "daemon off;\n"
                                 "master_process off;\n"
                                 "worker_rlimit_nofile %u;\n"
                                 "pid %s/nginx.pid;\n"
                                 "error_log %s/error.log crit;\n"
                                 "events { worker_connections %u; }\n"
                                 "http {\n"
                                 "    access_log off;\n"
                                 "    client_body_temp_path %s/body;\n"
                                 "    proxy_temp_path %s/proxy;\n"
                                 "    fastcgi_temp_path %s/fastcgi;\n"
                                 "    uwsgi_temp_path %s/uwsgi;\n"
                                 "    scgi_temp_path %s/scgi;\n"
                                 "    keepalive_requests 1000000;\n"
                                 "    nchan_shared_memory_size 256m;\n"
                                 "    server {\n"
                                 "        listen 127.0.0.1:%u backlog=4096;\n"
                                 "        location = / { return 200; }\n"
                                 "        location = /%s {\n"
                                 "            nchan_subscriber websocket;\n"
                                 "            nchan_channel_id bench;\n"
                                 "            nchan_subscriber_first_message newest;\n"
                                 "        }\n"
                                 "        location = /send {\n"
                                 "            nchan_publisher http;\n"
                                 "            nchan_channel_id bench;\n"
                                 "            nchan_message_buffer_length 1;\n"
                                 "        }\n"
                                 "    }\n"
                                 "}\n";

static const char *find(const char *const *places)
{
    for (; *places; places++)
        if (access(*places, X_OK) == 0)
            return *places;
    return NULL;
}

static const char *nginx(void)
{
    return find(
        (const char *const[]){"/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx", NULL});
}

static const char *node(void)
{
    return find((const char *const[]){"/usr/bin/node", "/usr/local/bin/node", NULL});
}

const char *dm_peer_name(enum dm_peer peer)
{
    static const char *const names[DM_PEERS] = {"nchan", "ws"};
    return names[peer];
}

const char *dm_peer_missing(enum dm_peer peer)
{
    if (peer == DM_PEER_NCHAN)
        return nginx() && access(nchan_module, R_OK) == 0 ? NULL : "nginx, libnginx-mod-nchan";
    return node() && access(ws_package, R_OK) == 0 ? NULL : "node, npm ci in bench/peers";
}

static int write_conf(const struct dm_target *target, const char *folder, const char *path)
{
    unsigned files = (unsigned)sysconf(_SC_OPEN_MAX);
    FILE *file = fopen(path, "we");
    if (!file) {
        perror(path);
        return -1;
    }
    fprintf(file, nginx_conf, nchan_module, files, folder, folder, files - 50, folder, folder,
            folder, folder, folder, target->port, dm_peer_socket);
    return fclose(file) == 0 ? 0 : -1;
}

static int start_nginx(struct dm_target *target, const struct dm_target_place *place)
{
    char program[64], prefix[] = "-p", conf_flag[] = "-c";
    char folder[PATH_MAX], conf[PATH_MAX + 16];
    snprintf(program, sizeof program, "%s", nginx());
    if (!realpath(target->folder, folder)) /* it takes a relative one for its own prefix's */
        return -1;
    snprintf(conf, sizeof conf, "%s/nginx.conf", folder);
    if (write_conf(target, folder, conf) != 0)
        return -1;
    return dm_target_start_peer(target, place,
                                (char *[]){program, prefix, folder, conf_flag, conf, NULL}, "/");
}

static int start_node(struct dm_target *target, const struct dm_target_place *place)
{
    char program[64], script[sizeof ws_program], port[16];
    snprintf(program, sizeof program, "%s", node());
    snprintf(script, sizeof script, "%s", ws_program);
    snprintf(port, sizeof port, "%u", target->port);
    return dm_target_start_peer(target, place, (char *[]){program, script, port, NULL}, "/");
}

int dm_peer_start(struct dm_target *target, const struct dm_target_place *place, enum dm_peer peer)
{
    if (dm_target_make(target, place, dm_peer_name(peer)) != 0)
        return -1;
    int err = peer == DM_PEER_NCHAN ? start_nginx(target, place) : start_node(target, place);
    if (err != 0)
        dm_target_stop(target);
    return err;
}
