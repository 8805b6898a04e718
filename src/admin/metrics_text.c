/* Prometheus text from the metrics table. */
#include "admin/metrics_text.h"

#include <string.h>

enum kind { COUNTER, GAUGE };

static const struct {
    enum kind kind;
    const char *name, *labels, *help;
} table[DM_METRIC_COUNT] = {
#define DM_METRIC(id, kind, name, labels, help) [DM_METRIC_##id] = {kind, name, labels, help},
#include "base/metrics.def"
#undef DM_METRIC
};

static uint64_t read_one(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void add_head(struct dm_buf *out, const char *name, const char *type, const char *help)
{
    dm_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_values(const struct dm_metrics *const *all, size_t count, struct dm_buf *out)
{
    const char *last = "";
    for (int id = 0; id < DM_METRIC_COUNT; id++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += read_one(&all[i]->values[id]);
        if (strcmp(last, table[id].name) != 0)
            add_head(out, table[id].name, table[id].kind == COUNTER ? "counter" : "gauge",
                     table[id].help);
        last = table[id].name;
        if (*table[id].labels)
            dm_buf_printf(out, "%s{%s} ", last, table[id].labels);
        else
            dm_buf_printf(out, "%s ", last);
        dm_buf_add_number(out, sum);
        dm_buf_add_byte(out, '\n');
    }
}

static void add_refusals(const struct dm_metrics *const *all, size_t count, struct dm_buf *out)
{
    static const char name[] = "dormouse_refusals_total";
    add_head(out, name, "counter", "Requests refused, by reason");
    for (int err = 1; err < DM_ERR_COUNT; err++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++)
            sum += read_one(&all[i]->refusals[err]);
        dm_buf_printf(out, "%s{reason=\"%s\"} ", name, dm_err_code(err));
        dm_buf_add_number(out, sum);
        dm_buf_add_byte(out, '\n');
    }
}

/* Where in a struct dm_metrics a histogram is, and how many of its units make one of the text's. */
struct histogram {
    size_t offset;
    double unit;
    const char *name, *help;
};

static const struct dm_histogram *histogram_in(const struct dm_metrics *metrics, size_t offset)
{
    return (const struct dm_histogram *)(const void *)((const char *)metrics + offset);
}

static void add_histogram(const struct dm_metrics *const *all, size_t count,
                          const struct histogram *histogram, struct dm_buf *out)
{
    uint64_t below = 0, sum = 0;
    add_head(out, histogram->name, "histogram", histogram->help);
    for (int bucket = 0; bucket < DM_HISTOGRAM_BUCKETS; bucket++) {
        for (size_t i = 0; i < count; i++)
            below += read_one(&histogram_in(all[i], histogram->offset)->buckets[bucket]);
        if (bucket == DM_HISTOGRAM_BUCKETS - 1)
            dm_buf_printf(out, "%s_bucket{le=\"+Inf\"} ", histogram->name);
        else
            dm_buf_printf(out, "%s_bucket{le=\"%g\"} ", histogram->name,
                          histogram->unit * (double)(1 << bucket));
        dm_buf_add_number(out, below);
        dm_buf_add_byte(out, '\n');
    }
    for (size_t i = 0; i < count; i++)
        sum += read_one(&histogram_in(all[i], histogram->offset)->sum);
    dm_buf_printf(out, "%s_sum %g\n%s_count ", histogram->name, histogram->unit * (double)sum,
                  histogram->name);
    dm_buf_add_number(out, below);
    dm_buf_add_byte(out, '\n');
}

void dm_metrics_text(const struct dm_metrics *const *all, size_t count, struct dm_buf *out)
{
    static const struct histogram histograms[] = {
        {offsetof(struct dm_metrics, commit_rows), 1, "dormouse_store_commit_operations",
         "Operations a commit"},
        {offsetof(struct dm_metrics, commit_tenths), 0.0001, "dormouse_store_commit_seconds",
         "Time a commit took"},
    };
    add_values(all, count, out);
    add_refusals(all, count, out);
    for (size_t i = 0; i < DM_COUNT(histograms); i++)
        add_histogram(all, count, &histograms[i], out);
}
