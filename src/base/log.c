/*
 * Log lines. The level and format are the one piece of process-wide state
 * here: set once before threads start, then read-only.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static enum dm_log_level least_level = DM_LOG_INFO;
static enum dm_log_format line_format = DM_LOG_LOGFMT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void dm_log_setup(enum dm_log_level least, enum dm_log_format format)
{
    least_level = least;
    line_format = format;
}

static void add_quoted(struct dm_buf *line, const char *text)
{
    dm_buf_add_byte(line, '"');
    for (const char *at = text; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\')
            dm_buf_printf(line, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            dm_buf_printf(line, "\\u%04x", c);
        else
            dm_buf_add_byte(line, (char)c);
    }
    dm_buf_add_byte(line, '"');
}

static bool is_plain(const char *text)
{
    if (!*text)
        return false;
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == '"' || *at == '=' || *at == '\\' || *at == 0x7f)
            return false;
    return true;
}

static void add_pair(struct dm_buf *line, const char *key, const char *value)
{
    if (line_format == DM_LOG_JSON) {
        dm_buf_add_byte(line, line->len ? ',' : '{');
        add_quoted(line, key);
        dm_buf_add_byte(line, ':');
        add_quoted(line, value);
        return;
    }
    if (line->len)
        dm_buf_add_byte(line, ' ');
    dm_buf_printf(line, "%s=", key);
    if (is_plain(value))
        dm_buf_add_slice(line, dm_slice_of(value));
    else
        add_quoted(line, value);
}

void dm_log(enum dm_log_level level, const char *event, ...)
{
    if (level < least_level)
        return;
    char time[DM_ISO_TIME_LEN + 1] = {0};
    dm_clock_iso(dm_clock_wall_ms(), time);
    struct dm_buf line = DM_BUF_INIT;
    add_pair(&line, "time", time);
    add_pair(&line, "level", level_names[level]);
    add_pair(&line, "event", event);
    va_list pairs;
    va_start(pairs, event);
    const char *key;
    while ((key = va_arg(pairs, const char *)) != NULL) {
        const char *value = va_arg(pairs, const char *);
        add_pair(&line, key, value ? value : "");
    }
    va_end(pairs);
    dm_buf_add_slice(&line, dm_slice_of(line_format == DM_LOG_JSON ? "}\n" : "\n"));
    ssize_t written = write(STDERR_FILENO, line.bytes, line.len);
    (void)written; /* a log that cannot be written is no reason to fail */
    dm_buf_dispose(&line);
}
