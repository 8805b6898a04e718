/*
 * Structured log lines on stderr, logfmt or JSON. A line is an event name and
 * key=value pairs. Never pass a token, a key, a cookie or a payload. Any
 * thread; each line is one write.
 *
 *   dm_log(DM_LOG_INFO, "listening", "address", "127.0.0.1:8080", NULL);
 */
#ifndef DM_BASE_LOG_H
#define DM_BASE_LOG_H

enum dm_log_level { DM_LOG_DEBUG, DM_LOG_INFO, DM_LOG_WARN, DM_LOG_ERROR };
enum dm_log_format { DM_LOG_LOGFMT, DM_LOG_JSON };

/* Before the first thread starts; afterwards both are only read. */
void dm_log_setup(enum dm_log_level least, enum dm_log_format format);

/* Pairs of const char * key and value follow, then NULL. */
void dm_log(enum dm_log_level level, const char *event, ...) __attribute__((sentinel));

#endif
