/*
 * ws-echo: sends every WebSocket message back, through the same handshake and
 * the same burrow as the server. For conformance suites.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/echo.h"
#include "net/listener.h"

static const char usage[] = "usage: ws-echo [--port 9001] [--max-message 16MiB]\n"
                            "Echoes WebSocket messages on 127.0.0.1; every path, HTTP/1.1.\n";

/* A whole number from 1 to `most`, with KiB or MiB behind it where that is `sized`. */
static bool read_number(const char *text, bool sized, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno || !number || number > most)
        return false;
    unsigned shift = !sized ? 0 : strcmp(end, "KiB") == 0 ? 10 : strcmp(end, "MiB") == 0 ? 20 : 0;
    *out = (uint64_t)number << shift;
    return shift ? *out <= most : *end == '\0';
}

int main(int argc, char **argv)
{
    const uint64_t most = (uint64_t)1 << 30;
    uint64_t port = 9001, max_message = 16 << 20;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool good =
            (strcmp(argv[i], "--port") == 0 && read_number(value, false, 65535, &port)) ||
            (strcmp(argv[i], "--max-message") == 0 && read_number(value, true, most, &max_message));
        if (!good) {
            fputs(usage, stderr);
            return 2;
        }
    }
    struct dm_buf address = DM_BUF_INIT, shown = DM_BUF_INIT, why = DM_BUF_INIT;
    dm_buf_printf(&address, "127.0.0.1:%u", (unsigned)port);
    int fd = dm_listen(dm_buf_text(&address), &shown, &why);
    if (fd < 0) {
        fprintf(stderr, "ws-echo: %s\n", dm_buf_text(&why));
        return 1;
    }
    printf("ws-echo: ws://%s/\n", dm_buf_text(&shown));
    fflush(stdout);
    signal(SIGPIPE, SIG_IGN);
    dm_echo_run(fd, max_message);
}
