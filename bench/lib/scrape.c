/* Prometheus text, read line by line. */
#include "lib/scrape.h"

#include <stdlib.h>

#include "lib/http.h"

/* The sample's value if the line is one that is asked for, else 0. */
static double sample(struct dm_slice line, struct dm_slice name, struct dm_slice label)
{
    if (!dm_slice_starts(line, name) || line.len == name.len)
        return 0;
    char after = line.at[name.len];
    if ((after != ' ' && after != '{') || !memmem(line.at, line.len, label.at, label.len))
        return 0;
    const char *value = memrchr(line.at, ' ', line.len);
    return value ? strtod(value, NULL) : 0;
}

double dm_scrape(const struct dm_target *target, const char *name, const char *label)
{
    struct dm_buf text = DM_BUF_INIT;
    double sum = -1;
    if (dm_http_get(target->port, "/metrics", &text) == 200) {
        dm_buf_text(&text);
        struct dm_slice rest = dm_buf_slice(&text);
        for (sum = 0; rest.at;)
            sum += sample(dm_slice_split(&rest, '\n'), dm_slice_of(name), dm_slice_of(label));
    }
    dm_buf_dispose(&text);
    return sum;
}
